"""AIMServiceTemplate and AIMClusterServiceTemplate: runtime profiles of a model."""

# tests: tests/unit/api/test_models.py, tests/unit/api/test_crd_facts.py

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field

from aimd.api.core import ApiObject, EnvList, LocalObjectReference, NodeAffinity, ResourceRequirements
from aimd.api.schema import (
    DEFAULTED,
    AnyJson,
    ApiModel,
    Int32,
    PrinterColumn,
    Rule,
    Schema,
    Timestamp,
    immutable,
)
from aimd.api.shared import (
    MOST_SOURCES,
    BaseStatus,
    ComponentStatusText,
    Hardware,
    MetricText,
    ModelSource,
    PrecisionText,
    ProfileIdentity,
    ProfileTypeText,
    ResolvedReference,
    Status,
)


class TemplateCondition(StrEnum):
    """Condition types of an AIMServiceTemplate and an AIMClusterServiceTemplate, beside those of every object."""

    MODEL_READY = "ModelReady"
    """The model of the AIMServiceTemplate exists and has an image."""
    CLUSTER_MODEL_READY = "ClusterModelReady"
    """The model of the AIMClusterServiceTemplate exists and has an image."""
    IMAGE_PROFILE_READY = "ImageProfileReady"
    """The profile that `spec.profileId` names was read from the image in its registry. Present only while it is not."""
    CUSTOM_PROFILE_READY = "CustomProfileReady"
    """`spec.customProfile` can be used. Present only if it cannot."""
    DISCOVERY_JOB_READY = "DiscoveryJobReady"
    """The discovery Job has finished. Absent if discovery is not required."""
    DISCOVERY_PODS_READY = "DiscoveryPodsReady"
    """The pod of the discovery Job runs or has finished."""
    GPU_READY = "GPUReady"
    """The cluster has a matching GPU. Absent if the template requires none."""
    DISCOVERED = "Discovered"
    """The profile and the sources of the weights are known."""


class TemplateCaching(ApiModel):
    """Download of the weights ahead of their use."""

    enabled: Annotated[bool, DEFAULTED] = False
    """Whether to download the weights as soon as their sources are known, before a service uses them. Creates a shared
    AIMTemplateCache with the name of the template."""
    env: EnvList = ()
    """Environment variables of the downloads, such as tokens. If empty, the template's `env` is used."""


class ServiceTemplateSpec(ProfileIdentity):
    """A runtime profile: metric, precision, hardware and the sources of the weights."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "!has(self.customProfile) || (has(self.aimId) && has(self.modelId) && has(self.hardware)"
                " && has(self.metric) && has(self.precision))",
                "customProfile needs aimId, modelId, hardware, metric and precision",
            ),
        )
    )

    model_name: Annotated[str, Schema(required=True, min_length=1, rules=(immutable("model name"),))] = ""
    """Name of the model that this template belongs to. For an AIMServiceTemplate, an AIMModel of the namespace takes
    precedence over an AIMClusterModel. Immutable."""
    metric: Annotated[MetricText, Schema(rules=(immutable("metric"),))] = ""
    """Optimization goal of the profile. If unset, the image decides. Immutable once set."""
    precision: Annotated[PrecisionText, Schema(rules=(immutable("precision"),))] = ""
    """Numeric precision of the profile. If unset, the image decides. Immutable once set."""
    hardware: Annotated[Hardware | None, Schema(rules=(immutable("hardware"),))] = None
    """Hardware of one replica. Defaults to the result of discovery. The template is `NotAvailable` while the cluster
    has no matching GPU. Immutable once set."""
    type: ProfileTypeText = ""
    """Profile type. Overrides the result of discovery. Automatic selection considers only templates of type `optimized`
    unless the service sets `template.allowUnoptimized`."""
    profile_id: str = ""
    """Profile of the image to use, passed to the container as `AIM_PROFILE_ID`. aimd reads it from the image in its
    registry, and needs no discovery job then. If unset, a discovery job lets the image select a profile by metric,
    precision and GPU, and the container gets the one that was found. Has no effect if `customProfile` is set."""
    model_sources: Annotated[tuple[ModelSource, ...], Schema(max_items=MOST_SOURCES)] = ()
    """Sources of the weights. If unset, they are those of the profile that `profileId` names, or a discovery job
    determines them with a dry run of the image."""
    env: EnvList = ()
    """Environment variables of the inference container. Override those of the runtime config; those of the service, and
    over all those of the profile, take precedence. The discovery job uses them too."""
    resources: ResourceRequirements | None = None
    """Resources of the inference container. Override those of the model; those of the service take precedence, key by
    key."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply. Defaults to `default`, which may be absent; any other name must exist."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets for pulling the image, in addition to those of the model and the service."""
    service_account_name: str = ""
    """Service account of the discovery job and the inference pods. For the pods, that of the service takes precedence.
    Defaults to the model's."""


class AIMServiceTemplateSpec(ServiceTemplateSpec):
    """Desired state of the template: a runtime profile, and optionally a cache."""

    caching: TemplateCaching | None = None
    """Download of the weights ahead of their use. Disabled by default."""


class AIMClusterServiceTemplateSpec(ServiceTemplateSpec):
    """Desired state of the template: a runtime profile. Caches are created in the namespaces of the services that use
    it.
    """


class DiscoveryState(ApiModel):
    """State of failed discovery attempts."""

    attempts: Int32 = 0
    """Number of consecutive failed attempts. The delay before the next attempt doubles from one minute to one hour."""
    last_attempt_time: Timestamp = ""
    """Time at which the last failure was observed."""
    last_failure_reason: str = ""
    """Explanation of the last failure."""
    spec_hash: str = ""
    """Hash of the inputs of discovery. The attempts start again when it changes."""


class ProfileMetadata(ApiModel):
    """Identity, engine, hardware and optimization goal of a profile."""

    aim_id: str = ""
    """Product family of the profile, for example `meta-llama/Llama-3-8B`. Empty for a profile that fits any model."""
    model_id: str = ""
    """Model whose weights the profile loads, as `organization/name`."""
    engine: str = ""
    """Inference engine, for example `vllm`."""
    gpu: str = ""
    """GPU model, for example `MI300X`."""
    gpu_count: Int32 = 0
    """Number of GPUs per replica."""
    metric: MetricText = ""
    """Optimization goal of the profile."""
    precision: PrecisionText = ""
    """Numeric precision of the profile."""
    type: ProfileTypeText = ""
    """Profile type: `optimized`, `general`, `preview` or `unoptimized`."""


class Profile(ApiModel):
    """A profile as reported by the image, or assembled from the spec if it sets `modelSources`."""

    metadata: ProfileMetadata | None = None
    """Engine, hardware and optimization goal of the profile."""
    engine_args: AnyJson = Field(None, alias="engine_args")
    """Arguments that the image passes to the engine. The name of this field is in snake case."""
    env_vars: Mapping[str, str] = Field({}, alias="env_vars")
    """Environment variables that the image sets for the engine. The name of this field is in snake case."""
    original_discovery_output: AnyJson = None
    """Output of the discovery job, or the profile file of the image in the same form."""


class ServiceTemplateStatus(BaseStatus):
    """Observed state of the template."""

    status: ComponentStatusText = Status.PENDING.value
    """Overall state. `Ready`: services can use the template. `Progressing`: discovery is running. `NotAvailable`: the
    cluster has no matching GPU. `Degraded` and `Failed`: see the conditions."""
    resolved_model: ResolvedReference | None = None
    """Model that `modelName` refers to."""
    version: str = ""
    """Tag of the model's image. Empty for an image that is named by a digest or without a tag."""
    resolved_runtime_config: ResolvedReference | None = None
    """Runtime config in effect."""
    model_sources: tuple[ModelSource, ...] = ()
    """Sources of the weights, from the spec or from discovery. Caches download these."""
    profile: Profile | None = None
    """Profile that services use."""
    hardware_summary: str = ""
    """Summary of the hardware, for example `8 x MI300X` or `CPU`."""
    resolved_hardware: Hardware | None = None
    """Hardware of one replica: GPU count and model from discovery if it ran, otherwise from the spec."""
    resolved_node_affinity: Annotated[dict[str, Any] | None, Schema(shape=NodeAffinity)] = None
    """Affinity for the nodes with a matching GPU, set on the inference pods."""
    resolved_cache: ResolvedReference | None = None
    """AIMTemplateCache that holds the weights of this template."""
    discovery_job: ResolvedReference | None = None
    """Job of the latest discovery attempt."""
    discovery: DiscoveryState | None = None
    """State of failed discovery attempts. Absent if the spec sets `modelSources`."""


TEMPLATE_COLUMNS = (
    PrinterColumn("Model", ".spec.modelName"),
    PrinterColumn("Status", ".status.status"),
    PrinterColumn("Hardware", ".status.hardwareSummary"),
    PrinterColumn("Metric", ".status.profile.metadata.metric"),
    PrinterColumn("Precision", ".status.profile.metadata.precision"),
)


class AIMServiceTemplate(ApiObject):
    """AIMServiceTemplate is a runtime profile of a model for services of its namespace: metric, precision, hardware and
    the sources of the weights. It stores the result of discovery, so that services start without repeating it.
    """

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = TEMPLATE_COLUMNS

    spec: AIMServiceTemplateSpec = AIMServiceTemplateSpec()
    """Desired state of the template."""
    status: ServiceTemplateStatus = ServiceTemplateStatus()
    """Observed state of the template, set by the controller."""


class AIMClusterServiceTemplate(ApiObject):
    """AIMClusterServiceTemplate is a runtime profile of a cluster model for services of all namespaces: metric,
    precision, hardware and the sources of the weights.
    """

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = TEMPLATE_COLUMNS

    spec: AIMClusterServiceTemplateSpec = AIMClusterServiceTemplateSpec()
    """Desired state of the template."""
    status: ServiceTemplateStatus = ServiceTemplateStatus()
    """Observed state of the template, set by the controller."""


AnyServiceTemplate: TypeAlias = AIMServiceTemplate | AIMClusterServiceTemplate
"""A template of either scope."""
