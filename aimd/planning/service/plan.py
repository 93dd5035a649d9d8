"""The plan of a service: what must exist, in which order, behind which gates."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aimd.api.reasons import Reason
from aimd.api.service import ServiceCondition
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import HTTP_ROUTE, INFERENCE_SERVICE
from aimd.planning.plan import Plan
from aimd.planning.pods import unexplained
from aimd.planning.runtime_config import ResolvedConfig, config_component
from aimd.planning.service.autoscaler import (
    autoscaler_component,
    autoscaler_grace_left,
    count_ready,
    runtime_status,
    scaled_object_deletion,
)
from aimd.planning.service.caching import (
    amended_cache,
    cache_component,
    cache_is_blocked,
    find_cache,
    needs_cache,
    render_cache,
)
from aimd.planning.service.child_names import InvalidServiceName, inference_service_name
from aimd.planning.service.derived_template import render_derived_template, template_deletion
from aimd.planning.service.ignored_fields import ignored_fields_condition
from aimd.planning.service.inference_service import PredictorInputs, render_inference_service
from aimd.planning.service.model_creation import render_model
from aimd.planning.service.model_reference import ModelChoice, resolve_model
from aimd.planning.service.needs import service_needs
from aimd.planning.service.observed import (
    ObservedService,
    is_owned,
    is_ready,
    kind_of_model,
    kind_of_template,
    reference,
)
from aimd.planning.service.profile_config_map import config_map_deletion, render_config_map
from aimd.planning.service.routing import (
    Route,
    render_route,
    route_component,
    route_deletion,
    route_of,
    routing_status,
)
from aimd.planning.service.service_health import (
    TimedComponent,
    forgiven_while_running,
    inference_service_component,
    is_serving,
    pods_component,
    unusable_name_component,
)
from aimd.planning.service.template_reference import TemplateChoice, candidates_status, is_named, resolve_template
from aimd.planning.service_template.profile_file import InvalidProfile, ProfileFile, profile_file
from aimd.runtime.objects import Deletion, Desired, key_of


@dataclass(frozen=True, slots=True)
class _Decision:
    """Everything that was decided about one service; `name` is the InferenceService's, empty when it has none."""

    name: str
    name_problem: str
    model: ModelChoice
    template: TemplateChoice
    profile: ProfileFile | None
    cache: AIMTemplateCache | None
    route: Route


def plan_service(observed: ObservedService, now: datetime) -> Plan:
    """Decides everything about one service. Pure and total."""
    decision = _decide(observed)
    components, waits = _judge(observed, decision, now)
    ignored = ignored_fields_condition(observed.service.spec)
    return Plan(
        components=components,
        desired=tuple(_desired(observed, decision)),
        deletions=tuple(_deletions(observed, decision)),
        status=_status(observed, decision),
        extra_conditions=() if ignored is None else (ignored,),
        requeue_after=min(waits, default=None),
        needs=service_needs(observed, now),
    )


def _decide(observed: ObservedService) -> _Decision:
    name, problem = _inference_service_name(observed)
    model = resolve_model(observed.service, observed.models, observed.unreadable)
    template = resolve_template(observed, model.model)
    profile, template = _with_profile(template)
    cache = find_cache(observed.service, template.template, observed.caches)
    return _Decision(name, problem, model, template, profile, cache, route_of(observed))


def _desired(observed: ObservedService, decision: _Decision) -> list[Desired]:
    desired: list[Desired] = [render_model(observed)] if decision.model.missing else []
    route = render_route(observed, decision.route, decision.name) if decision.name else None
    if route is not None and HTTP_ROUTE.name not in observed.absent_kinds:
        desired.append(route)
    base, model = decision.template.derive_from, decision.model.model
    if base is not None and model is not None:
        desired.append(render_derived_template(observed, base, model.metadata.name))
    template = decision.template.template
    if template is None or not decision.template.ready or not decision.name:
        return desired
    wants_cache = decision.cache is None and needs_cache(decision.template) and _is_settled(observed, decision)
    if wants_cache and not cache_is_blocked(observed, template):
        desired.append(render_cache(observed, template))
    amended = amended_cache(observed, template, decision.cache) if decision.cache is not None else None
    if amended is not None:
        desired.append(amended)
    if decision.profile is not None:
        desired.append(render_config_map(observed, decision.profile))
    if _may_run(observed, decision):
        parts = PredictorInputs(decision.name, decision.model.model, template, decision.cache, decision.profile)
        inference_service = render_inference_service(observed, parts)
        if inference_service is not None:
            desired.append(inference_service)
    return desired


def _is_settled(observed: ObservedService, decision: _Decision) -> bool:
    """Whether weights may be fetched: not for a choice that a template still in discovery may change (SVC-CCH-5)."""
    running = observed.inference_service is not None
    return decision.model.ready or running or is_named(observed.service)


def _may_run(observed: ObservedService, decision: _Decision) -> bool:
    """The InferenceService is made once model and cache are Ready, and from then on always kept up to date
    (SVC-ORD-2)."""
    if INFERENCE_SERVICE.name in observed.absent_kinds:
        return False
    if observed.inference_service is not None:
        return True
    weights = decision.cache is not None and is_ready(decision.cache.status.status)
    return decision.model.ready and (weights or not needs_cache(decision.template))


def _deletions(observed: ObservedService, decision: _Decision) -> list[Deletion]:
    """What is switched off or left over, and ours (SVC-DEL-1)."""
    route = route_deletion(observed, decision.route)
    unused = decision.template.ready and decision.profile is None
    config_map = config_map_deletion(observed) if unused else None
    scaled_object = scaled_object_deletion(observed)
    # The service runs with another template from now on, or has none yet.
    templates = map(template_deletion, observed.leftovers) if decision.template.ready else ()
    return [deletion for deletion in (route, config_map, scaled_object, *templates) if deletion is not None]


def _judge(observed: ObservedService, decision: _Decision, now: datetime) -> tuple[tuple[Component, ...], list[float]]:
    """Components in the order of a service's start, and after how many seconds to look again."""
    model = forgiven_while_running(decision.model.component, observed, now)
    template = forgiven_while_running(decision.template.component, observed, now)
    pods = pods_component(observed)
    runtime = inference_service_component(observed, pods, now)
    if decision.name_problem:
        runtime = TimedComponent(unusable_name_component(decision.name_problem))
    serving = is_serving(runtime.component)
    autoscaler = autoscaler_component(observed, serving=serving, now=now)
    components = (
        model.component,
        template.component,
        _runtime_config(observed.config),
        runtime.component,
        pods,
        cache_component(observed, decision.template, decision.cache, serving=serving),
        route_component(observed, decision.route, serving=serving),
        autoscaler,
    )
    scaling = autoscaler_grace_left(autoscaler, observed, now=now) if serving else None
    unstarted = unexplained(observed.pods, now)
    events = unstarted.again_after if unstarted is not None else None
    waits = [model.again_after, template.again_after, runtime.again_after, scaling, events]
    return tuple(item for item in components if item is not None), [wait for wait in waits if wait is not None]


def _runtime_config(config: ResolvedConfig) -> Component | None:
    """Return the health of the runtime config; None when there is none and none is named (CFG-FND-2)."""
    if config.failure is None and not config.found:
        return None
    return config_component(config, found_reason=Reason.RUNTIME_CONFIG_RESOLVED)


def _status(observed: ObservedService, decision: _Decision) -> Mapping[str, Any]:
    """The service's own status keys. References are written once Ready, and then kept (SVC-STA-2)."""
    service = observed.service
    status: dict[str, Any] = {
        "resolvedRuntimeConfig": observed.config.reference,
        "routing": routing_status(observed, decision.route),
        "runtime": runtime_status(observed, count_ready(observed.pods)),
    }
    model, template, cache = decision.model, decision.template, decision.cache
    status["templateCandidates"] = candidates_status(service, template)
    if model.model is not None and model.ready:
        status["resolvedModel"] = reference(kind_of_model(model.model), model.model.metadata)
    if template.template is not None and template.ready:
        status["resolvedTemplate"] = reference(kind_of_template(template.template), template.template.metadata)
    if cache is not None and is_ready(cache.status.status):
        metadata = cache.metadata
        own = {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid}
        status["cache"] = {"templateCacheRef": own}
    elif not needs_cache(template):
        status["cache"] = None
    return status


def _inference_service_name(observed: ObservedService) -> tuple[str, str]:
    """The name of the InferenceService that is ours, else the derived one; or empty, and why there is none."""
    live = observed.inference_service
    if live is not None and is_owned(observed.service, live):
        return key_of(live).name, ""
    try:
        return inference_service_name(observed.key.name, observed.key.namespace), ""
    except InvalidServiceName as error:
        return "", str(error)


def _with_profile(choice: TemplateChoice) -> tuple[ProfileFile | None, TemplateChoice]:
    """The template's profile file; a profile that cannot be written makes the template unusable (SVC-PRF-3)."""
    if choice.template is None:
        return None, choice
    try:
        return profile_file(choice.template), choice
    except InvalidProfile as error:
        component = Component(
            ServiceCondition.TEMPLATE_READY,
            State.FAILED,
            Reason.TEMPLATE_NOT_READY,
            str(error),
            direction=Direction.UPSTREAM,
        )
        return None, TemplateChoice(choice.template, component)
