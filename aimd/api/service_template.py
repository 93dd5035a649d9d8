"""AIMServiceTemplate and AIMClusterServiceTemplate: runtime profiles of a model (spec/api.md 3.7, 3.8, chapter 6)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

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


class TemplateCaching(ApiModel):
    """Downloading ahead of use."""

    enabled: Annotated[bool, DEFAULTED] = False
    """Whether to download the weights as soon as their sources are known, before any service asks. Makes a shared
    AIMTemplateCache named like the template."""
    env: EnvList = ()
    """Environment of downloads, such as tokens. The cache that this template makes gets this list and not `env`."""


class ServiceTemplateSpec(ProfileIdentity):
    """A runtime profile: which metric, precision and hardware, and where the weights are."""

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
    """Model that this template belongs to: for a namespaced template an AIMModel of the namespace, for a cluster one an
    AIMClusterModel. Cannot be changed."""
    metric: Annotated[MetricText, Schema(rules=(immutable("metric"),))] = ""
    """What the profile is optimised for. Left out, the image decides. Cannot be changed once set."""
    precision: Annotated[PrecisionText, Schema(rules=(immutable("precision"),))] = ""
    """Numeric precision. Left out, the image decides. Cannot be changed once set."""
    hardware: Annotated[Hardware | None, Schema(rules=(immutable("hardware"),))] = None
    """Hardware of one replica. Left out, what discovery finds counts. The template is `NotAvailable` while the cluster
    has no such GPU. Cannot be changed once set."""
    type: ProfileTypeText = ""
    """How well the profile is tuned, over what discovery finds. Automatic choice of a service takes `optimized` ones
    unless it allows more."""
    profile_id: str = ""
    """Profile of the image to use, passed on as `AIM_PROFILE_ID`. Left out, the image chooses by metric, precision and
    GPU. Without effect together with `customProfile`."""
    model_sources: tuple[ModelSource, ...] = ()
    """Where the weights are. Given, no discovery job runs; left out, the image is asked by a dry run."""
    env: EnvList = ()
    """Environment of the inference container, over the runtime config's and under the service's. A namespaced template
    also hands it to its discovery job."""
    resources: ResourceRequirements | None = None
    """Resources of the inference container, laid over the model's and under the service's, key by key."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply; `default` when left out, any other name has to exist."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets for pulling the image, in addition to those of model and service."""
    service_account_name: str = ""
    """Service account of discovery jobs and inference pods where model or service name none."""


class AIMServiceTemplateSpec(ServiceTemplateSpec):
    """A runtime profile, with a cache on request."""

    caching: TemplateCaching | None = None
    """Whether to download the weights ahead of use; off when left out."""


class AIMClusterServiceTemplateSpec(ServiceTemplateSpec):
    """A runtime profile. Caches are made in the namespaces of the services that use it."""


class DiscoveryState(ApiModel):
    """Attempts at discovery."""

    attempts: Int32 = 0
    """Failed attempts in a row; the pause before the next doubles from one minute up to an hour."""
    last_attempt_time: Timestamp = ""
    """When the last failure was noticed."""
    last_failure_reason: str = ""
    """What the last failed job said."""
    spec_hash: str = ""
    """Fingerprint of what discovery depends on; when it changes, the attempts start again."""


class ProfileMetadata(ApiModel):
    """What a profile is made for."""

    engine: str = ""
    """Inference engine, for example `vllm`."""
    gpu: str = ""
    """GPU model."""
    gpu_count: Int32 = 0
    """GPUs per replica."""
    metric: MetricText = ""
    """What the profile is optimised for."""
    precision: PrecisionText = ""
    """Numeric precision."""
    type: ProfileTypeText = ""
    """How well the profile is tuned."""


class Profile(ApiModel):
    """A profile as the image reports it, or as assembled from the spec when sources are given there."""

    metadata: ProfileMetadata | None = None
    """What the profile is made for."""
    engine_args: AnyJson = Field(None, alias="engine_args")
    """Arguments that the image passes to the engine. Spelled in snake case."""
    env_vars: Mapping[str, str] = Field({}, alias="env_vars")
    """Environment that the image sets for the engine. Spelled in snake case."""
    original_discovery_output: AnyJson = None
    """What the image printed, for debugging."""


class ServiceTemplateStatus(BaseStatus):
    """What discovery and the checks found."""

    status: ComponentStatusText = Status.PENDING.value
    """`Ready`: services can use the template. `Progressing`: discovery runs. `NotAvailable`: the cluster lacks the GPU.
    `Degraded` and `Failed`: see the conditions."""
    resolved_model: ResolvedReference | None = None
    """Model that `modelName` means."""
    resolved_runtime_config: ResolvedReference | None = None
    """Runtime config in force."""
    model_sources: tuple[ModelSource, ...] = ()
    """Sources of the weights, from the spec or from discovery; a cache fetches these."""
    profile: Profile | None = None
    """Profile that inference will use."""
    hardware_summary: str = ""
    """The hardware in short, for example `8 x MI300X` or `CPU`."""
    resolved_hardware: Hardware | None = None
    """Hardware that inference will use: count and model from discovery where it ran, else from the spec."""
    resolved_node_affinity: Annotated[dict[str, Any] | None, Schema(shape=NodeAffinity)] = None
    """Nodes that have the wanted GPU; put on the inference pods."""
    resolved_cache: ResolvedReference | None = None
    """Cache that holds the weights of this template."""
    discovery_job: ResolvedReference | None = None
    """Job of the latest discovery."""
    discovery: DiscoveryState | None = None
    """Attempts at discovery; absent when the spec gives the sources."""


TEMPLATE_COLUMNS = (
    PrinterColumn("Model", ".spec.modelName"),
    PrinterColumn("Status", ".status.status"),
    PrinterColumn("Hardware", ".status.hardwareSummary"),
    PrinterColumn("Metric", ".status.profile.metadata.metric"),
    PrinterColumn("Precision", ".status.profile.metadata.precision"),
)


class AIMServiceTemplate(ApiObject):
    """A runtime profile of a model in a namespace: metric, precision, hardware and the sources of the weights. Keeps
    what a dry run of the image revealed, so that services start without asking again."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = TEMPLATE_COLUMNS

    spec: AIMServiceTemplateSpec = AIMServiceTemplateSpec()
    """The profile."""
    status: ServiceTemplateStatus = ServiceTemplateStatus()
    """What discovery and the checks found; written by aimd."""


class AIMClusterServiceTemplate(ApiObject):
    """A runtime profile of a cluster model, for services of all namespaces: metric, precision, hardware and the sources
    of the weights."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = TEMPLATE_COLUMNS

    spec: AIMClusterServiceTemplateSpec = AIMClusterServiceTemplateSpec()
    """The profile."""
    status: ServiceTemplateStatus = ServiceTemplateStatus()
    """What discovery and the checks found; written by aimd."""
