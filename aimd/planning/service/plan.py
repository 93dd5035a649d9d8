"""The plan of a service: what must exist and when, what must not, and how each part fares."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aimd.api.reasons import Reason
from aimd.api.service import AIMService, ServiceCondition
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import HTTP_ROUTE, INFERENCE_SERVICE, SCALED_OBJECT
from aimd.planning.plan import Plan
from aimd.planning.pods import count_ready, events_needed
from aimd.planning.runtime_config import ResolvedConfig, config_component
from aimd.planning.service.autoscaler import (
    Keda,
    autoscaler_component,
    autoscaler_grace_left,
    runtime_status,
    scaled_object_deletion,
)
from aimd.planning.service.caching import (
    amended_cache,
    cache_component,
    effective_mode,
    find_cache,
    is_name_taken,
    needs_cache,
    render_cache,
    weights_component,
)
from aimd.planning.service.child_names import InvalidServiceName, inference_service_name
from aimd.planning.service.container_environment import container_env
from aimd.planning.service.derived_template import render_derived_template, template_deletion
from aimd.planning.service.ignored_fields import ignored_fields_condition
from aimd.planning.service.inference_service import PredictorInputs, render_inference_service, rights_refusal
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
from aimd.planning.service.profile_choice import env_of_profile
from aimd.planning.service.profile_config_map import config_map_deletion, render_config_map
from aimd.planning.service.routing import (
    CONFLICT_SECONDS,
    Route,
    final_route,
    render_route,
    route_component,
    route_deletion,
    routing_status,
)
from aimd.planning.service.service_health import (
    TimedComponent,
    current_warning,
    forgiven_while_running,
    has_served,
    impossible_component,
    inference_service_component,
    is_serving,
    kserve_missing_component,
    pods_component,
)
from aimd.planning.service.template_reference import (
    TemplateChoice,
    TemplateInputs,
    candidates_status,
    is_named,
    resolve_template,
)
from aimd.planning.service.volumes import has_downloaded, holds_weights, loaded_weights, mounts_cache, waits_for_weights
from aimd.planning.service_template.discovered_profile import is_discovered_for
from aimd.planning.service_template.profile_file import InvalidProfile, ProfileFile, profile_file
from aimd.runtime.objects import Category, Deletion, Desired, Failure, Manifest, key_of


@dataclass(frozen=True, slots=True)
class _Decision:
    """Everything that was decided about one service; `problem` is why it can have no InferenceService."""

    name: str
    problem: Failure | None
    model: ModelChoice
    template: TemplateChoice
    profile: ProfileFile | None
    cache: AIMTemplateCache | None
    route: Route

    @property
    def usable_template(self) -> AnyServiceTemplate | None:
        """The template, if the service can run with it: it is Ready, and an InferenceService is possible."""
        return self.template.template if self.template.ready and self.problem is None else None


def plan_service(observed: ObservedService, now: datetime) -> Plan:
    """Decide everything about one service. Pure and total."""
    decision = _decide(observed)
    health = _judge(observed, decision, now)
    waits = [part.again_after for part in health if part.again_after is not None]
    ignored = ignored_fields_condition(observed.service.spec, _profile_env(observed, decision))
    return Plan(
        components=tuple(part.component for part in health),
        desired=tuple(_desired(observed, decision)),
        deletions=tuple(_deletions(observed, decision)),
        status=_status(observed, decision),
        extra_conditions=() if ignored is None else (ignored,),
        requeue_after=min(waits, default=None),
        needs=service_needs(observed, now),
    )


def _decide(observed: ObservedService) -> _Decision:
    name, problem = _inference_service_name(observed.service, observed.inference_service)
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
    problem = problem or rights_refusal(observed, template.template, model.model)
    route = final_route(observed)
    return _Decision(name, problem, model, template, profile, cache, route)


def _inference_service_name(service: AIMService, live: Manifest | None) -> tuple[str, Failure | None]:
    """Return the name of the InferenceService that is ours, else the derived one; or empty, and why there is none."""
    if live is not None and is_owned(service, live):
        return key_of(live).name, None
    try:
        return inference_service_name(service.metadata.name, service.metadata.namespace), None
    except InvalidServiceName as error:
        return "", Failure(Category.INVALID_SPEC, Reason.INVALID_SPEC, str(error))


def _with_profile(choice: TemplateChoice) -> tuple[ProfileFile | None, TemplateChoice]:
    """Return the template's profile file; one that cannot be written makes the template unusable (SVC-PRF-3)."""
    if choice.template is None:
        return None, choice
    try:
        return profile_file(choice.template), choice
    except InvalidProfile as error:
        reason = Reason.TEMPLATE_NOT_READY
        component = Component(
            ServiceCondition.TEMPLATE_READY, State.FAILED, reason, str(error), direction=Direction.UPSTREAM
        )
        return None, TemplateChoice(choice.template, component)


def _profile_env(observed: ObservedService, decision: _Decision) -> Mapping[str, str]:
    """Return the variables of the profile that runs, which override all others (SVC-ENV-7)."""
    template, model = decision.usable_template, decision.model.model
    if template is None or model is None or not observed.service.spec.env:
        return {}
    image = model.spec.image
    env = container_env(observed.service, template, observed.config.spec.env, image)
    return env_of_profile(template, image, env)


# What must exist: one rule per object, in the order of a service's start.


def _desired(observed: ObservedService, decision: _Decision) -> list[Desired]:
    rules = (
        _wanted_model,
        _wanted_route,
        _wanted_derived_template,
        _wanted_cache,
        _wanted_addition_to_cache,
        _wanted_profile,
        _wanted_inference_service,
    )
    return [desired for rule in rules if (desired := rule(observed, decision)) is not None]


def _wanted_model(observed: ObservedService, decision: _Decision) -> Desired | None:
    """Create the model for an image, or for a description, that has none (SVC-MDL-4)."""
    return render_model(observed) if decision.model.missing else None


def _wanted_route(observed: ObservedService, decision: _Decision) -> Desired | None:
    """Keep the route, which may exist before its backend does."""
    if not decision.name or HTTP_ROUTE.name in observed.absent_kinds:
        return None
    return render_route(observed, decision.route, decision.name)


def _wanted_derived_template(observed: ObservedService, decision: _Decision) -> Desired | None:
    """Create the template that the service's overrides make of the one it names (SVC-OVR-1)."""
    base, model = decision.template.derive_from, decision.model.model
    if base is None or model is None:
        return None
    return render_derived_template(observed, base, model.metadata.name)


def _wanted_cache(observed: ObservedService, decision: _Decision) -> Desired | None:
    """Create the template cache, unless there is one or the image contains the weights (SVC-CCH-4)."""
    template = decision.usable_template
    if template is None or decision.cache is not None or not needs_cache(decision.template):
        return None
    if not _may_fetch_weights(observed, decision):
        return None
    cache = render_cache(observed, template)
    return None if is_name_taken(cache.key, observed.caches) else cache


def _wanted_addition_to_cache(observed: ObservedService, decision: _Decision) -> Desired | None:
    """Add to a failed cache what this service knows, such as a token (SVC-CCH-7)."""
    template, cache = decision.usable_template, decision.cache
    return amended_cache(observed.service, template, cache) if template is not None and cache is not None else None


def _wanted_profile(observed: ObservedService, decision: _Decision) -> Desired | None:
    """Keep the ConfigMap of a custom profile (SVC-PRF-1)."""
    if decision.usable_template is None or decision.profile is None:
        return None
    if _waits_for_weights(observed, decision) or _waits_for_profile(decision):
        return None
    return render_config_map(observed, decision.profile)


def _wanted_inference_service(observed: ObservedService, decision: _Decision) -> Desired | None:
    """Create the InferenceService once all inputs are ready; from then on keep it up to date (SVC-ORD-2, SVC-VOL-5)."""
    template = decision.usable_template
    if template is None or INFERENCE_SERVICE.name in observed.absent_kinds:
        return None
    if observed.inference_service is None and not (decision.model.ready and _has_weights(decision)):
        return None
    if _waits_for_weights(observed, decision) or _waits_for_profile(decision):
        return None
    parts = PredictorInputs(decision.name, decision.model.model, template, decision.cache, decision.profile)
    return render_inference_service(observed, parts)


def _may_fetch_weights(observed: ObservedService, decision: _Decision) -> bool:
    """Return whether the choice is final: a template still in discovery could change another one (SVC-CCH-5)."""
    return observed.inference_service is not None or decision.model.ready or is_named(observed.service)


def _has_weights(decision: _Decision) -> bool:
    """Return whether the weights are downloaded, or inside the image (SVC-CCH-8)."""
    template = decision.template.template
    weights = loaded_weights(template, decision.cache) if template is not None else None
    return holds_weights(decision.cache, weights) or not needs_cache(decision.template)


def _waits_for_weights(observed: ObservedService, decision: _Decision) -> bool:
    """Return whether the InferenceService keeps its settings until new weights are downloaded (SVC-VOL-5)."""
    live, template = observed.inference_service, decision.usable_template
    if live is None or template is None:
        return False
    weights = loaded_weights(template, decision.cache)
    is_there = has_downloaded(decision.cache, weights) or not needs_cache(decision.template)
    return not is_there and waits_for_weights(live, weights)


def _waits_for_profile(decision: _Decision) -> bool:
    """Return whether the template's profile is not that of the model's image yet (SVC-ORD-6)."""
    model, template = decision.model.model, decision.usable_template
    return model is not None and template is not None and not is_discovered_for(template, model.spec.image)


# What must not exist.


def _deletions(observed: ObservedService, decision: _Decision) -> list[Deletion]:
    """Return the deletions of what is ours and switched off or no longer used (SVC-DEL-1)."""
    service = observed.service
    route = route_deletion(service, decision.route, observed.http_route)
    scaled_object = scaled_object_deletion(service.spec, observed.inference_service, observed.scaled_object)
    # Until its template is ready, the service may still run with an older one.
    ready = decision.template.ready
    unused = ready and decision.profile is None and not _waits_for_weights(observed, decision)
    profile = config_map_deletion(service, observed.profile_config_map) if unused else None
    templates = map(template_deletion, observed.leftovers) if ready else ()
    return [deletion for deletion in (route, profile, scaled_object, *templates) if deletion is not None]


# How each part fares: one rule per component, in the order of a service's start.


def _judge(observed: ObservedService, decision: _Decision, now: datetime) -> list[TimedComponent]:
    pods = _pods_health(observed, now)
    runtime = _runtime_health(observed, decision, pods, now)
    serving = is_serving(runtime.component)
    parts = (
        _input_health(decision.model.component, observed, now),
        _input_health(decision.template.component, observed, now),
        _runtime_config_health(observed.config),
        runtime,
        pods,
        _cache_health(observed, decision, serving=serving),
        _route_health(observed, decision, serving=serving),
        _autoscaler_health(observed, serving=serving, now=now),
    )
    return [part for part in parts if part is not None]


def _input_health(component: Component, observed: ObservedService, now: datetime) -> TimedComponent:
    """Judge a model or template, whose trouble a running service outlives (SVC-TPL-6)."""
    running = observed.inference_service is not None
    return forgiven_while_running(component, observed.service, running=running, now=now)


def _runtime_config_health(config: ResolvedConfig) -> TimedComponent | None:
    """Judge the runtime config; None when there is none and none is named (CFG-FND-2)."""
    if config.failure is None and not config.found:
        return None
    return TimedComponent(config_component(config, found_reason=Reason.RUNTIME_CONFIG_RESOLVED))


def _runtime_health(
    observed: ObservedService, decision: _Decision, pods: TimedComponent | None, now: datetime
) -> TimedComponent:
    """Judge the InferenceService (SVC-HLT-3)."""
    live = observed.inference_service
    if decision.problem is not None:
        return TimedComponent(impossible_component(decision.problem))
    if live is None and INFERENCE_SERVICE.name in observed.absent_kinds:
        return TimedComponent(kserve_missing_component())
    warning = current_warning(live, observed.inference_service_events, now) if live is not None else None
    keeps_serving = has_served(observed.service) and pods is not None and is_serving(pods.component)
    return inference_service_component(live, warning, keeps_serving=keeps_serving)


def _pods_health(observed: ObservedService, now: datetime) -> TimedComponent | None:
    """Judge the predictor's pods; None without an InferenceService."""
    if observed.inference_service is None:
        return None
    unstarted = events_needed(observed.pods, now)
    again_after = unstarted.again_after if unstarted is not None else None
    return TimedComponent(pods_component(observed.pods, observed.logs, observed.pod_events), again_after)


def _cache_health(observed: ObservedService, decision: _Decision, *, serving: bool) -> TimedComponent:
    """Judge the template cache (SVC-CCH-9)."""
    mode, has_volumes = effective_mode(observed.service), mounts_cache(observed.inference_service)
    component = cache_component(mode, decision.template, decision.cache, serving=serving, has_volumes=has_volumes)
    template, cache = decision.usable_template, decision.cache
    if template is not None and cache is not None:
        is_running = serving or has_volumes
        component = weights_component(component, cache, loaded_weights(template, cache), is_running=is_running)
    return TimedComponent(component)


def _route_health(observed: ObservedService, decision: _Decision, *, serving: bool) -> TimedComponent | None:
    """Judge the HTTPRoute; None while routing is off (SVC-RTE-7)."""
    installed = HTTP_ROUTE.name not in observed.absent_kinds
    component = route_component(decision.route, observed.http_route, installed=installed, serving=serving)
    if component is None:
        return None
    return TimedComponent(component, CONFLICT_SECONDS if decision.route.withdrawn else None)


def _autoscaler_health(observed: ObservedService, *, serving: bool, now: datetime) -> TimedComponent | None:
    """Judge the autoscaler; None while autoscaling is off (SVC-SCL-5)."""
    keda = Keda(SCALED_OBJECT.name not in observed.absent_kinds, observed.scaled_object, observed.autoscaler)
    component = autoscaler_component(observed.service, keda, serving=serving, now=now)
    if component is None:
        return None
    return TimedComponent(component, autoscaler_grace_left(component, observed.service, now) if serving else None)


def _status(observed: ObservedService, decision: _Decision) -> Mapping[str, Any]:
    """Return the service's own status keys. References are written once Ready, and then kept (SVC-STA-2)."""
    service = observed.service
    exists = observed.http_route is not None
    status: dict[str, Any] = {
        "resolvedRuntimeConfig": observed.config.reference,
        "routing": routing_status(decision.route, service.status.routing, exists=exists),
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
