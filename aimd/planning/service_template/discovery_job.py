"""The Job that asks a model's image for its profile by a dry run.

Its name depends on its inputs: a changed template, image of the model or pull secret is another Job.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aimd.api.core import EnvVar
from aimd.api.model import AnyModel
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.shared import GpuHardware, Hardware
from aimd.planning.environment import (
    AIM_ACCELERATOR_COUNT,
    AIM_ACCELERATOR_MODEL,
    AIM_ACCELERATOR_TYPE,
    AIM_ENGINE,
    AIM_GPU_COUNT,
    AIM_GPU_MODEL,
    AIM_ID,
    AIM_LOG_LEVEL,
    AIM_LOG_LEVEL_ROOT,
    AIM_METRIC,
    AIM_PRECISION,
    AIM_PROFILE_ID,
    merge_container_env,
    render_env,
    with_other_model,
)
from aimd.planning.gpus import GpuInventory, minimum_vram, needs_gpu, normalize_gpu
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE_TEMPLATE,
    owned_by,
)
from aimd.planning.labels import (
    APP_NAME_LABEL,
    COMPONENT_LABEL,
    MANAGED_BY_LABEL,
    TEMPLATE_LABEL,
    child_labels,
    name_label,
)
from aimd.planning.naming import derive_name
from aimd.planning.pod_rights import PodRights
from aimd.planning.profiles import VLLM
from aimd.planning.pull_secrets import discovery_pull_secrets
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service_template.profile_file import VOLUME, ProfileFile, profile_folder, profile_id_of
from aimd.runtime.kinds import CONFIG_MAP, JOB
from aimd.runtime.objects import Desired, Failure, Key, Kind, Manifest

CONTAINER = "discovery"
JOB_LABELS = {
    APP_NAME_LABEL: "aim-discovery",
    COMPONENT_LABEL: "discovery",
    MANAGED_BY_LABEL: "aim-controller",
}
TTL_SECONDS = 600
"""The log of a Job that has ended is its result; a restart of the operator must not lose it (TPL-DSC-8)."""
DEADLINE_SECONDS = 600
"""A pod that cannot start would otherwise occupy one of the few slots for ever (TPL-DSC-6)."""
_REQUESTS = {"cpu": "100m", "memory": "256Mi"}
_LIMITS = {"cpu": "2", "memory": "8Gi"}
"""Selecting a profile loads no weights; quotas on limits admit only pods that have them (TPL-DSC-18)."""
_USER = 65532
_NAME_LENGTH = 45


@dataclass(frozen=True, slots=True)
class DiscoveryContext:
    """What a discovery Job is rendered from.

    `rights` say where cluster templates are discovered, and what their Jobs may use. `profile` is the template's own,
    `shared_pull_secrets` are those of services that use the model. `chosen_gpu` is the model to ask for where the
    template leaves it open, empty if there is none.
    """

    template: AnyServiceTemplate
    model: AnyModel
    config: ResolvedConfig
    rights: PodRights
    profile: ProfileFile | None = None
    shared_pull_secrets: tuple[str, ...] = ()
    chosen_gpu: str = ""

    @property
    def needs_model(self) -> bool:
        """Whether the template must name its GPU: it asks for memory, and no GPU is known to have it (TPL-DSC-12)."""
        gpu = _gpu(self.template)
        return gpu is not None and minimum_vram(gpu) > 0 and leaves_gpu_open(self.template) and not self.chosen_gpu

    @property
    def kind(self) -> Kind:
        """Kind of the template."""
        return AIM_SERVICE_TEMPLATE if self.template.metadata.namespace else AIM_CLUSTER_SERVICE_TEMPLATE

    @property
    def _model_kind(self) -> Kind:
        return AIM_MODEL if self.model.metadata.namespace else AIM_CLUSTER_MODEL

    @property
    def controller(self) -> str:
        """Name of the controller in labels."""
        return "service-template" if self.template.metadata.namespace else "cluster-service-template"

    @property
    def namespace(self) -> str:
        """The template's, for cluster templates that of the administrator's choice (TPL-DSC-11)."""
        return self.template.metadata.namespace or self.rights.discovery_namespace

    @property
    def pull_secrets(self) -> tuple[str, ...]:
        """Return the names of the pod's pull secrets (TPL-DSC-10)."""
        own = self.model.spec.image_pull_secrets, self.template.spec.image_pull_secrets
        return discovery_pull_secrets(*own, self.shared_pull_secrets)

    @property
    def service_account(self) -> str:
        """Service account of the pod: the template's, else the model's (TPL-DSC-10)."""
        return self.template.spec.service_account_name or self.model.spec.service_account_name

    @property
    def refusal(self) -> Failure | None:
        """Why the pod would borrow rights, None if it does not (TPL-DSC-16)."""
        named = [(self.kind.name, self.template), (self._model_kind.name, self.model)]
        field = next((f"{kind} {item.metadata.name}" for kind, item in named if item.spec.service_account_name), "")
        account = self.rights.account_refusal(
            self.namespace, self.service_account, f"spec.serviceAccountName of {field}"
        )
        if account is not None or self.template.metadata.namespace:
            return account
        named_by = f"spec.env of {self.kind.name} {self.template.metadata.name}"
        return self.rights.references_refusal(_environment(self), named_by, self.namespace)

    @property
    def engine(self) -> str:
        """Engine of the image, where its profiles are all for one other than vllm; else empty (TPL-IMG-4)."""
        status, spec = self.model.status, self.template.spec
        known = status.image_profiles if status.inspected_image == self.model.spec.image else None
        engines = {profile.engine for profile in known.profiles} if known is not None else set()
        given = self.profile is not None or any(variable.name == AIM_ENGINE for variable in spec.env)
        return engines.pop() if len(engines) == 1 and VLLM not in engines and not given else ""


def job_key(context: DiscoveryContext) -> Key:
    """Return namespace and name of the Job (TPL-DSC-3)."""
    parts = [context.template.spec.model_name, context.model.spec.image, context.service_account]
    parts += [part for variable in context.template.spec.env for part in (variable.name, variable.value or "")]
    digest = _hash([*parts, *context.pull_secrets, *_attributes(context), context.chosen_gpu, context.engine])
    cut = context.template.metadata.name[:_NAME_LENGTH].rstrip(".")
    return Key(context.namespace, f"discover-{cut}-{digest[:8]}")


def spec_hash(context: DiscoveryContext) -> str:
    """Return a fingerprint of the inputs; results and attempts count while it stays the same (TPL-DSC-1)."""
    parts = [context.template.spec.model_name, context.model.spec.image]
    return _hash([*parts, *_attributes(context)])[:16]


def leaves_gpu_open(template: AnyServiceTemplate) -> bool:
    """Return whether a template asks for GPUs, but neither for a model nor for a profile."""
    gpu, spec = _gpu(template), template.spec
    named = gpu is None or gpu.model.strip() or spec.profile_id or spec.custom_profile is not None
    return not named and needs_gpu(spec.hardware)


def chosen_gpu(template: AnyServiceTemplate, inventory: GpuInventory | None) -> str:
    """Return the GPU model to ask for where a template leaves it open, empty if it is not or nothing fits (TPL-DSC-12).

    A dry run has no GPU that the image could detect.
    """
    gpu = _gpu(template)
    if gpu is None or inventory is None or not leaves_gpu_open(template):
        return ""
    return inventory.choose(minimum_vram(gpu))


def config_map_name(template_name: str) -> str:
    """Return the name of the ConfigMap with the custom profile."""
    return derive_name([template_name, "custom-profile"], [template_name, "template-custom-profile"])


def discovery_objects(context: DiscoveryContext) -> tuple[Desired, ...]:
    """Return the Job, preceded by the ConfigMap that it mounts."""
    config_map = (_config_map(context, context.profile),) if context.profile is not None else ()
    return (*config_map, _job(context))


def _job(context: DiscoveryContext) -> Desired:
    labels = _labels(context, JOB_LABELS)
    pod_labels = {key: value for key, value in labels.items() if key not in JOB_LABELS}
    manifest = JOB.manifest(
        _metadata(context, job_key(context).name, labels),
        spec={
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "template": {"metadata": {"labels": pod_labels}, "spec": _pod(context)},
        },
    )
    return Desired(JOB, manifest, "discovery")


def _pod(context: DiscoveryContext) -> Manifest:
    container: Manifest = {
        "name": CONTAINER,
        "image": context.model.spec.image,
        "args": ["dry-run", "--format=json"],
        "env": render_env(_environment(context)),
        "resources": {"requests": dict(_REQUESTS), "limits": dict(_LIMITS)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod: Manifest = {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if context.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in context.pull_secrets]
    if context.service_account:
        pod["serviceAccountName"] = context.service_account
    else:
        pod["automountServiceAccountToken"] = False
    if context.profile is not None:
        pod["volumes"] = [{"name": VOLUME, "configMap": {"name": config_map_name(context.template.metadata.name)}}]
        mount = {"name": VOLUME, "mountPath": profile_folder(context.template), "readOnly": True}
        container["volumeMounts"] = [mount]
    return pod


def _environment(context: DiscoveryContext) -> tuple[EnvVar, ...]:
    """Return log levels, the template's variables, then the question, each name once; aimd's own win (TPL-DSC-9).

    `AIM_ID` and `AIM_MODEL_ID` exclude each other, as in the predictor (SVC-ENV-3).
    """
    levels = {AIM_LOG_LEVEL_ROOT: "WARNING", AIM_LOG_LEVEL: "WARNING"}
    asked = _question(context)
    identity = [EnvVar(name=AIM_ID, value=asked[AIM_ID])] if AIM_ID in asked else []
    usable = with_other_model(merge_container_env(context.template.spec.env, identity))
    given = {variable.name: variable for variable in usable}
    own = {name: EnvVar(name=name, value=value) for name, value in (*levels.items(), *asked.items())}
    return (
        *(own[name] for name in levels),
        *(variable for name, variable in given.items() if name not in own),
        *(own[name] for name in asked),
    )


def _question(context: DiscoveryContext) -> dict[str, str]:
    """Return the variables that select the profile; they override the template's environment (TPL-DSC-9)."""
    spec = context.template.spec
    values = {
        AIM_METRIC: spec.metric,
        AIM_PRECISION: spec.precision,
        **_accelerator(context),
        AIM_PROFILE_ID: profile_id_of(context.template) or spec.profile_id,
        AIM_ID: spec.aim_id if context.profile is not None else "",
        AIM_ENGINE: context.engine,
    }
    return {name: value for name, value in values.items() if value}


def _accelerator(context: DiscoveryContext) -> dict[str, str]:
    """Return the hardware to choose a profile for, under the names that older and newer images read (TPL-DSC-13)."""
    hardware, gpu = context.template.spec.hardware, _gpu(context.template)
    if gpu is None or not needs_gpu(hardware):
        return {AIM_ACCELERATOR_TYPE: "cpu" if hardware is not None and _is_for_cpu(hardware) else ""}
    model = normalize_gpu(gpu.model) if gpu.model.strip() else context.chosen_gpu
    count = str(gpu.requests) if gpu.requests > 0 else ""
    return {
        AIM_GPU_MODEL: model,
        AIM_GPU_COUNT: count,
        AIM_ACCELERATOR_TYPE: "gpu",
        AIM_ACCELERATOR_MODEL: model,
        AIM_ACCELERATOR_COUNT: count,
    }


def _is_for_cpu(hardware: Hardware) -> bool:
    return hardware.cpu is not None or (hardware.gpu is not None and bool(hardware.gpu.model.strip()))


def _config_map(context: DiscoveryContext, profile: ProfileFile) -> Desired:
    own = {COMPONENT_LABEL: "discovery", MANAGED_BY_LABEL: "aim-controller"}
    name = config_map_name(context.template.metadata.name)
    manifest = CONFIG_MAP.manifest(_metadata(context, name, _labels(context, own)), data={profile.name: profile.text})
    return Desired(CONFIG_MAP, manifest, "custom-profile")


def _labels(context: DiscoveryContext, own: dict[str, str]) -> dict[str, str]:
    metadata = context.template.metadata
    own = {**own, TEMPLATE_LABEL: name_label(metadata.name)}
    return child_labels(context.controller, metadata.labels, metadata.name, own, context.config.label_patterns)


def _metadata(context: DiscoveryContext, name: str, labels: dict[str, str]) -> Manifest:
    metadata = context.template.metadata
    key = Key(metadata.namespace, metadata.name)
    owners = owned_by(context.kind, key, metadata.uid)
    return {"name": name, "namespace": context.namespace, "labels": labels, "ownerReferences": owners}


def _attributes(context: DiscoveryContext) -> Iterator[str]:
    """Return the arguments for the image, and the profile that they refer to."""
    spec, gpu = context.template.spec, _gpu(context.template)
    yield from (spec.metric, spec.precision)
    if gpu is not None:
        yield from (gpu.model, str(gpu.requests))
    yield spec.profile_id
    if context.profile is not None and spec.custom_profile is not None:
        yield from (spec.aim_id, spec.model_id, _canonical(spec.custom_profile.engine_args))
        yield from (part for pair in sorted(spec.custom_profile.env_vars.items()) for part in pair)
        yield from (config_map_name(context.template.metadata.name), context.profile.name)


def _canonical(value: Any) -> str:
    """Return JSON that is independent of the order of keys."""
    return json.dumps(value or {}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _gpu(template: AnyServiceTemplate) -> GpuHardware | None:
    return template.spec.hardware.gpu if template.spec.hardware is not None else None


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("".join(parts).encode(errors="surrogatepass")).hexdigest()
