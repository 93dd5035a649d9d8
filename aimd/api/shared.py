"""Structures and vocabularies that several kinds share (spec/api.md chapters 2 and 6)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, TypeAlias

from aimd.api.core import Conditions, EnvList, ParentReference
from aimd.api.schema import DEFAULTED, REQUIRED, AnyJson, ApiModel, Int32, Int64, Quantity, Rule, Schema


class Scope(StrEnum):
    """Where a reference was resolved; `MERGED` for a runtime config that exists in both places."""

    NAMESPACE = "Namespace"
    CLUSTER = "Cluster"
    MERGED = "Merged"
    UNKNOWN = "Unknown"


class Metric(StrEnum):
    """What a profile is optimised for."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class Precision(StrEnum):
    """Numeric format of the computation; `AUTO` leaves it to the image."""

    AUTO = "auto"
    FP4 = "fp4"
    FP8 = "fp8"
    FP16 = "fp16"
    FP32 = "fp32"
    BF16 = "bf16"
    INT4 = "int4"
    INT8 = "int8"


class ProfileType(StrEnum):
    """How well a profile is tuned; automatic choice takes `OPTIMIZED` unless the service allows more."""

    OPTIMIZED = "optimized"
    PREVIEW = "preview"
    UNOPTIMIZED = "unoptimized"


class CacheMode(StrEnum):
    """Who owns downloaded weights: `SHARED` outlives its users, `DEDICATED` belongs to one of them."""

    DEDICATED = "Dedicated"
    SHARED = "Shared"


class Status(StrEnum):
    """Words of `status.status`; each kind's schema lists the ones it uses."""

    PENDING = "Pending"
    STARTING = "Starting"
    PROGRESSING = "Progressing"
    READY = "Ready"
    RUNNING = "Running"
    DEGRADED = "Degraded"
    NOT_AVAILABLE = "NotAvailable"
    FAILED = "Failed"


MetricText: TypeAlias = Annotated[str, Schema(enum=tuple(Metric))]
PrecisionText: TypeAlias = Annotated[str, Schema(enum=tuple(Precision))]
ProfileTypeText: TypeAlias = Annotated[str, Schema(enum=tuple(ProfileType))]
CacheModeText: TypeAlias = Annotated[str, Schema(enum=tuple(CacheMode))]

ComponentStatusText: TypeAlias = Annotated[
    str,
    Schema(
        defaulted=True,
        enum=(
            Status.PENDING,
            Status.PROGRESSING,
            Status.READY,
            Status.DEGRADED,
            Status.FAILED,
            Status.NOT_AVAILABLE,
        ),
    ),
]
"""Overall state of models, templates, caches and artifacts."""


class BaseStatus(ApiModel):
    """What every status has."""

    conditions: Conditions = ()
    """Details of the state, one entry per aspect. `Ready` sums them up; each component adds `<Component>Ready`, and
    `ConfigValid`, `AuthValid` and `DependenciesReachable` tell a mistake in the object from trouble around it."""
    observed_generation: Int64 = 0
    """Generation of the object this status was computed for; lower than `metadata.generation` means that the newest
    edit has not been looked at yet."""


class ResolvedReference(ApiModel):
    """An object that a reference turned out to mean."""

    name: str = ""
    """Name of the object."""
    namespace: str = ""
    """Namespace of the object; empty for a cluster-scoped one."""
    scope: Annotated[str, Schema(enum=tuple(Scope))] = ""
    """Where it was found: `Namespace` or `Cluster`, or `Merged` when a runtime config exists in both."""
    kind: str = ""
    """Kind of the object with its group and version, for example `aim.eai.amd.com/v1alpha1/AIMModel`."""
    uid: str = ""
    """UID of the object; tells a recreated namesake from the one used before."""


class GpuHardware(ApiModel):
    """GPUs of one replica."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "!(has(self.model) && size(self.model) > 0 && has(self.minVram))",
                "give either a GPU model or minVram, not both: a model already fixes the memory",
            ),
        )
    )

    requests: Annotated[Int32, Schema(minimum=0)] = 0
    """Number of GPUs. With 0 and a `model`, pods are placed on nodes with such GPUs without claiming one."""
    model: Annotated[str, Schema(max_length=64)] = ""
    """GPU model such as `MI300X`; spelling is normalised before it is compared with the cluster's nodes. Left out, any
    model will do. Not together with `minVram`."""
    min_vram: Quantity = ""
    """Least memory of each GPU, for example `192Gi`; picks every GPU model that has it. Not together with `model`."""
    resource_name: Annotated[str, DEFAULTED] = "amd.com/gpu"
    """Extended resource under which the device plugin offers the GPUs."""


class CpuHardware(ApiModel):
    """CPU of one replica."""

    requests: Annotated[Quantity, REQUIRED] = ""
    """CPU cores that the scheduler sets aside, for example `4` or `500m`; has to be above zero."""
    limits: Quantity = ""
    """Most CPU cores a replica may use; unlimited when left out."""


class Hardware(ApiModel):
    """Hardware of one replica: GPUs, CPU, or both."""

    structure: ClassVar[Schema] = Schema(
        rules=(Rule("has(self.gpu) || has(self.cpu)", "name gpu, cpu, or both"),),
    )

    gpu: GpuHardware | None = None
    """GPUs. A part with neither a count above zero, a model nor `minVram` asks for no GPU."""
    cpu: CpuHardware | None = None
    """CPU cores, for models that run without a GPU or need a definite share beside it."""


class ModelSource(ApiModel):
    """A set of weights and where to fetch it."""

    model_id: Annotated[str, Schema(required=True, pattern=r"^[a-zA-Z0-9_-]+/[a-zA-Z0-9._-]+$")] = ""
    """Identity of the weights as `organisation/name`; they are mounted at `/workspace/cache/<modelId>`."""
    source_uri: Annotated[str, Schema(required=True, pattern=r"^(hf|s3)://[^ \t\r\n]+$")] = ""
    """Where to fetch the weights: `hf://organisation/repository` or `s3://bucket/prefix`."""
    size: Quantity = ""
    """Size of the weights, for example `16Gi`, used to dimension the volume. Left out, a job finds it out first."""
    env: EnvList = ()
    """Environment of the download of this source, such as credentials or `AWS_ENDPOINT_URL`; wins over every outer
    list, by name."""


class Storage(ApiModel):
    """How volumes for weights are claimed."""

    default_storage_class_name: str = ""
    """Storage class of the claims; has to offer `ReadWriteMany`. Left out, the next weaker level decides (service,
    namespaced runtime config, cluster runtime config), finally the cluster's default class."""
    pvc_headroom_percent: Annotated[Int32 | None, Schema(minimum=0)] = None
    """Extra space on the claims, in percent of the weights' size. Left out, the next weaker level decides, finally
    10. Claims that exist keep their size."""


class Routing(ApiModel):
    """How services are reached from outside through the Gateway API."""

    enabled: bool | None = None
    """Whether to make an HTTPRoute. Left out, the next weaker level decides; with no word on any level there is no
    route."""
    gateway_ref: ParentReference | None = None
    """Gateway that the route attaches to. Needed, on some level, as soon as routing is enabled; taken as a whole from
    the strongest level that has one."""
    path_template: str = ""
    """Path of the route, with JSONPath expressions over the AIMService in braces, for example
    `/{.metadata.namespace}/chat/{.metadata.labels['team']}`. The result is lower-cased, percent-encoded and may have
    200 characters; an expression without a value makes the service `Degraded` with reason `PathTemplateInvalid`.
    Left out on every level: `/<namespace>/<name>`."""
    request_timeout: str = ""
    """How long the gateway waits for an answer, as a duration such as `180s` or `2h30m`. Left out, the gateway's own
    limit holds."""
    annotations: Mapping[str, str] = {}
    """Annotations of the HTTPRoute, merged by key; the stronger level wins."""


class CustomProfile(ApiModel):
    """Engine tuning that is written to a profile file and mounted beside the profiles of the image."""

    engine_args: AnyJson = None
    """Arguments of the inference engine as an object, for example `{"gpu-memory-utilization": 0.95}`. Numbers,
    booleans and lists keep their type. The model itself does not belong here. Anything but an object is reported as
    an invalid spec."""
    env_vars: Mapping[str, str] = {}
    """Environment of the engine process, as opposed to `env`, which is the container's. Names consist of upper-case
    letters, digits and underscores."""


class ProfileIdentity(ApiModel):
    """The three fields that make a template carry a profile of its own."""

    aim_id: str = ""
    """Product family of the profile, for example `meta-llama/Llama-3-8B`; names the folder that the profile is mounted
    at and becomes `AIM_ID`. Required with `customProfile`."""
    model_id: str = ""
    """Model that the profile is written for. May differ from the id of the weights in `modelSources`. Required with
    `customProfile`."""
    custom_profile: CustomProfile | None = None
    """Engine arguments and environment of this template's own. They are mounted as a profile file and selected through
    `AIM_PROFILE_ID`, which then takes precedence over `profileId`. Needs `aimId`, `modelId`, hardware, metric and
    precision. A later edit restarts the services that use the template."""
