"""Rendering of what runs for an artifact: the Jobs that determine its size and download it, and their identity.

The pods comply with the restricted Pod Security level (ART-JOB-3). The only thing that a download may do in the API is
to patch the status of its own artifact (ART-JOB-2).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from aimd.api.artifact import AIMArtifact
from aimd.api.core import EnvVar
from aimd.planning.environment import (
    AIM_DOWNLOADER_PROTOCOL,
    ARTIFACT_NAME,
    ARTIFACT_NAMESPACE,
    EXPECTED_SIZE_BYTES,
    HF_HOME,
    MOUNT_PATH,
    STALL_TIMEOUT,
    TARGET_DIR,
    TMPDIR,
    is_debug_switch,
    merge_env,
    render_env,
)
from aimd.planning.kinds import AIM_ARTIFACT, owned_by
from aimd.planning.labels import (
    ARTIFACT_JOB_LABEL,
    ARTIFACT_LABEL,
    CACHE_TYPE_LABEL,
    CLAIM_SIZE_ANNOTATION,
    CLAIM_UID_ANNOTATION,
    JOB_INPUTS_ANNOTATION,
    JOB_REFERENCES_ANNOTATION,
    MANAGED_BY_LABEL,
    child_labels,
    name_label,
)
from aimd.planning.naming import derive_name
from aimd.planning.objects import View, annotations_of, granted_storage, text
from aimd.planning.pod_failures import DOWNLOADER_EXIT_CODES, PERMANENT_EXIT_CODES
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.settings import ControllerSettings
from aimd.runtime.kinds import JOB, ROLE, ROLE_BINDING, SERVICE_ACCOUNT
from aimd.runtime.objects import Desired, Key, Manifest, key_of, uid_of

CONTROLLER = "artifact"

DOWNLOAD_CONTAINER = "model-download"
CHECK_SIZE_CONTAINER = "check-size"
BACKOFF_LIMIT = 2
DOWNLOAD_TTL_SECONDS = 600
CHECK_SIZE_TTL_SECONDS = 300
CHECK_SIZE_DEADLINE_SECONDS = 600
_USER = 1000
_MOUNT_PATH = "/cache"
_TMP_PATH = "/tmp"  # noqa: S108 (the path of a volume inside the pod)
# The libraries keep their own caches in it; without a limit they could fill the disk of the node (ART-JOB-4).
_TMP_LIMIT = "12Gi"


@dataclass(frozen=True, slots=True)
class JobContext:
    """What the Jobs of an artifact are rendered from; `size_bytes` is 0 while unknown.

    `claim` is the name of the claim that exists, empty without one.
    """

    artifact: AIMArtifact
    config: ResolvedConfig
    settings: ControllerSettings
    size_bytes: int = 0
    claim: str = ""

    @property
    def claim_name(self) -> str:
        """Name of the claim that exists, else of the one to create (ART-CLM-7)."""
        return self.claim or claim_names(self.artifact)[-1]

    @property
    def key(self) -> Key:
        """Namespace and name of the artifact."""
        return Key(self.artifact.metadata.namespace, self.artifact.metadata.name)

    @property
    def image(self) -> str:
        """The artifact's image, else the operator's (ART-JOB-1)."""
        return self.artifact.spec.model_download_image or self.settings.downloader_image

    @property
    def is_own_image(self) -> bool:
        """Whether the image carries the `aimd` command."""
        return self.settings.is_own_image(self.image)

    @property
    def exit_codes(self) -> Mapping[int, str]:
        """What exit codes mean; only those of aimd's own images mean anything."""
        return DOWNLOADER_EXIT_CODES if self.is_own_image else {}


def claim_names(artifact: AIMArtifact) -> tuple[str, str]:
    """Return the names under which the artifact's claim may be: the one in its status, then the derived one.

    The download's pod may write the status, so only a claim that the artifact controls counts (ART-CLM-7).
    """
    return artifact.status.persistent_volume_claim, _child_name(artifact, "cache")


def download_name(artifact: AIMArtifact) -> str:
    """Return the name of the download Job and of its ServiceAccount, Role and RoleBinding."""
    return _child_name(artifact, "download")


def check_size_name(artifact: AIMArtifact) -> str:
    """Return the name of the Job that determines the size."""
    return _child_name(artifact, "check-size")


def child_metadata(context: JobContext, name: str, own: Mapping[str, str]) -> Manifest:
    """Return the metadata of a child of the artifact: owner reference, and all its labels (OBJ-LBL-1)."""
    metadata = context.artifact.metadata
    labels = child_labels(CONTROLLER, metadata.labels, metadata.name, own, context.config.label_patterns)
    return {
        "name": name,
        "namespace": metadata.namespace,
        "labels": labels,
        "ownerReferences": owned_by(AIM_ARTIFACT, context.key, metadata.uid),
    }


def download_job(
    context: JobContext, claim: View, ttl_seconds: int = DOWNLOAD_TTL_SECONDS, versions: str = ""
) -> Desired:
    """Return the Job that downloads the weights to the live `claim`.

    Annotations record the claim's UID and size: a Job for another volume is not believed, and one for which the volume
    was too small is repeated when it has grown. `versions` is a digest of the versions of the Secrets and ConfigMaps
    that the environment refers to, recorded as well.
    """
    container = {
        **_container(context, DOWNLOAD_CONTAINER, ["aimd", "download"], []),
        "env": render_env(_environment(context, _default_env(context))),
        "resources": {"requests": dict(sorted(context.settings.job_requests.items()))},
        "volumeMounts": [{"name": "cache", "mountPath": _MOUNT_PATH}, {"name": "tmp", "mountPath": _TMP_PATH}],
    }
    pod = {
        **_pod(context, container, serviceAccountName=download_name(context.artifact)),
        "volumes": [
            {"name": "cache", "persistentVolumeClaim": {"claimName": key_of(claim).name}},
            {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_LIMIT}},
        ],
    }
    pod["securityContext"]["fsGroup"] = _USER
    manifest = _job(context, download_name(context.artifact), "download", pod, ttl_seconds)
    recorded = {
        CLAIM_UID_ANNOTATION: uid_of(claim),
        CLAIM_SIZE_ANNOTATION: granted_storage(claim),
        JOB_REFERENCES_ANNOTATION: versions,
    }
    manifest["metadata"]["annotations"] |= {key: value for key, value in recorded.items() if value}
    if context.is_own_image:
        manifest["spec"]["podFailurePolicy"] = _failure_policy(DOWNLOAD_CONTAINER)
    return Desired(JOB, manifest, "download")


def check_size_job(context: JobContext) -> Desired:
    """Return the Job that determines how large the weights are; it has no token and no volume."""
    container = {
        **_container(context, CHECK_SIZE_CONTAINER, ["aimd", "check-size"], ["/check-size.sh"]),
        "env": render_env(_environment(context)),
        "resources": {"requests": dict(sorted(context.settings.job_requests.items()))},
        "volumeMounts": [{"name": "tmp", "mountPath": _TMP_PATH}],
    }
    pod = {
        **_pod(context, container, automountServiceAccountToken=False),
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": _TMP_LIMIT}}],
    }
    name = check_size_name(context.artifact)
    manifest = _job(context, name, "check-size", pod, CHECK_SIZE_TTL_SECONDS)
    manifest["spec"]["activeDeadlineSeconds"] = CHECK_SIZE_DEADLINE_SECONDS
    if context.is_own_image:
        manifest["spec"]["podFailurePolicy"] = _failure_policy(CHECK_SIZE_CONTAINER)
    return Desired(JOB, manifest, "check-size")


def download_identity(context: JobContext) -> tuple[Desired, ...]:
    """Return ServiceAccount, Role and RoleBinding of the download (ART-JOB-2).

    It may patch the status of this one artifact. Images that are not aimd's report through kubectl, which reads before
    it patches.
    """
    name = download_name(context.artifact)
    metadata = child_metadata(context, name, {ARTIFACT_LABEL: name_label(context.artifact.metadata.name)})
    verbs = ["patch"] if context.is_own_image else ["get", "patch"]
    rule = {
        "apiGroups": [AIM_ARTIFACT.group],
        "resources": [f"{AIM_ARTIFACT.plural}/status"],
        "resourceNames": [context.artifact.metadata.name],
        "verbs": verbs,
    }
    subject = {"kind": "ServiceAccount", "name": name, "namespace": context.artifact.metadata.namespace}
    role_reference = {"apiGroup": ROLE.group, "kind": ROLE.name, "name": name}
    account = SERVICE_ACCOUNT.manifest(metadata)
    role = ROLE.manifest(metadata, rules=[rule])
    binding = ROLE_BINDING.manifest(metadata, subjects=[subject], roleRef=role_reference)
    return (
        Desired(SERVICE_ACCOUNT, account, "download-identity"),
        Desired(ROLE, role, "download-identity"),
        Desired(ROLE_BINDING, binding, "download-identity"),
    )


def inputs_of(job: View) -> str:
    """Return the recorded fingerprint of what users can change about a Job, empty on Jobs of other operators."""
    return text(annotations_of(job), JOB_INPUTS_ANNOTATION)


def _child_name(artifact: AIMArtifact, part: str) -> str:
    return derive_name([artifact.metadata.name, part], [artifact.metadata.uid])


def _default_env(context: JobContext) -> tuple[EnvVar, ...]:
    """Return the variables of a download, which config and artifact override (ART-JOB-6)."""
    values = {
        AIM_DOWNLOADER_PROTOCOL: "XET,HF_TRANSFER",
        TMPDIR: f"{_TMP_PATH}/",
        HF_HOME: f"{_TMP_PATH}/.hf",
        EXPECTED_SIZE_BYTES: str(context.size_bytes),
        MOUNT_PATH: _MOUNT_PATH,
        ARTIFACT_NAME: context.artifact.metadata.name,
        ARTIFACT_NAMESPACE: context.artifact.metadata.namespace,
        STALL_TIMEOUT: "120",
        TARGET_DIR: _MOUNT_PATH,
    }
    return tuple(EnvVar(name=name, value=value) for name, value in values.items())


def _environment(context: JobContext, defaults: tuple[EnvVar, ...] = ()) -> tuple[EnvVar, ...]:
    """Return the variables of a Job; debug switches only where the operator allows them (ART-JOB-6, ART-JOB-8)."""
    merged = merge_env(defaults, context.config.spec.env, context.artifact.spec.env)
    if context.settings.allow_debug:
        return merged
    return tuple(variable for variable in merged if not is_debug_switch(variable.name))


def _container(context: JobContext, name: str, own_command: list[str], foreign_command: list[str]) -> Manifest:
    """Return the container of a Job; only aimd's own images know its command (ART-JOB-1)."""
    command = own_command if context.is_own_image else foreign_command
    return {
        "name": name,
        "image": context.image,
        "imagePullPolicy": "IfNotPresent",
        **({"command": command} if command else {}),
        "args": [context.artifact.spec.source_uri],
        "securityContext": {
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            # Other images may count on a writable root.
            **({"readOnlyRootFilesystem": True} if context.is_own_image else {}),
        },
    }


def _pod(context: JobContext, container: Manifest, **identity: str | bool) -> Manifest:
    """Return the pod's spec, with the pull secrets of the artifact (ART-JOB-7)."""
    secrets = [{"name": reference.name} for reference in context.artifact.spec.image_pull_secrets]
    return {
        "restartPolicy": "Never",
        **identity,
        **({"imagePullSecrets": secrets} if secrets else {}),
        "securityContext": {
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }


def _job(context: JobContext, name: str, component: str, pod: Manifest, ttl_seconds: int) -> Manifest:
    own = {
        ARTIFACT_LABEL: name_label(context.artifact.metadata.name),
        CACHE_TYPE_LABEL: "artifact",
        ARTIFACT_JOB_LABEL: component,
    }
    metadata = child_metadata(context, name, own)
    pod_labels = {key: value for key, value in metadata["labels"].items() if key != MANAGED_BY_LABEL}
    return JOB.manifest(
        {**metadata, "annotations": {JOB_INPUTS_ANNOTATION: _fingerprint(pod)}},
        spec={
            "backoffLimit": BACKOFF_LIMIT,
            "ttlSecondsAfterFinished": ttl_seconds,
            "template": {"metadata": {"labels": pod_labels}, "spec": pod},
        },
    )


def _fingerprint(pod: Manifest) -> str:
    """Return a digest of image, source, environment and pull secrets; when it changes, a failed Job is run again."""
    (container,) = pod["containers"]
    inputs = [container["image"], container["args"], container["env"], pod.get("imagePullSecrets")]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def _failure_policy(container: str) -> Manifest:
    """Return the policy that ends the Job where another attempt is pointless (ART-JOB-5).

    Disruptions of the node do not count as failures.
    """
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": container, "operator": "In", "values": sorted(PERMANENT_EXIT_CODES)},
            },
        ]
    }
