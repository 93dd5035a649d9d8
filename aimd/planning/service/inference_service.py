"""The KServe InferenceService of a service."""

from dataclasses import dataclass

from aimd.api.model import AnyModel
from aimd.api.service import AIMService
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.environment import render_env
from aimd.planning.kinds import INFERENCE_SERVICE
from aimd.planning.labels import (
    CLUSTER_AUTH_PREFIX,
    COMPONENT_LABEL,
    MANAGED_BY_LABEL,
    METRIC_LABEL,
    MODEL_LABEL,
    PRECISION_LABEL,
    PROFILE_CHECKSUM_ANNOTATION,
    SERVED_MODEL_ANNOTATION,
    SERVICE_LABEL,
    TEMPLATE_LABEL,
    label_value,
)
from aimd.planning.objects import annotations_of, names_in, part, predictor_container, predictor_of, text
from aimd.planning.objects import parts as parts_of
from aimd.planning.pull_secrets import names_of, predictor_pull_secrets
from aimd.planning.service.container_environment import container_env
from aimd.planning.service.observed import ObservedService, kind_of_template, labels, owner_references
from aimd.planning.service.profile_config_map import profile_volumes
from aimd.planning.service.resources import predictor_resources
from aimd.planning.service.scaling import HTTP_PORT, scaling_annotations, scaling_fields, scaling_of
from aimd.planning.service.volumes import (
    NONE,
    Volumes,
    cache_volumes,
    holds_weights,
    loaded_weights,
    running_volumes,
    shared_memory,
    with_access,
)
from aimd.planning.service_template.profile_file import ProfileFile
from aimd.runtime.objects import Desired, Failure, Manifest

CONTAINER = "kserve-container"

# `containers` is a list that we own as a whole, and KServe's defaulter completes the resources inside it.
_FILLED = tuple(
    f"spec.predictor.containers[].resources.{side}.{name}"
    for side in ("limits", "requests")
    for name in ("cpu", "memory")
)


@dataclass(frozen=True, slots=True)
class PredictorInputs:
    """Inputs of an InferenceService.

    `model` is None when it was deleted under a running service; what only the model defines is kept then. `cache` is
    None when no weights have to be mounted, or while a running service keeps the volumes it has.
    """

    name: str
    model: AnyModel | None
    template: AnyServiceTemplate
    cache: AIMTemplateCache | None
    profile: ProfileFile | None


def render_inference_service(observed: ObservedService, parts: PredictorInputs) -> Desired | None:
    """Render the InferenceService, None when there is no image to run (SVC-ORD-3)."""
    live_image = text(predictor_container(observed.inference_service), "image")
    image = parts.model.spec.image if parts.model is not None else live_image
    if not image:
        return None
    scaling = scaling_of(observed.service.spec)
    metadata = {
        "name": parts.name,
        "namespace": observed.key.namespace,
        "labels": _labels(observed, parts.template),
        "annotations": {
            **service_annotations(observed.service, parts.template, named=_may_be_named(observed, image)),
            **scaling_annotations(scaling, parts.name),
        },
        "ownerReferences": owner_references(observed.service),
    }
    predictor = {**scaling_fields(scaling), **_predictor(observed, parts, image)}
    manifest = INFERENCE_SERVICE.manifest(metadata, spec={"predictor": predictor})
    return Desired(INFERENCE_SERVICE, manifest, reason="inference-service", filled=_FILLED)


def _predictor(observed: ObservedService, parts: PredictorInputs, image: str) -> Manifest:
    volumes = _volumes(observed, parts)
    container: Manifest = {
        "name": CONTAINER,
        "image": image,
        "ports": [{"containerPort": HTTP_PORT, "name": "http", "protocol": "TCP"}],
        "env": render_env(container_env(observed.service, parts.template, observed.config.spec.env, image)),
        "volumeMounts": list(volumes.mounts),
    }
    resources = (
        _resources(observed.service, parts)
        if parts.model is not None
        else dict(part(predictor_container(observed.inference_service), "resources"))
    )
    if resources:
        container["resources"] = resources
    predictor: Manifest = {"containers": [container], "volumes": list(volumes.volumes)}
    secrets = _pull_secrets(observed.service, parts, observed.inference_service)
    if secrets:
        predictor["imagePullSecrets"] = [{"name": name} for name in secrets]
    account = _service_account(observed.service, parts.template, parts.model, observed.inference_service)
    if account:
        predictor["serviceAccountName"] = account
    affinity = parts.template.status.resolved_node_affinity
    if affinity:
        predictor["affinity"] = {"nodeAffinity": affinity}
    if parts.profile is not None:
        # A ConfigMap's new content alone restarts nothing (SVC-PRF-2).
        predictor["annotations"] = {PROFILE_CHECKSUM_ANNOTATION: parts.profile.checksum}
    return predictor


def _labels(observed: ObservedService, template: AnyServiceTemplate) -> dict[str, str]:
    profile = template.status.profile
    found = profile.metadata if profile is not None else None
    identity = {
        SERVICE_LABEL: observed.key.name,
        TEMPLATE_LABEL: template.metadata.name,
        MODEL_LABEL: template.spec.model_name,
        METRIC_LABEL: found.metric if found is not None else "",
        PRECISION_LABEL: found.precision if found is not None else "",
    }
    own = {key: label_value(value) for key, value in identity.items() if label_value(value)}
    return labels(
        observed.service, observed.config, {**own, COMPONENT_LABEL: "inference", MANAGED_BY_LABEL: "aim-engine"}
    )


def service_annotations(service: AIMService, template: AnyServiceTemplate, *, named: bool = True) -> dict[str, str]:
    """Return what gateways and dashboards read about the service (SVC-ANN-1, SVC-ANN-2).

    `named` is whether to name the model.
    """
    given = service.metadata.annotations
    own = {key: value for key, value in given.items() if key.startswith(CLUSTER_AUTH_PREFIX)}
    model = _served_model(template) if named else ""
    return {**own, SERVED_MODEL_ANNOTATION: model} if model else own


def _may_be_named(observed: ObservedService, image: str) -> bool:
    """Return whether naming the model starts no pods: KServe copies annotations to them (SVC-ANN-2)."""
    live = observed.inference_service
    if live is None or text(predictor_container(live), "image") != image:
        return True
    return SERVED_MODEL_ANNOTATION in annotations_of(live)


def _served_model(template: AnyServiceTemplate) -> str:
    """Return the model that a template serves, as its spec, its sources or its profile name it (SVC-ANN-2)."""
    spec, status = template.spec, template.status
    sources = (*status.model_sources, *spec.model_sources)
    found = status.profile.metadata if status.profile is not None else None
    names = (
        spec.model_id,
        sources[0].model_id if sources else "",
        spec.aim_id,
        (found.model_id or found.aim_id) if found is not None else "",
    )
    return next(filter(None, names), "")


def _volumes(observed: ObservedService, parts: PredictorInputs) -> Volumes:
    storage, live = observed.service.spec.storage, observed.inference_service
    own = storage.read_only if storage is not None else None
    read_only = own if own is not None else observed.config.read_only_weights
    return with_access(_all_volumes(observed, parts), live, read_only=read_only)


def _all_volumes(observed: ObservedService, parts: PredictorInputs) -> Volumes:
    profile = profile_volumes(observed.service, parts.template) if parts.profile is not None else NONE
    rendered = shared_memory() + profile
    weights = loaded_weights(parts.template, parts.cache)
    if observed.inference_service is None:
        return rendered + cache_volumes(parts.cache, weights)
    fresh = cache_volumes(parts.cache, weights) if holds_weights(parts.cache, weights) else NONE
    return running_volumes(observed.inference_service, rendered, fresh, weights, observed.lost_claims)


def _resources(service: AIMService, parts: PredictorInputs) -> Manifest:
    return predictor_resources(
        parts.template.status.resolved_hardware,
        model=parts.model.spec.resources if parts.model is not None else None,
        template=parts.template.spec.resources,
        service=service.spec.resources,
    )


def _pull_secrets(service: AIMService, parts: PredictorInputs, live: Manifest | None) -> tuple[str, ...]:
    """Return the names of the pods' pull secrets; without a model, the live ones stay (SVC-RES-5)."""
    if parts.model is not None:
        others = names_of(parts.model.spec.image_pull_secrets)
    else:
        others = names_in(parts_of(predictor_of(live), "imagePullSecrets"))
    template = parts.template.spec.image_pull_secrets
    return predictor_pull_secrets(service.spec.image_pull_secrets, template, others)


def _service_account(
    service: AIMService, template: AnyServiceTemplate, model: AnyModel | None, live: Manifest | None
) -> str:
    own = service.spec.service_account_name or template.spec.service_account_name
    if own or model is not None:
        return own or (model.spec.service_account_name if model is not None else "")
    return text(predictor_of(live), "serviceAccountName")


def rights_refusal(
    observed: ObservedService, template: AnyServiceTemplate | None, model: AnyModel | None
) -> Failure | None:
    """Return why the predictor would borrow rights of the operator's namespace, None if it does not (OBJ-TEN-10).

    What a cluster template takes from Secrets and ConfigMaps there must be listed, unless the service overrides it.
    """
    if template is None:
        return None
    service, namespace = observed.service, observed.key.namespace
    account = _service_account(service, template, model, observed.inference_service)
    named = (("AIMService", service), (template_kind := kind_of_template(template).name, template))
    owner = next(
        (f"{kind} {item.metadata.name}" for kind, item in named if item.spec.service_account_name), "the model"
    )
    refusal = observed.rights.account_refusal(namespace, account, f"spec.serviceAccountName of {owner}")
    if refusal is not None or template.metadata.namespace or namespace != observed.rights.namespace:
        return refusal
    own = {variable.name for variable in service.spec.env}
    inherited = [variable for variable in template.spec.env if variable.name not in own]
    return observed.rights.references_refusal(
        inherited, f"spec.env of {template_kind} {template.metadata.name}", namespace
    )
