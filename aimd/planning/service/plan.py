"""The plan of a service: what must exist, in which order, behind which gates."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aimd.api.reasons import Reason
from aimd.api.service import ServiceCondition
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import HTTP_ROUTE, INFERENCE_SERVICE, SCALED_OBJECT
from aimd.planning.plan import Plan
from aimd.planning.pods import unexplained
from aimd.planning.runtime_config import ResolvedConfig, config_component
from aimd.planning.service.autoscaler import (
    Keda,
    autoscaler_component,
    autoscaler_grace_left,
    count_ready,
    runtime_status,
    scaled_object_deletion,
)
from aimd.planning.service.caching import (
    amended_cache,
    cache_component,
    effective_mode,
    find_cache,
    is_still_deleted,
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
    current_warning,
    forgiven_while_running,
    has_served,
    inference_service_component,
    is_serving,
    kserve_missing_component,
    pods_component,
    unusable_name_component,
)
from aimd.planning.service.template_reference import (
    TemplateChoice,
    TemplateInputs,
    candidates_status,
    is_named,
    resolve_template,
)
from aimd.planning.service.volumes import mounts_cache
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
    template = resolve_template(
        TemplateInputs(
            service=observed.service,
            model=model.model,
            models=observed.models,
            templates=observed.templates,
            unreadable=observed.unreadable,
            gpu_models=observed.gpu_models,
            running=observed.inference_service is not None,
        )
    )
    profile, template = _with_profile(template)
    cache = find_cache(observed.service, template.template, observed.caches)
    route = route_of(observed.service, observed.manifest, observed.config.routing, observed.http_route)
    return _Decision(name, problem, model, template, profile, cache, route)


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
    if wants_cache:
        cache = render_cache(observed, template)
        desired += [] if is_still_deleted(cache.key, observed.caches) else [cache]
    amended = amended_cache(observed.service, template, decision.cache) if decision.cache is not None else None
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
    service = observed.service
    route = route_deletion(service, decision.route, observed.http_route)
    unused = decision.template.ready and decision.profile is None
    config_map = config_map_deletion(service, observed.profile_config_map) if unused else None
    scaled_object = scaled_object_deletion(service.spec, observed.inference_service, observed.scaled_object)
    # The service runs with another template from now on, or has none yet.
    templates = map(template_deletion, observed.leftovers) if decision.template.ready else ()
    return [deletion for deletion in (route, config_map, scaled_object, *templates) if deletion is not None]


def _judge(observed: ObservedService, decision: _Decision, now: datetime) -> tuple[tuple[Component, ...], list[float]]:
    """Components in the order of a service's start, and after how many seconds to look again."""
    service, live = observed.service, observed.inference_service
    model = forgiven_while_running(decision.model.component, service, running=live is not None, now=now)
    template = forgiven_while_running(decision.template.component, service, running=live is not None, now=now)
    pods = pods_component(observed.pods, observed.logs, observed.pod_events) if live is not None else None
    runtime = _runtime(observed, decision, pods, now)
    serving = is_serving(runtime.component)
    keda = Keda(SCALED_OBJECT.name not in observed.absent_kinds, observed.scaled_object, observed.autoscaler)
    autoscaler = autoscaler_component(service, keda, serving=serving, now=now)
    components = (
        model.component,
        template.component,
        _runtime_config(observed.config),
        runtime.component,
        pods,
        cache_component(
            effective_mode(service),
            decision.template,
            decision.cache,
            serving=serving,
            has_volumes=mounts_cache(live),
        ),
        route_component(
            decision.route,
            observed.http_route,
            installed=HTTP_ROUTE.name not in observed.absent_kinds,
            serving=serving,
        ),
        autoscaler,
    )
    scaling = autoscaler_grace_left(autoscaler, service, now) if serving else None
    unstarted = unexplained(observed.pods, now)
    events = unstarted.again_after if unstarted is not None else None
    waits = [model.again_after, template.again_after, runtime.again_after, scaling, events]
    return tuple(item for item in components if item is not None), [wait for wait in waits if wait is not None]


def _runtime(observed: ObservedService, decision: _Decision, pods: Component | None, now: datetime) -> TimedComponent:
    """Return the health of the InferenceService."""
    live = observed.inference_service
    if decision.name_problem:
        return TimedComponent(unusable_name_component(decision.name_problem))
    if live is None and INFERENCE_SERVICE.name in observed.absent_kinds:
        return TimedComponent(kserve_missing_component())
    warning = current_warning(live, observed.inference_service_events, now) if live is not None else None
    return inference_service_component(live, pods, warning, served=has_served(observed.service))


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
        "routing": routing_status(decision.route, service.status.routing, exists=observed.http_route is not None),
        "runtime": runtime_status(service.spec, observed.autoscaler, count_ready(observed.pods)),
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
