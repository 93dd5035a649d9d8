"""AIMService: one inference endpoint."""

# tests: tests/unit/api/test_models.py, tests/unit/api/test_crd_facts.py

from enum import StrEnum
from typing import Annotated, ClassVar

from aimd.api.core import ApiObject, EnvList, LocalObjectReference, ResourceRequirements
from aimd.api.schema import DEFAULTED, REQUIRED, ApiModel, Int32, PrinterColumn, Rule, Schema, immutable
from aimd.api.shared import (
    BaseStatus,
    Hardware,
    MetricText,
    ModelSource,
    PrecisionText,
    ResolvedReference,
    Routing,
    Status,
    Storage,
)


class ServiceCacheMode(StrEnum):
    """Ownership of the cache. `AUTO` and `ALWAYS` are old spellings of `SHARED`, `NEVER` of `DEDICATED`."""

    DEDICATED = "Dedicated"
    SHARED = "Shared"
    AUTO = "Auto"
    ALWAYS = "Always"
    NEVER = "Never"


class TargetType(StrEnum):
    """Meaning of the value of a scaling target."""

    VALUE = "Value"
    AVERAGE_VALUE = "AverageValue"
    UTILIZATION = "Utilization"


class ServiceCondition(StrEnum):
    """Condition types of an AIMService, beside those of every object."""

    MODEL_READY = "ModelReady"
    """The model is found and ready."""
    TEMPLATE_READY = "TemplateReady"
    """A template is selected and ready."""
    INFERENCE_SERVICE_READY = "InferenceServiceReady"
    """The InferenceService serves requests."""
    INFERENCE_SERVICE_PODS_READY = "InferenceServicePodsReady"
    """The pods of the InferenceService run. Absent before the InferenceService exists."""
    CACHE_READY = "CacheReady"
    """The weights are downloaded."""
    HTTP_ROUTE_READY = "HTTPRouteReady"
    """The gateway has accepted the route. Absent while routing is disabled."""
    HPA_READY = "HPAReady"
    """The autoscaler works. Absent while autoscaling is off."""
    FIELDS_IGNORED = "FieldsIgnored"
    """`True` if fields of the spec have no effect. Does not affect `Ready`. Absent if all fields have an effect."""


class CustomModelReference(ApiModel):
    """A model described inline: an AIM base image with your own weights."""

    structure: ClassVar[Schema] = Schema(
        rules=(Rule("size(self.modelSources) >= 1", "specify a source of the weights"),)
    )

    base_image: Annotated[str, REQUIRED] = ""
    """AIM base image that serves the weights, for example `amdenterpriseai/aim-vllm-base:0.10.0`."""
    model_sources: Annotated[tuple[ModelSource, ...], Schema(required=True, min_items=1, max_items=1)] = ()
    """Source of the weights. Exactly one entry."""
    hardware: Annotated[Hardware, REQUIRED] = Hardware()
    """Hardware of one replica. A service shares the custom model of another service in the namespace only if base
    image, sources and hardware are equal."""


class ModelReference(ApiModel):
    """A model, specified in one of three ways."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "(has(self.name) ? 1 : 0) + (has(self.image) ? 1 : 0) + (has(self.custom) ? 1 : 0) == 1",
                "set exactly one of name, image and custom",
            ),
        )
    )

    name: str = ""
    """Name of an AIMModel in the service's namespace or, if there is none, of an AIMClusterModel. The service is
    `Failed` until a model of that name exists."""
    image: str = ""
    """AIM container image. The service uses an existing model with exactly this image. If there is none, aimd creates
    an AIMModel in the namespace, which is kept when the service is deleted."""
    custom: CustomModelReference | None = None
    """An AIM base image with your own weights. aimd creates an AIMModel for it unless the namespace has one with equal
    base image, sources and hardware. The model's template is `unoptimized`, so automatic selection requires
    `template.allowUnoptimized`."""


class TemplateReference(ApiModel):
    """Selection of the template."""

    name: str = ""
    """Template to use: its name, or its alias among the model's `customTemplates`. A template in the namespace takes
    precedence over a cluster template. It must belong to the model. If unset, the best usable template of the model is
    selected."""
    allow_unoptimized: bool | None = None
    """Whether automatic selection may choose templates of type `preview` or `unoptimized`. Defaults to false. Has no
    effect if `name` is set."""


class ServiceCaching(ApiModel):
    """Ownership of the downloaded weights."""

    mode: Annotated[str, Schema(defaulted=True, enum=tuple(ServiceCacheMode))] = ServiceCacheMode.SHARED.value
    """`Shared`: use or create a cache that other services of the namespace can use, and that is kept when this service
    is deleted. `Dedicated`: create a cache for this service only, which is deleted with it. `Auto` and `Always` are old
    spellings of `Shared`, `Never` of `Dedicated`."""


class ServiceOverrides(ApiModel):
    """Parameters that override the template's."""

    metric: Annotated[MetricText, Schema(rules=(immutable("metric"),))] = ""
    """Optimization goal to use instead of the template's. Immutable once set."""
    precision: Annotated[PrecisionText, Schema(rules=(immutable("precision"),))] = ""
    """Numeric precision to use instead of the template's. Immutable once set."""
    hardware: Annotated[Hardware | None, Schema(rules=(immutable("hardware"),))] = None
    """Hardware of one replica to use instead of the template's. Immutable once set."""


class MetricQuery(ApiModel):
    """The metric to measure, and where to read it."""

    backend: Annotated[str, Schema(defaulted=True, enum=("opentelemetry",))] = "opentelemetry"
    """Type of the metrics backend. The only value is `opentelemetry`."""
    server_address: str = ""
    """Address of the metrics server as `host:port`. Defaults to KServe's address of the OpenTelemetry scaler."""
    metric_names: tuple[str, ...] = ()
    """Metrics that the collector sidecar of each pod forwards, for example `vllm:num_requests_running`."""
    query: str = ""
    """Query whose result is compared with the target, usually the name of a metric. Required; an empty query is
    reported in the condition `HPAReady`."""
    operation_over_time: str = ""
    """Function that combines samples over time: `last_one`, `avg`, `max`, `min`, `rate` or `count`. Defaults to
    `last_one`."""


class MetricTarget(ApiModel):
    """Target value of a metric."""

    type: Annotated[str, Schema(required=True, enum=tuple(TargetType))] = ""
    """Type of the target. `Value` compares the result of the query directly, `AverageValue` divides it by the number of
    pods; the field of the same name is then required. `Utilization` is a percentage of a resource, which does not apply
    to pod metrics; it is reported in the condition `HPAReady`, and the service is not scaled."""
    value: str = ""
    """Target of type `Value`, as a quantity such as `"1"`."""
    average_value: str = ""
    """Target of type `AverageValue`, as a quantity such as `"2"`."""
    average_utilization: Int32 | None = None
    """Target of type `Utilization`, in percent."""


class PodMetric(ApiModel):
    """A metric of the pods and its target."""

    metric: Annotated[MetricQuery, REQUIRED] = MetricQuery()
    """The metric to measure, and where to read it."""
    target: Annotated[MetricTarget, REQUIRED] = MetricTarget()
    """Target value. Replicas are added above it and removed below it."""


class AutoScalingMetric(ApiModel):
    """A metric to scale on."""

    type: Annotated[str, Schema(required=True, enum=("PodMetric",))] = ""
    """Type of the metric. The only value is `PodMetric`."""
    podmetric: PodMetric | None = None
    """The metric and its target. The name of this field is all lowercase."""


class AutoScaling(ApiModel):
    """Metrics-based autoscaling."""

    metrics: tuple[AutoScalingMetric, ...] = ()
    """Metrics to scale on. The metric that requires the most replicas decides. Defaults to `vllm:num_requests_running`
    with an average of 1 per pod."""


class AIMServiceSpec(ApiModel):
    """Desired state of the service."""

    model: Annotated[ModelReference, Schema(required=True, rules=(immutable("model"),))] = ModelReference()
    """Model to serve, specified in exactly one of three ways: by the name of a model, by its image, or inline.
    Immutable; create another service to serve another model."""
    template: Annotated[TemplateReference | None, Schema(rules=(immutable("template"),))] = None
    """Selection of the template, which determines metric, precision and hardware. If unset, the best optimized template
    that fits the cluster's GPUs is selected. Immutable once set."""
    caching: Annotated[ServiceCaching | None, Schema(rules=(immutable("caching"),))] = None
    """Ownership of the downloaded weights. Defaults to `Shared`. Immutable once set."""
    cache_model: bool | None = None
    """Deprecated and without effect: weights are always cached. See `caching`."""
    replicas: Annotated[Int32, DEFAULTED] = 1
    """Number of replicas. Has no effect while autoscaling is on, that is, if `minReplicas`, `maxReplicas` or
    `autoScaling` is set."""
    min_replicas: Annotated[Int32 | None, Schema(minimum=1)] = None
    """Minimum number of replicas under autoscaling. Defaults to 1. Setting it enables autoscaling."""
    max_replicas: Annotated[Int32 | None, Schema(minimum=1)] = None
    """Maximum number of replicas under autoscaling. Defaults to `minReplicas`. Setting it enables autoscaling."""
    auto_scaling: AutoScaling | None = None
    """Metrics that determine the number of replicas between `minReplicas` and `maxReplicas`. Setting it enables
    autoscaling, which requires KEDA with its OpenTelemetry scaler."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply: the AIMRuntimeConfig of that name in the namespace, merged over the
    AIMClusterRuntimeConfig of that name. Defaults to `default`, which may be absent; any other name must exist as one
    of the two."""
    env: EnvList = ()
    """Environment variables of the inference container and of the downloads for this service. Override those of the
    template and the runtime config by name; the values of `AIM_ENGINE_ARGS` are merged as JSON objects. Variables that
    the profile sets have no effect here, which the condition `FieldsIgnored` reports."""
    resources: ResourceRequirements | None = None
    """Resources of the inference container. Override those of the template and the model key by key. Where nothing is
    set and GPUs are used, the defaults per GPU are 4 CPUs, 32Gi of memory and a memory limit of 48Gi."""
    overrides: ServiceOverrides | None = None
    """Metric, precision or hardware to use instead of the template's. aimd derives a separate template for a service
    with overrides."""
    routing: Routing | None = None
    """HTTP route of this service. Overrides the runtime config's `routing` field by field."""
    storage: Storage | None = None
    """Storage of the caches created for this service. Overrides the runtime config's `storage` field by field."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets in the namespace for pulling the inference image, in addition to those of the template and the model.
    Also passed on to a model created for this service."""
    service_account_name: str = ""
    """Service account of the inference pods. Overrides those of the template and the model. Also passed on to a model
    created for this service."""


class CacheState(ApiModel):
    """State of the cache."""

    template_cache_ref: ResolvedReference | None = None
    """AIMTemplateCache that provides the weights. Set once the cache is ready."""
    retry_attempts: int | None = None
    """Not used. Kept for compatibility: failed downloads are retried by the artifact."""


class RoutingState(ApiModel):
    """State of the route."""

    path: str = ""
    """Path prefix under which the gateway serves this service, with the path template evaluated."""


class RuntimeState(ApiModel):
    """State of the replicas."""

    current_replicas: Int32 | None = None
    """Current number of replicas, as the autoscaler reports it; without autoscaling, the number of ready replicas."""
    desired_replicas: Int32 | None = None
    """Number of replicas that the autoscaler requests; without autoscaling, `spec.replicas`."""
    min_replicas: Int32 | None = None
    """Minimum number of replicas; without autoscaling, `spec.replicas`."""
    max_replicas: Int32 | None = None
    """Maximum number of replicas; without autoscaling, `spec.replicas`."""
    replicas: str = ""
    """Summary of the replicas: the current number, such as `2`, or `current/desired (min-max)`, such as `2/3 (1-5)`, if
    the bounds differ."""


class TemplateVerdict(ApiModel):
    """Result of automatic selection for one candidate."""

    name: str = ""
    """Name of the template."""
    scope: str = ""
    """Scope of the template: `Namespace` or `Cluster`."""
    verdict: str = ""
    """`BestMatch` for the selected template; otherwise why it was not selected, for example `TemplateProgressing`,
    `UnoptimizedTemplateFiltered`, `ServiceOverridesNotMatched`, `RequiredGPUNotInCluster` or `LowerPreferenceRank`."""


class AIMServiceStatus(BaseStatus):
    """Observed state of the service."""

    status: Annotated[
        str,
        Schema(
            defaulted=True,
            enum=(Status.PENDING, Status.STARTING, Status.RUNNING, Status.DEGRADED, Status.FAILED),
        ),
    ] = Status.PENDING.value
    """Overall state. `Pending`: the model or the template is not ready. `Starting`: the cache, the InferenceService or
    the route is being created. `Running`: the service serves requests. `Degraded`: the service serves requests, with a
    problem described in the conditions. `Failed`: the service cannot start until a problem described in the conditions
    is solved."""
    resolved_model: ResolvedReference | None = None
    """Model that the service uses. Set once the model is ready."""
    resolved_template: ResolvedReference | None = None
    """Template that the service uses. Set once the template is ready."""
    template_candidates: tuple[TemplateVerdict, ...] = ()
    """Templates considered by automatic selection, the selected one first, with the result for each. At most 20. Absent
    if the service names its template."""
    resolved_runtime_config: ResolvedReference | None = None
    """Runtime config in effect."""
    cache: CacheState | None = None
    """State of the cache that provides the weights."""
    routing: RoutingState | None = None
    """State of the route. Absent while there is no route."""
    runtime: RuntimeState | None = None
    """State of the replicas."""


class AIMService(ApiObject):
    """AIMService is an inference endpoint. It specifies a model; aimd selects a template, downloads the weights, runs
    the replicas and, on request, creates an HTTP route and an autoscaler.
    """

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Status", ".status.status"),
        PrinterColumn("Model", ".status.resolvedModel.name"),
        PrinterColumn("Template", ".status.resolvedTemplate.name"),
        PrinterColumn("Replicas", ".status.runtime.replicas"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: AIMServiceSpec = AIMServiceSpec()
    """Desired state of the service."""
    status: AIMServiceStatus = AIMServiceStatus()
    """Observed state of the service, set by the controller."""
