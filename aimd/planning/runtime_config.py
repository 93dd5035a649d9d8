"""The runtime config in effect for an object: resolved by name, merged field by field.

A field that is set in the namespace overrides the cluster's, even with `false`, `0` or empty text. The exception is
`labelPropagation.enabled`: the API server defaults it to `false`, so its presence means nothing (CFG-MRG-3).
"""

from dataclasses import dataclass, field
from typing import TypeVar

from aimd.api.reasons import Reason
from aimd.api.runtime_config import (
    AIMClusterRuntimeConfig,
    AIMRuntimeConfig,
    AIMRuntimeConfigSpec,
    LabelPropagation,
    ModelDefaults,
    RuntimeConfigCondition,
)
from aimd.api.schema import ApiModel
from aimd.api.shared import ClusterRouting, CommonCondition, Routing, Storage
from aimd.planning.component import UPSTREAM, Component, Direction, State
from aimd.planning.durations import InvalidDuration, gateway_duration
from aimd.planning.environment import merge_container_env
from aimd.planning.kinds import AIM_CLUSTER_RUNTIME_CONFIG, AIM_RUNTIME_CONFIG, resource_reference
from aimd.planning.path_template import InvalidPathTemplate, check_template
from aimd.planning.plan import Plan
from aimd.planning.unreadable import Unreadable, unreadable_reference
from aimd.runtime.objects import Category, Failure, Key, Manifest

_CONFIG = CommonCondition.RUNTIME_CONFIG_READY
DEFAULT_NAME = "default"
DEFAULT_HEADROOM_PERCENT = 10

_ModelT = TypeVar("_ModelT", bound=ApiModel)


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """The merged settings, where they come from (a resolved reference, None without any), and what is missing.

    `spec` is always there; without a config it is empty. `failure` is set when a config was named that does not
    exist, or could not be read. `policies` are what administrators allow of routes (SVC-RTE-11).
    """

    name: str = DEFAULT_NAME
    spec: AIMRuntimeConfigSpec = field(default_factory=AIMRuntimeConfigSpec)
    reference: Manifest | None = None
    failure: Failure | None = None
    policies: tuple[ClusterRouting, ...] = ()

    @property
    def found(self) -> bool:
        """Whether a config of either scope takes part."""
        return self.reference is not None

    @property
    def label_patterns(self) -> tuple[str, ...]:
        """Globs of the label keys that children inherit; empty while propagation is off (OBJ-LBL-1)."""
        propagation = self.spec.label_propagation
        return propagation.match if propagation is not None and propagation.enabled else ()

    @property
    def routing(self) -> Routing:
        """Routing defaults, empty when none are given."""
        return self.spec.routing or Routing()

    @property
    def storage_class_name(self) -> str:
        """Default storage class, empty for the cluster's."""
        return self.spec.storage.default_storage_class_name if self.spec.storage else ""

    @property
    def headroom_percent(self) -> int:
        """Extra space on claims, in percent."""
        given = self.spec.storage.pvc_headroom_percent if self.spec.storage else None
        return DEFAULT_HEADROOM_PERCENT if given is None else given

    @property
    def read_only_weights(self) -> bool | None:
        """Whether predictors mount weights read-only; None if no runtime config sets it."""
        return self.spec.storage.read_only if self.spec.storage else None


def config_name(name: str) -> str:
    """Return the name of the config that an object uses: `default` when it names none."""
    return name or DEFAULT_NAME


def resolve_config(  # noqa: PLR0913 (the configs of one name, and what holds for all)
    name: str,
    namespaced: AIMRuntimeConfig | None,
    cluster: AIMClusterRuntimeConfig | None,
    *,
    namespace: str = "",
    unreadable: Unreadable | None = None,
    governing: AIMClusterRuntimeConfig | None = None,
) -> ResolvedConfig:
    """Merge the two configs of a name; `namespaced` is None for cluster-scoped consumers (CFG-FND-1).

    A missing `default` is no failure. Any other missing name is a MissingUpstream failure `ConfigNotFound`, as is a
    config that does not parse (`unreadable`). The policies of `governing`, the cluster config `default`, hold whatever
    config is named (SVC-RTE-11).
    """
    name = config_name(name)
    policies = _policies(governing, cluster)
    if unreadable is not None:
        return ResolvedConfig(name, failure=unreadable_reference(unreadable, Reason.CONFIG_NOT_FOUND))
    if namespaced is None and cluster is None:
        missing = None if name == DEFAULT_NAME else _not_found(name, namespace)
        return ResolvedConfig(name, failure=missing, policies=policies)
    lower = migrated(cluster.spec) if cluster is not None else AIMRuntimeConfigSpec()
    upper = migrated(namespaced.spec) if namespaced is not None else AIMRuntimeConfigSpec()
    return ResolvedConfig(name, merge_configs(lower, upper), _reference(namespaced, cluster), policies=policies)


def migrated(spec: AIMRuntimeConfigSpec) -> AIMRuntimeConfigSpec:
    """Return the spec with the two deprecated fields moved to their new place, unless that is set (CFG-MRG-4)."""
    moved: dict[str, object] = {}
    storage = spec.storage or Storage()
    if spec.default_storage_class_name and not _has(storage, "default_storage_class_name"):
        moved["default_storage_class_name"] = spec.default_storage_class_name
    if spec.pvc_headroom_percent is not None and not _has(storage, "pvc_headroom_percent"):
        moved["pvc_headroom_percent"] = spec.pvc_headroom_percent
    if not moved:
        return spec
    return spec.model_copy(update={"storage": storage.model_copy(update=moved)})


def merge_configs(lower: AIMRuntimeConfigSpec, upper: AIMRuntimeConfigSpec) -> AIMRuntimeConfigSpec:
    """Return `lower` with the fields that are set in `upper` (CFG-MRG-1, CFG-MRG-2).

    `env` is merged by name, annotations of routes by key; `gatewayRef` and lists are replaced as a whole.
    """
    return AIMRuntimeConfigSpec(
        storage=_overlay(lower.storage, upper.storage),
        routing=_merge_routing(lower.routing, upper.routing),
        env=merge_container_env(lower.env, upper.env),
        label_propagation=_merge_propagation(lower.label_propagation, upper.label_propagation),
        model=_overlay(lower.model, upper.model) or ModelDefaults(),
    )


def config_component(
    config: ResolvedConfig,
    *,
    direction: Direction = UPSTREAM,
    found_reason: str = Reason.CONFIG_FOUND,
    missing_reason: str = Reason.REFERENCE_NOT_FOUND,
) -> Component:
    """Return the health of the component `RuntimeConfig`.

    Consumers that declare it upstream show a missing config as `ReferenceNotFound`, models and templates as
    `ConfigNotFound` (CFG-FND-2). `found_reason` is `RuntimeConfigResolved` for services and `ConfigFound` for others.
    A config is an input, so a failure of it blocks applying.
    """
    if config.failure is not None:
        failure = config.failure
        if failure.category is Category.MISSING_UPSTREAM:
            failure = Failure(failure.category, missing_reason, failure.message)
        return Component.blocked(_CONFIG, failure, direction)
    if config.found:
        return Component.ready(_CONFIG, found_reason, f"Runtime config {config.name} is in effect", direction)
    return Component.ready(
        _CONFIG,
        Reason.DEFAULT_CONFIG_NOT_FOUND,
        "There is no runtime config named default, and none is needed",
        direction,
    )


def tolerated(component: Component) -> Component:
    """Return the component of an object that no longer needs its config: a missing one is no fault (CFG-FND-3)."""
    if not any(failure.category is Category.MISSING_UPSTREAM for failure in component.failures):
        return component
    return Component.ready(
        _CONFIG,
        Reason.CONFIG_NOT_NEEDED,
        f"{component.effective_message}. It is no longer needed",
        component.direction,
    )


def _policies(*configs: AIMClusterRuntimeConfig | None) -> tuple[ClusterRouting, ...]:
    by_name = {config.metadata.name: config.spec.routing for config in configs if config is not None}
    return tuple(routing for routing in by_name.values() if routing is not None)


def _not_found(name: str, namespace: str) -> Failure:
    local = f"no AIMRuntimeConfig {name} in namespace {namespace} and " if namespace else ""
    message = f"There is {local}no AIMClusterRuntimeConfig {name}: create one or correct spec.runtimeConfigName"
    return Failure(Category.MISSING_UPSTREAM, Reason.CONFIG_NOT_FOUND, message)


def _reference(namespaced: AIMRuntimeConfig | None, cluster: AIMClusterRuntimeConfig | None) -> Manifest | None:
    """Return the reference to the namespaced config if there is one, else to the cluster's (CFG-FND-4)."""
    for kind, config in ((AIM_RUNTIME_CONFIG, namespaced), (AIM_CLUSTER_RUNTIME_CONFIG, cluster)):
        if config is not None:
            metadata = config.metadata
            return resource_reference(kind, Key(metadata.namespace, metadata.name), metadata.uid)
    return None


def _has(model: ApiModel, name: str) -> bool:
    return name in model.model_fields_set


def _overlay(lower: _ModelT | None, upper: _ModelT | None) -> _ModelT | None:
    if lower is None or upper is None:
        return upper or lower
    return lower.model_copy(update={name: getattr(upper, name) for name in sorted(upper.model_fields_set)})


def _merge_routing(lower: Routing | None, upper: Routing | None) -> Routing | None:
    merged = _overlay(lower, upper)
    if merged is None or lower is None or upper is None or not (lower.annotations or upper.annotations):
        return merged
    return merged.model_copy(update={"annotations": {**lower.annotations, **upper.annotations}})


def _merge_propagation(lower: LabelPropagation | None, upper: LabelPropagation | None) -> LabelPropagation | None:
    """Return the merged settings; propagation is on if either level enables it (CFG-MRG-3)."""
    merged = _overlay(lower, upper)
    if merged is None or lower is None or upper is None:
        return merged
    return merged.model_copy(update={"enabled": lower.enabled or upper.enabled})


def plan_runtime_config(config: AIMRuntimeConfig | AIMClusterRuntimeConfig) -> Plan:
    """Return what is wrong with a config itself, regardless of its users (CFG-CHK-1)."""
    judged = (_label_propagation(config.spec), _routing(config.spec))
    return Plan(components=tuple(component for component in judged if component is not None))


def _label_propagation(spec: AIMRuntimeConfigSpec) -> Component | None:
    """Return the component of label patterns that cannot match anything, None when all can."""
    patterns = spec.label_propagation.match if spec.label_propagation is not None else ()
    malformed = [pattern for pattern in patterns if pattern.count("[") != pattern.count("]")]
    if not malformed:
        return None
    text = f"These patterns of labelPropagation.match are malformed and match nothing: {', '.join(malformed)}"
    return Component(RuntimeConfigCondition.LABEL_PROPAGATION_READY, State.DEGRADED, Reason.MALFORMED_PATTERN, text)


def _routing(spec: AIMRuntimeConfigSpec) -> Component | None:
    """Return the component of a path template or timeout that no route can have, None when they are valid."""
    routing = spec.routing or Routing()
    try:
        check_template(routing.path_template)
    except InvalidPathTemplate as error:
        return Component(
            RuntimeConfigCondition.ROUTING_READY,
            State.DEGRADED,
            Reason.PATH_TEMPLATE_INVALID,
            f"routing.pathTemplate: {error}",
        )
    try:
        check_template(routing.required_path_prefix if isinstance(routing, ClusterRouting) else "")
    except InvalidPathTemplate as error:
        return Component(
            RuntimeConfigCondition.ROUTING_READY,
            State.DEGRADED,
            Reason.PATH_TEMPLATE_INVALID,
            f"routing.requiredPathPrefix: {error}",
        )
    try:
        gateway_duration(routing.request_timeout or "0")
    except InvalidDuration as error:
        return Component(
            RuntimeConfigCondition.ROUTING_READY,
            State.DEGRADED,
            Reason.INVALID_SPEC,
            f"routing.requestTimeout: {error}",
        )
    return None
