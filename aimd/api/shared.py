"""Structures and vocabularies that several kinds share."""

# tests: tests/unit/api/test_models.py, tests/unit/api/test_crd_facts.py

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, TypeAlias

from aimd.api.core import Conditions, EnvList, ParentReference
from aimd.api.schema import DEFAULTED, LONG, REQUIRED, AnyJson, ApiModel, Int32, Int64, Quantity, Rule, Schema
from aimd.api.source_uri import SOURCE_URI_PATTERN

MOST_OF_A_PATH_TEMPLATE = 1024
"""Most characters of a path template."""
MOST_SOURCES = 64
"""Most sets of weights of a template or cache."""
GPU_RESOURCE = "amd.com/gpu"
"""Extended resource under which AMD's device plugin advertises GPUs."""


class Scope(StrEnum):
    """Scope in which a reference was resolved. `MERGED` is for a runtime config that exists in both scopes."""

    NAMESPACE = "Namespace"
    CLUSTER = "Cluster"
    MERGED = "Merged"
    UNKNOWN = "Unknown"


class Metric(StrEnum):
    """Optimization goal of a profile."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class Precision(StrEnum):
    """Numeric format of the computation. `AUTO` leaves the choice to the image."""

    AUTO = "auto"
    FP4 = "fp4"
    FP8 = "fp8"
    FP16 = "fp16"
    FP32 = "fp32"
    FP64 = "fp64"
    BF16 = "bf16"
    INT4 = "int4"
    INT8 = "int8"


class ProfileType(StrEnum):
    """How well a profile is tuned. Automatic selection requires `OPTIMIZED` unless the service allows others.

    `GENERAL` fits any model; it is selected automatically where a model has no other.
    """

    OPTIMIZED = "optimized"
    GENERAL = "general"
    PREVIEW = "preview"
    UNOPTIMIZED = "unoptimized"


class CacheMode(StrEnum):
    """Ownership of downloaded weights: `SHARED` outlives its users, `DEDICATED` is deleted with its owner."""

    DEDICATED = "Dedicated"
    SHARED = "Shared"


class Status(StrEnum):
    """Values of `status.status`. The schema of each kind lists those it uses."""

    PENDING = "Pending"
    """Something that the object requires is not ready yet: its model, template, size or volume."""
    STARTING = "Starting"
    """The objects that the service consists of are being created."""
    PROGRESSING = "Progressing"
    """Work is in progress, such as a download or a discovery."""
    READY = "Ready"
    """The object can be used."""
    RUNNING = "Running"
    """The service serves requests."""
    DEGRADED = "Degraded"
    """The object works, with a problem described in the conditions; or something that it requires is missing or cannot
    be reached."""
    NOT_AVAILABLE = "NotAvailable"
    """The cluster lacks the GPUs that the object requires."""
    FAILED = "Failed"
    """The object cannot be used until a problem described in the conditions is solved."""


class CommonCondition(StrEnum):
    """Condition types that an object of any kind may have.

    Besides, `<Kind>Ready` is present while a child object of that kind cannot be written.
    """

    READY = "Ready"
    """The object can be used. Repeats the reason of the condition that is responsible if it cannot."""
    DEPENDENCIES_REACHABLE = "DependenciesReachable"
    """The API server, registries and sources of weights can be reached."""
    AUTH_VALID = "AuthValid"
    """Credentials are accepted."""
    CONFIG_VALID = "ConfigValid"
    """The spec is valid, and the objects that it refers to exist."""
    RUNTIME_CONFIG_READY = "RuntimeConfigReady"
    """The runtime config that the object uses exists. Absent on model sources and on runtime configs themselves."""
    SPEC_READY = "SpecReady"
    """The object can be parsed. Present only if it cannot."""


MetricText: TypeAlias = Annotated[str, Schema(enum=tuple(Metric))]
PrecisionText: TypeAlias = Annotated[str, Schema(enum=tuple(Precision))]
WeightsPrecisionText: TypeAlias = Annotated[
    str, Schema(enum=tuple(word for word in Precision if word not in (Precision.AUTO, Precision.FP64)))
]
"""Precision of stored weights, for which there is nothing to choose."""
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
    """Fields of every status."""

    conditions: Conditions = ()
    """Details of the state, one entry per aspect. `Ready` summarizes them. Each component of the object adds a
    condition `<Component>Ready`. `ConfigValid`, `AuthValid` and `DependenciesReachable` distinguish an invalid
    configuration, rejected credentials and an unreachable dependency."""
    observed_generation: Int64 = 0
    """Generation of the object that this status was computed for. If it is lower than `metadata.generation`, the latest
    change has not been processed yet."""


class ResolvedReference(ApiModel):
    """A resolved reference to an object."""

    name: str = ""
    """Name of the object."""
    namespace: str = ""
    """Namespace of the object. Empty for a cluster-scoped object."""
    scope: Annotated[str, Schema(enum=tuple(Scope))] = ""
    """Scope in which the object was found: `Namespace` or `Cluster`, or `Merged` if a runtime config exists in both."""
    kind: str = ""
    """Group, version and kind of the object, for example `aim.eai.amd.com/v1alpha1/AIMModel`."""
    uid: str = ""
    """UID of the object. Distinguishes it from a recreated object of the same name."""


class GpuHardware(ApiModel):
    """GPUs of one replica."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "!(has(self.model) && size(self.model) > 0 && has(self.minVram))",
                "set either model or minVram, not both: a GPU model determines the memory",
            ),
        )
    )

    requests: Annotated[Int32, Schema(minimum=0)] = 0
    """Number of GPUs. With 0 and a `model`, pods run on nodes with such GPUs but do not request one. Defaults to 0."""
    model: Annotated[str, Schema(max_length=64)] = ""
    """GPU model, for example `MI300X`. The spelling is normalized before it is compared with the nodes of the cluster.
    Defaults to any model. Mutually exclusive with `minVram`."""
    min_vram: Quantity = ""
    """Minimum memory of each GPU, for example `192Gi`. Any GPU model with that much memory matches. Mutually exclusive
    with `model`."""
    resource_name: Annotated[str, DEFAULTED] = GPU_RESOURCE
    """Name of the extended resource under which the device plugin advertises the GPUs."""


class CpuHardware(ApiModel):
    """CPU of one replica."""

    requests: Annotated[Quantity, REQUIRED] = ""
    """CPU cores reserved for each replica, for example `4` or `500m`. Must be greater than zero."""
    limits: Quantity = ""
    """Maximum number of CPU cores that a replica may use. Unlimited by default."""


class Hardware(ApiModel):
    """Hardware of one replica: GPUs, CPU, or both."""

    structure: ClassVar[Schema] = Schema(
        rules=(Rule("has(self.gpu) || has(self.cpu)", "set gpu, cpu, or both"),),
    )

    gpu: GpuHardware | None = None
    """GPUs of one replica. Without a number above zero, a `model` or `minVram`, no GPU is requested."""
    cpu: CpuHardware | None = None
    """CPU cores of one replica, for models that run without a GPU or need a fixed number of cores beside it."""


class ModelSource(ApiModel):
    """A set of weights and its source."""

    model_id: Annotated[str, Schema(required=True, pattern=r"^[a-zA-Z0-9_-]+/[a-zA-Z0-9._-]+$")] = ""
    """Name of the weights as `organization/name`. They are mounted at `/workspace/cache/<modelId>`, and with a custom
    profile for another model also under the name of that."""
    source_uri: Annotated[str, Schema(required=True, pattern=SOURCE_URI_PATTERN)] = ""
    """Source URI of the weights: `hf://organization/repository` or `s3://bucket/prefix`."""
    size: Quantity = ""
    """Size of the weights, for example `16Gi`, used to size the volume. If unset, a job determines it before the
    download."""
    precision: WeightsPrecisionText = ""
    """Numeric precision of the weights. The precision of a template with these sources that does not set its own."""
    env: EnvList = ()
    """Environment variables of the download of this source, such as credentials or `AWS_ENDPOINT_URL`. Override all
    other environment variables by name."""


class Storage(ApiModel):
    """Settings of the PersistentVolumeClaims for weights."""

    default_storage_class_name: str = ""
    """Storage class of the claims. Must support `ReadWriteMany`. The first of these that is set applies: the service's,
    the AIMRuntimeConfig's, the AIMClusterRuntimeConfig's, the cluster's default class."""
    pvc_headroom_percent: Annotated[Int32 | None, Schema(minimum=0)] = None
    """Extra space on the claims, in percent of the size of the weights. The first of these that is set applies: the
    service's, the AIMRuntimeConfig's, the AIMClusterRuntimeConfig's, 10. Existing claims keep their size."""
    read_only: bool | None = None
    """Whether inference containers mount the weights read-only. The first of these that is set applies: the service's,
    the AIMRuntimeConfig's, the AIMClusterRuntimeConfig's. If none is, services mount them read-only, except those whose
    InferenceService already mounts them writable."""


class Routing(ApiModel):
    """Settings of the HTTPRoutes that expose services through a Gateway."""

    enabled: bool | None = None
    """Whether to create an HTTPRoute. The service's value takes precedence over the AIMRuntimeConfig's, then the
    AIMClusterRuntimeConfig's. Defaults to false."""
    gateway_ref: ParentReference | None = None
    """Gateway that the route attaches to. Required if routing is enabled, on the service or a runtime config. The
    reference is not merged: that of the service takes precedence over the AIMRuntimeConfig's, then the
    AIMClusterRuntimeConfig's."""
    path_template: Annotated[str, Schema(max_length=MOST_OF_A_PATH_TEMPLATE)] = ""
    """Path of the route. JSONPath expressions in braces are evaluated on the AIMService, for example
    `/{.metadata.namespace}/chat/{.metadata.labels['team']}`. The result is lowercased, percent-encoded and limited to
    200 characters. If an expression has no value, the service is `Degraded` with reason `PathTemplateInvalid`. Defaults
    to `/<namespace>/<name>`."""
    request_timeout: str = ""
    """Timeout of requests at the gateway, as a duration such as `180s` or `2h30m`. Defaults to the gateway's own
    timeout."""
    annotations: Mapping[str, Annotated[str, LONG]] = {}
    """Annotations of the HTTPRoute. Those of the service, the AIMRuntimeConfig and the AIMClusterRuntimeConfig are
    merged by key, in this order of precedence."""


class GatewayName(ApiModel):
    """A Gateway."""

    namespace: Annotated[str, Schema(min_length=1, max_length=63)] = ""
    """Namespace of the Gateway."""
    name: Annotated[str, Schema(min_length=1, max_length=253)] = ""
    """Name of the Gateway."""


class ClusterRouting(Routing):
    """Settings of the HTTPRoutes that expose services through a Gateway, and what services may set themselves.

    What the config named `default` allows holds for all services, whatever config they name.
    """

    required_path_prefix: Annotated[str, Schema(max_length=1024)] = ""
    """Path that each route must be at or below, as a template like `pathTemplate`, for example
    `/{.metadata.namespace}/`. A service with another path has no route and the reason `RouteNotAllowed`. Defaults to no
    limit."""
    allowed_gateways: Annotated[tuple[GatewayName, ...], Schema(max_items=64)] = ()
    """Gateways that routes may attach to. A service with another `gatewayRef` has no route and the reason
    `RouteNotAllowed`. Defaults to all."""
    allowed_annotation_prefixes: Annotated[tuple[str, ...], Schema(max_items=64)] = ()
    """Beginnings of the keys that `annotations` of services and AIMRuntimeConfigs may have. Those of this config itself
    are always allowed. A service with another annotation has no route and the reason `RouteNotAllowed`. Defaults to
    all."""


class CustomProfile(ApiModel):
    """Settings of the inference engine, mounted as a profile file beside the profiles of the image."""

    engine_args: AnyJson = None
    """Arguments of the inference engine as an object, for example `{"gpu-memory-utilization": 0.95}`. Numbers,
    booleans and lists keep their type. Must not contain the model. A value that is not an object is reported as an
    invalid spec."""
    env_vars: Mapping[str, Annotated[str, LONG]] = {}
    """Environment variables of the engine process. Override the container's, which `env` of runtime config, template
    and service set. Names consist of uppercase letters, digits and underscores."""


class ProfileIdentity(ApiModel):
    """The fields of a template with a custom profile."""

    aim_id: str = ""
    """Product family of the profile as `organization/name`, for example `meta-llama/Llama-3-8B`. Determines the folder
    in which the profile is mounted, and the variable `AIM_ID`. Required with `customProfile`."""
    model_id: str = ""
    """Model that the profile is written for, as `organization/name`. May differ from the `modelId` of the weights in
    `modelSources`: those with this id, else the only ones, are mounted at `/workspace/cache/<modelId>`. Required with
    `customProfile`."""
    custom_profile: CustomProfile | None = None
    """Engine arguments and environment variables of this template. They are mounted as a profile file and selected with
    `AIM_PROFILE_ID`, instead of `profileId`. Requires `aimId`, `modelId`, hardware with a GPU model and 1 to 8 GPUs,
    metric, and a precision other than `auto` and `fp64`. A later change restarts the services that use the template."""
