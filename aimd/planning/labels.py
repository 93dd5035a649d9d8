"""Every label, annotation and finalizer that aimd sets or reads, label values, and what a child inherits.

Users select by these keys and other operators read them: a key is an interface. `*_LABEL` is a label, `*_ANNOTATION`
an annotation, `*_FINALIZER` a finalizer. The keys of GPU labels on nodes are in `planning.gpus`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from functools import lru_cache

_PREFIX = "aim.eai.amd.com/"

# Every kind

PAUSED_ANNOTATION = _PREFIX + "reconciliation-paused"
"""`true` on an object stops its reconciliation until it is deleted."""

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
"""The program, or the controller of it, that manages an object."""

COMPONENT_LABEL = "app.kubernetes.io/component"
"""The part of a service that an object belongs to: `inference`, `routing` or `discovery`."""

APP_NAME_LABEL = "app.kubernetes.io/name"
"""The application that an object belongs to; `aim-discovery` on discovery Jobs."""

ORIGIN_LABEL = _PREFIX + "origin"
"""How a model or template came to be: `auto-generated` or `derived`; users' own have none."""

AUTO_GENERATED = "auto-generated"
"""Value of the origin label: created by a controller from a model, a service or a catalog."""

DERIVED = "derived"
"""Value of the origin label: a template made from another one and a service's overrides."""

# Services and what is created for them

SERVICE_NAME_LABEL = _PREFIX + "service.name"
"""The AIMService that an object was created for, by its name (long names are cut, with a hash)."""

SERVICE_LABEL = _PREFIX + "service"
"""The AIMService that an object was created for, by its name in lower case; other operators select by it."""

MODEL_LABEL = _PREFIX + "model"
"""The model of a template or an InferenceService."""

TEMPLATE_LABEL = _PREFIX + "template"
"""The template of an InferenceService or of a discovery Job and its pods."""

METRIC_LABEL = _PREFIX + "metric"
"""The metric that the profile of an InferenceService is optimized for."""

PRECISION_LABEL = _PREFIX + "precision"
"""The precision of the profile of an InferenceService."""

SERVED_MODEL_ANNOTATION = _PREFIX + "model-id"
"""The model that an InferenceService serves, as `organization/name`; gateways and dashboards read it."""

CLUSTER_AUTH_PREFIX = "cluster-auth/"
"""Prefix of annotations that say who may use a service; they are copied to its InferenceService."""

PROFILE_CHECKSUM_ANNOTATION = _PREFIX + "custom-profile-checksum"
"""Checksum of the custom profile that a predictor runs with; a change of it starts new pods."""

INFERENCE_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
"""The InferenceService of a predictor's pod, set by KServe."""

AUTOSCALER_CLASS_ANNOTATION = "serving.kserve.io/autoscalerClass"
"""The autoscaler that KServe creates for an InferenceService: `keda` or `none`."""

METRICS_PORT_ANNOTATION = "prometheus.kserve.io/port"
"""The port at which the pods of an InferenceService serve metrics."""

INJECT_COLLECTOR_ANNOTATION = "sidecar.opentelemetry.io/inject"
"""The OpenTelemetryCollector that is injected into the pods of an InferenceService."""

# Models and templates

MODEL_SOURCE_LABEL = _PREFIX + "model-source"
"""The AIMClusterModelSource that a model was imported by."""

SOURCE_REGISTRY_ANNOTATION = _PREFIX + "source-registry"
"""The image registry that a model was imported from."""

SOURCE_REPOSITORY_ANNOTATION = _PREFIX + "source-repository"
"""The image repository that a model was imported from."""

SOURCE_TAG_ANNOTATION = _PREFIX + "source-tag"
"""The image tag that a model was imported from."""

CUSTOM_MODEL_LABEL = _PREFIX + "custom-model"
"""`true` on models created from the image and sources of a service."""

TEMPLATE_ALIAS_LABEL = _PREFIX + "template.alias"
"""The name under which a model's custom template can be referred to, beside its own."""

MADE_FOR_IMAGE_ANNOTATION = _PREFIX + "made-for-image"
"""The image of the model when a template was created for it."""

# Caches, artifacts, and what is created for them

TEMPLATE_CACHE_NAME_LABEL = _PREFIX + "template-cache.name"
"""The AIMTemplateCache that created an artifact."""

TEMPLATE_CREATED_LABEL = "template-created"
"""`true` on artifacts that an AIMTemplateCache created."""

TEMPLATE_NAME_LABEL = _PREFIX + "template.name"
"""The template whose weights an artifact was created for."""

TEMPLATE_SCOPE_LABEL = _PREFIX + "template.scope"
"""The scope of the template whose weights an artifact was created for: `Namespace` or `Cluster`."""

TEMPLATE_INDEX_LABEL = _PREFIX + "template.index"
"""The position of an artifact's source in the list of its template, from 0."""

HEADROOM_ANNOTATION = _PREFIX + "pvc-headroom-percent"
"""Space to leave free on the claims of a cache or an artifact, in percent of the size of the weights."""

ARTIFACT_LABEL = _PREFIX + "cache.name"
"""The AIMArtifact that a claim, Job or pod belongs to."""

CACHE_TYPE_LABEL = _PREFIX + "cache.type"
"""What a claim or Job serves: `artifact`, or `template-cache` on claims of artifacts that a cache created."""

ARTIFACT_JOB_LABEL = _PREFIX + "component"
"""Which Job of an artifact it is: `download` or `check-size`."""

SOURCE_MODEL_LABEL = _PREFIX + "source-model"
"""The path of the source URI whose weights a claim holds."""

DOWNLOAD_COMPLETE_ANNOTATION = _PREFIX + "download-complete"
"""JSON on a claim whose download is complete: source, bytes, revision, files and time."""

CLAIM_UID_ANNOTATION = _PREFIX + "claim-uid"
"""The UID of the claim that a download Job writes to."""

CLAIM_SIZE_ANNOTATION = _PREFIX + "claim-size"
"""The size of the claim when its download Job was created."""

JOB_INPUTS_ANNOTATION = _PREFIX + "inputs"
"""Fingerprint of the fields that a Job of an artifact was rendered from; a change of it is another Job."""

JOB_REFERENCES_ANNOTATION = _PREFIX + "references"
"""Versions of the Secrets and ConfigMaps that the environment of a download Job refers to."""

# Finalizers

CACHES_OF_SERVICE_FINALIZER = _PREFIX + "template-cache-cleanup"
"""On an AIMService: template caches that it created are deleted with it."""

ARTIFACTS_OF_CACHE_FINALIZER = _PREFIX + "artifactcleanup"
"""On an AIMTemplateCache: artifacts that it created, and that no other cache needs, are deleted with it."""

MAXIMUM_LENGTH = 63

# What else the label `managed-by` may be of objects that aimd and the reference operator make.
_MANAGERS = frozenset({"aim-engine", "aim-controller"})

# Identity of one object: copying them to a child that sets its own would make two objects answer one selector.
_NEVER_INHERITED = frozenset({SERVICE_NAME_LABEL, SERVICE_LABEL})


def is_own_key(key: str) -> bool:
    """Return whether a label or annotation key is aimd's."""
    return key.startswith(_PREFIX)


def label_value(text: str) -> str:
    """Return a valid label value close to `text`, empty when nothing usable is left (OBJ-LBL-3)."""
    cleaned = re.sub(r"[^a-z0-9._-]+", "_", text.lower()).strip("_.-")
    return cleaned[:MAXIMUM_LENGTH].rstrip("_.-")


def name_label(name: str) -> str:
    """Return an object's name as a label value (OBJ-LBL-3).

    A name that is too long is cut; a hash keeps it unique.
    """
    if len(name) <= MAXIMUM_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{label_value(name)[: MAXIMUM_LENGTH - 9].rstrip('_.-')}-{digest}"


def made_by(controller: str) -> dict[str, frozenset[str]]:
    """Return the marks of what a controller makes, for whomever (OBJ-OWN-2)."""
    return {MANAGED_BY_LABEL: frozenset({f"aim-{controller}-controller", *_MANAGERS})}


def made_for(controller: str, parent_name: str) -> dict[str, frozenset[str]]:
    """Return the marks of what a controller makes for one object, as `child_labels` sets them (OBJ-OWN-1)."""
    return {f"{_PREFIX}{controller}.name": frozenset({name_label(parent_name)}), **made_by(controller)}


def child_labels(
    controller: str,
    parent_labels: Mapping[str, str],
    parent_name: str,
    own: Mapping[str, str],
    patterns: Sequence[str] = (),
) -> dict[str, str]:
    """Return all labels of a child, sorted by key (OBJ-LBL-1).

    `own` takes precedence over the parent's `aim.eai.amd.com/*` labels and those that match `patterns` (shell globs
    whose `*` does not match `/`); these take precedence over `aim.eai.amd.com/<controller>.name` and `managed-by`.
    Children of a service never inherit its `service` and `service.name` (OBJ-LBL-2).
    """
    controller_name = f"{_PREFIX}{controller}.name"
    excluded = _NEVER_INHERITED if controller == "service" else frozenset()
    inherited = {
        key: value
        for key, value in parent_labels.items()
        if key not in excluded and (is_own_key(key) or any(matches(key, glob) for glob in patterns))
    }
    framework = {controller_name: name_label(parent_name), MANAGED_BY_LABEL: f"aim-{controller}-controller"}
    merged = {**framework, **inherited, **own}
    return {key: merged[key] for key in sorted(merged)}


def matches(key: str, glob: str) -> bool:
    """Return whether a label key matches a shell glob (OBJ-LBL-4).

    `*` and `?` do not match `/`; a malformed glob matches nothing.
    """
    pattern = _compile(glob)
    return pattern is not None and pattern.fullmatch(key) is not None


@lru_cache(maxsize=512)
def _compile(glob: str) -> re.Pattern[str] | None:
    if glob.count("[") != glob.count("]"):
        return None
    segments = [translate(segment) for segment in glob.split("/")]
    # translate() wraps each segment as (?s:…)\Z; its wildcards may not cross the separator.
    bodies = [segment.removeprefix("(?s:").removesuffix(r")\Z") for segment in segments]
    try:
        return re.compile("/".join(re.sub(r"(?<!\\)\.", "[^/]", body) for body in bodies))
    except re.error:
        return None
