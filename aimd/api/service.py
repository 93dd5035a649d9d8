"""AIMService: one inference endpoint (spec/api.md 3.1)."""

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
    """`AUTO` and `ALWAYS` are old spellings of `SHARED`, `NEVER` of `DEDICATED`."""

    DEDICATED = "Dedicated"
    SHARED = "Shared"
    AUTO = "Auto"
    ALWAYS = "Always"
    NEVER = "Never"


class TargetType(StrEnum):
    """How a scaling target is read."""

    VALUE = "Value"
    AVERAGE_VALUE = "AverageValue"
    UTILIZATION = "Utilization"


class CustomModelReference(ApiModel):
    """A model described in place."""

    structure: ClassVar[Schema] = Schema(rules=(Rule("size(self.modelSources) >= 1", "name a source of the weights"),))

    base_image: Annotated[str, REQUIRED] = ""
    """AIM base image that serves the weights, for example `amdenterpriseai/aim-vllm-base:0.10.0`."""
    model_sources: Annotated[tuple[ModelSource, ...], Schema(required=True, min_items=1, max_items=1)] = ()
    """Where the weights are; exactly one entry."""
    hardware: Annotated[Hardware, REQUIRED] = Hardware()
    """Hardware that one replica needs. A service whose image and sources equal those of an existing custom model
    shares that model, whatever its hardware."""


class ModelReference(ApiModel):
    """A model, named in one of three ways."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "(has(self.name) ? 1 : 0) + (has(self.image) ? 1 : 0) + (has(self.custom) ? 1 : 0) == 1",
                "give exactly one of name, image and custom",
            ),
        )
    )

    name: str = ""
    """Name of an AIMModel in the namespace or, failing that, of an AIMClusterModel. A model that does not exist yet
    makes the service `Failed` until it appears."""
    image: str = ""
    """AIM container image. A model with exactly this image is used; if there is none, an AIMModel is created in the
    namespace and stays when the service goes."""
    custom: CustomModelReference | None = None
    """A base image with weights of one's own. An AIMModel is created for it unless an equal one exists. Its templates
    are `unoptimized`, so automatic choice usually needs `template.allowUnoptimized`."""


class TemplateReference(ApiModel):
    """How the template is chosen."""

    name: str = ""
    """Name, or alias among the model's custom templates, of the template to use; the namespace is searched before the
    cluster. Has to belong to the model. Left out, the best usable template of the model is chosen."""
    allow_unoptimized: bool | None = None
    """Let automatic choice also take profiles of type `preview` and `unoptimized`. Off when left out; of no effect
    together with `name`."""


class ServiceCaching(ApiModel):
    """Ownership of the downloaded weights."""

    mode: Annotated[str, Schema(defaulted=True, enum=tuple(ServiceCacheMode))] = ServiceCacheMode.SHARED.value
    """`Shared` uses or makes a cache that other services of the namespace use too and that stays when this service
    goes. `Dedicated` makes one for this service alone, deleted with it. `Auto` and `Always` are old spellings of
    `Shared`, `Never` of `Dedicated`."""


class ServiceOverrides(ApiModel):
    """Parameters that replace the template's."""

    metric: Annotated[MetricText, Schema(rules=(immutable("metric"),))] = ""
    """Optimisation goal to use instead of the template's. Cannot be changed once set."""
    precision: Annotated[PrecisionText, Schema(rules=(immutable("precision"),))] = ""
    """Numeric precision to use instead of the template's. Cannot be changed once set."""
    hardware: Annotated[Hardware | None, Schema(rules=(immutable("hardware"),))] = None
    """Hardware of one replica to use instead of the template's. Cannot be changed once set."""


class MetricQuery(ApiModel):
    """What is measured, and where."""

    backend: Annotated[str, Schema(defaulted=True, enum=("opentelemetry",))] = "opentelemetry"
    """Kind of metrics backend; there is only one."""
    server_address: str = ""
    """Address of the metrics server, `host:port`. Left out, KServe fills in the address of its OpenTelemetry
    scaler."""
    metric_names: tuple[str, ...] = ()
    """Metrics that the collector beside each pod has to forward, for example `vllm:num_requests_running`."""
    query: str = ""
    """Query whose result is compared with the target, usually the name of a metric. Has to be given; an empty one is
    reported in `HPAReady`."""
    operation_over_time: str = ""
    """How samples are combined over time: `last_one`, `avg`, `max`, `min`, `rate` or `count`. Left out, the scaler
    takes the last one."""


class MetricTarget(ApiModel):
    """The value that scaling aims at."""

    type: Annotated[str, Schema(required=True, enum=tuple(TargetType))] = ""
    """How to read the target: `Value` compares the result as it is, `AverageValue` per pod. Decides which of the other
    fields counts, which then has to be given. `Utilization` is a percentage of a resource; metrics of pods have none,
    so it is reported in `HPAReady` and the service runs unscaled."""
    value: str = ""
    """Target for type `Value`, a quantity such as `"1"`."""
    average_value: str = ""
    """Target for type `AverageValue`, a quantity such as `"2"`."""
    average_utilization: Int32 | None = None
    """Target for type `Utilization`, in percent."""


class PodMetric(ApiModel):
    """A metric of the pods and its target."""

    metric: Annotated[MetricQuery, REQUIRED] = MetricQuery()
    """What to measure and where to read it."""
    target: Annotated[MetricTarget, REQUIRED] = MetricTarget()
    """Value to hold; more load than that adds replicas, less removes them."""


class AutoScalingMetric(ApiModel):
    """A metric to scale on."""

    type: Annotated[str, Schema(required=True, enum=("PodMetric",))] = ""
    """Kind of metric; there is only one."""
    podmetric: PodMetric | None = None
    """The metric and its target. The key is all lower case."""


class AutoScaling(ApiModel):
    """Scaling on metrics."""

    metrics: tuple[AutoScalingMetric, ...] = ()
    """Metrics to scale on; the one that asks for most replicas wins. Left out, the average of
    `vllm:num_requests_running` is held at 1."""


class AIMServiceSpec(ApiModel):
    """What to serve, and how."""

    model: Annotated[ModelReference, Schema(required=True, rules=(immutable("model"),))] = ModelReference()
    """Model to serve, named in exactly one of three ways: by the name of a model, by its image, or described in place.
    Cannot be changed; make another service instead."""
    template: Annotated[TemplateReference | None, Schema(rules=(immutable("template"),))] = None
    """How the template, that is metric, precision and hardware, is chosen. Left out, the best optimized template that
    fits the cluster's GPUs is taken. Cannot be changed once set."""
    caching: Annotated[ServiceCaching | None, Schema(rules=(immutable("caching"),))] = None
    """Ownership of the downloaded weights, `Shared` when left out. Cannot be changed once set."""
    cache_model: bool | None = None
    """Deprecated and without effect; weights are always cached. See `caching`."""
    replicas: Annotated[Int32, DEFAULTED] = 1
    """Number of replicas while autoscaling is off, that is while none of `minReplicas`, `maxReplicas` and `autoScaling`
    is set."""
    min_replicas: Annotated[Int32 | None, Schema(minimum=1)] = None
    """Fewest replicas under autoscaling; 1 when left out. Setting it switches autoscaling on."""
    max_replicas: Annotated[Int32 | None, Schema(minimum=1)] = None
    """Most replicas under autoscaling; as many as `minReplicas` when left out. Setting it switches autoscaling on."""
    auto_scaling: AutoScaling | None = None
    """Metrics that decide between `minReplicas` and `maxReplicas`. Setting it switches autoscaling on, which needs KEDA
    and its OpenTelemetry scaler in the cluster."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply: the AIMRuntimeConfig of that name in the namespace over the
    AIMClusterRuntimeConfig of that name. `default` when left out; any other name has to exist in one of the two
    places."""
    env: EnvList = ()
    """Environment of the inference container and of downloads made for this service, over that of template and runtime
    config, by name. `AIM_ENGINE_ARGS` is merged as a JSON object instead of being replaced."""
    resources: ResourceRequirements | None = None
    """Resources of the inference container, laid over those of template and model key by key. Where none says anything
    and GPUs are used, each GPU brings 4 CPUs, 32Gi memory and a memory limit of 48Gi."""
    overrides: ServiceOverrides | None = None
    """Metric, precision or hardware to use instead of the template's. A template of its own is derived for such a
    service."""
    routing: Routing | None = None
    """HTTP route of this service, over the runtime config's settings field by field."""
    storage: Storage | None = None
    """Storage of caches made for this service, over the runtime config's settings field by field."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets of the namespace for pulling the inference image, in addition to those of template and model. Also handed
    to a model created for this service."""
    service_account_name: str = ""
    """Service account of the inference pods, over that of template and model. Also handed to a model created for this
    service."""


class CacheState(ApiModel):
    """The cache in use."""

    template_cache_ref: ResolvedReference | None = None
    """AIMTemplateCache that provides the weights, from the moment it is ready."""
    retry_attempts: int | None = None
    """How often a failed cache was started again for this service."""


class RoutingState(ApiModel):
    """The route in use."""

    path: str = ""
    """Path prefix under which the gateway serves requests to this service, after templates are filled in."""


class RuntimeState(ApiModel):
    """Replica figures."""

    current_replicas: Int32 | None = None
    """Replicas that run now; without autoscaling the configured number."""
    desired_replicas: Int32 | None = None
    """Replicas that the autoscaler wants; without autoscaling the configured number."""
    min_replicas: Int32 | None = None
    """Fewest replicas; without autoscaling the configured number."""
    max_replicas: Int32 | None = None
    """Most replicas; without autoscaling the same as the fewest."""
    replicas: str = ""
    """The figures in short: `2`, or under autoscaling `current/desired (min-max)`, for example `2/3 (1-5)`."""


class TemplateVerdict(ApiModel):
    """What automatic selection made of one candidate."""

    name: str = ""
    """Name of the template."""
    scope: str = ""
    """`Namespace` or `Cluster`."""
    verdict: str = ""
    """`BestMatch` for the chosen one; else what spoke against it, for example `TemplateProgressing`,
    `UnoptimizedTemplateFiltered`, `ServiceOverridesNotMatched`, `RequiredGPUNotInCluster` or `LowerPreferenceRank`."""


class AIMServiceStatus(BaseStatus):
    """What became of it."""

    status: Annotated[
        str,
        Schema(
            defaulted=True,
            enum=(Status.PENDING, Status.STARTING, Status.RUNNING, Status.DEGRADED, Status.FAILED),
        ),
    ] = Status.PENDING.value
    """`Pending`: model or template not settled. `Starting`: the parts are being made. `Running`: requests are served.
    `Degraded`: served, but with a warning that the conditions name. `Failed`: cannot start until somebody changes
    something."""
    resolved_model: ResolvedReference | None = None
    """Model that is served, from the moment it is ready."""
    resolved_template: ResolvedReference | None = None
    """Template that was chosen, from the moment it is ready."""
    template_candidates: tuple[TemplateVerdict, ...] = ()
    """The templates among which one was chosen automatically, and why each was taken or not; the first 20. Absent when
    the service names its template."""
    resolved_runtime_config: ResolvedReference | None = None
    """Runtime config in force."""
    cache: CacheState | None = None
    """Cache that provides the weights."""
    routing: RoutingState | None = None
    """Route to this service; absent while there is none."""
    runtime: RuntimeState | None = None
    """Replica figures."""


class AIMService(ApiObject):
    """An inference endpoint. Names a model; the template, the downloaded weights, the running replicas and, on request,
    an HTTP route and autoscaling follow from it."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Status", ".status.status"),
        PrinterColumn("Model", ".status.resolvedModel.name"),
        PrinterColumn("Template", ".status.resolvedTemplate.name"),
        PrinterColumn("Replicas", ".status.runtime.replicas"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: AIMServiceSpec = AIMServiceSpec()
    """What to serve, and how."""
    status: AIMServiceStatus = AIMServiceStatus()
    """What became of it; written by aimd."""
