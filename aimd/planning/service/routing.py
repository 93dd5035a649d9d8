"""The HTTPRoute of a service: its settings, how it is rendered, and whether a gateway accepts it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from aimd.api.core import ParentReference
from aimd.api.reasons import Reason
from aimd.api.service import AIMService, RoutingState, ServiceCondition
from aimd.api.shared import Routing
from aimd.planning.component import Component, Direction, State
from aimd.planning.durations import InvalidDuration, gateway_duration
from aimd.planning.kinds import HTTP_ROUTE
from aimd.planning.labels import COMPONENT_LABEL, MANAGED_BY_LABEL, SERVICE_LABEL, label_value
from aimd.planning.objects import (
    conditions_in,
    generation_of,
    part,
    parts,
    status_of,
)
from aimd.planning.path_template import InvalidPathTemplate, default_path, render_path
from aimd.planning.service.child_names import http_route_name, predictor_name
from aimd.planning.service.observed import ObservedService, is_owned, labels, owner_references
from aimd.planning.service.route_paths import (
    RoutedPath,
    find_conflict,
    listeners_of,
    paths_in,
    routed_paths,
    segments_of,
)
from aimd.planning.service.routing_policy import WantedRoute, gateway_problem, violation
from aimd.runtime.objects import Condition, Deletion, Desired, Manifest, key_of, uid_of

BACKEND_PORT = 80
CONFLICT_SECONDS = 30.0
"""Interval at which a service without its path looks again, beside being woken by the route that has it."""

_ROUTE, _MADE = ServiceCondition.HTTP_ROUTE_READY, Direction.DOWNSTREAM

# `rules` is a list that we own as a whole, and the API server completes the backends inside it.
_FILLED = ("spec.rules[].backendRefs[].weight", "spec.rules[].backendRefs[].group")


@dataclass(frozen=True, slots=True)
class Route:
    """The routing of a service as decided: the gateway and the path, or why there is no route.

    `path` is empty and `reason` set (`PathTemplateInvalid`, `InvalidSpec`) when no route can be rendered; the one that
    exists stays, unless it is `withdrawn`.
    """

    enabled: bool
    gateway: ParentReference | None = None
    path: str = ""
    timeout: str = ""
    annotations: Mapping[str, str] | None = None
    reason: str = ""
    message: str = ""
    withdrawn: bool = False

    @property
    def renderable(self) -> bool:
        """Whether a route can be rendered."""
        return self.enabled and self.gateway is not None and not self.reason


def route_of(service: AIMService, manifest: Manifest, shared: Routing, live: Manifest | None = None) -> Route:
    """Decide the routing of a service: each setting from the service, else from the runtime config (SVC-RTE-1).

    `manifest` is the service as JSON, which path templates look into; `live` is the HTTPRoute that exists.
    """
    own = service.spec.routing
    enabled = own.enabled if own is not None and own.enabled is not None else shared.enabled
    if not enabled:
        return Route(enabled=False)
    gateway = (own.gateway_ref if own is not None else None) or shared.gateway_ref
    template = (own.path_template if own is not None else "") or shared.path_template
    timeout = (own.request_timeout if own is not None else "") or shared.request_timeout
    annotations = {**shared.annotations, **(own.annotations if own is not None else {})}
    try:
        path = render_path(template, manifest) if template else _default_path(service, live)
        duration = gateway_duration(timeout) if timeout else ""
    except InvalidPathTemplate as error:
        return Route(enabled=True, gateway=gateway, reason=Reason.PATH_TEMPLATE_INVALID, message=str(error))
    except InvalidDuration as error:
        return Route(
            enabled=True, gateway=gateway, reason=Reason.INVALID_SPEC, message=f"routing.requestTimeout: {error}"
        )
    return Route(enabled=True, gateway=gateway, path=path, timeout=duration, annotations=annotations)


def decided_route(observed: ObservedService) -> Route:
    """Return the routing of a service by its own settings, those of its runtime config, and what is allowed."""
    route = route_of(observed.service, observed.manifest, observed.config.routing, observed.http_route)
    return _allowed(observed, route)


def final_route(observed: ObservedService) -> Route:
    """Return the routing of a service, as far as it is allowed and no other service is in the way."""
    return _without_conflict(observed, decided_route(observed))


def _allowed(observed: ObservedService, route: Route) -> Route:
    """Return the route, withdrawn if it attaches to no Gateway or breaks a policy (SVC-RTE-11, SVC-RTE-12)."""
    if not route.renderable or route.gateway is None:
        return route
    invalid = gateway_problem(route.gateway)
    if invalid:
        return replace(route, path="", reason=Reason.INVALID_SPEC, message=invalid, withdrawn=True)
    wanted = WantedRoute(observed.key.namespace, route.path, route.gateway, route.annotations or {})
    refused = violation(wanted, observed.manifest, observed.config.policies)
    if refused:
        return replace(route, path="", reason=Reason.ROUTE_NOT_ALLOWED, message=refused, withdrawn=True)
    return route


def _without_conflict(observed: ObservedService, route: Route) -> Route:
    """Return the route, withdrawn if another service keeps its path (SVC-RTE-10)."""
    if not route.renderable or route.gateway is None:
        return route
    metadata, live = observed.service.metadata, observed.http_route
    listeners = listeners_of(parent_reference(route.gateway), observed.key.namespace)
    own = RoutedPath(observed.key, metadata.creation_timestamp, listeners, segments_of(route.path))
    current = routed_paths(live, observed.key, "") if live is not None else ()
    is_routed = any((path.listeners, path.segments) == (listeners, own.segments) for path in current)
    other = find_conflict(own, observed.rival_routes, is_routed=is_routed)
    if other is None:
        return route
    message = (
        f"Path {route.path} collides with path /{'/'.join(other.segments)} of AIMService {other.service} on the same "
        "gateway. Set another routing.pathTemplate"
    )
    return replace(route, path="", reason=Reason.PATH_CONFLICT, message=message, withdrawn=True)


def render_route(observed: ObservedService, route: Route, inference_service: str) -> Desired | None:
    """Render the HTTPRoute, None when it cannot or must not be rendered (SVC-RTE-9)."""
    if not route.renderable or route.gateway is None:
        return None
    metadata: Manifest = {
        "name": _name(observed.service, observed.http_route),
        "namespace": observed.key.namespace,
        "labels": labels(
            observed.service,
            observed.config,
            {
                COMPONENT_LABEL: "routing",
                MANAGED_BY_LABEL: "aim-engine",
                SERVICE_LABEL: label_value(observed.key.name),
            },
        ),
        "ownerReferences": owner_references(observed.service),
    }
    if route.annotations:
        metadata["annotations"] = dict(sorted(route.annotations.items()))
    rule: Manifest = {
        "matches": [{"path": {"type": "PathPrefix", "value": route.path}}],
        "filters": [
            {
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
            }
        ],
        "backendRefs": [
            {
                "kind": "Service",
                "name": predictor_name(inference_service),
                "namespace": observed.key.namespace,
                "port": BACKEND_PORT,
            }
        ],
    }
    if route.timeout:
        rule["timeouts"] = {"request": route.timeout}
    spec = {"parentRefs": [parent_reference(route.gateway)], "rules": [rule]}
    return Desired(HTTP_ROUTE, HTTP_ROUTE.manifest(metadata, spec=spec), reason="route", filled=_FILLED)


def route_deletion(service: AIMService, route: Route, live: Manifest | None) -> Deletion | None:
    """Return the deletion of a route that was switched off, or may not exist (SVC-DEL-1, SVC-RTE-10)."""
    unwanted = not route.enabled or route.withdrawn
    if not unwanted or live is None or not is_owned(service, live):
        return None
    reason = "route-withdrawn" if route.enabled else "routing-off"
    return Deletion(HTTP_ROUTE, key_of(live), uid_of(live), reason=reason)


def routing_status(route: Route, stored: RoutingState | None, *, exists: bool) -> Manifest | None:
    """Return `status.routing`, None without routing (SVC-RTE-5).

    It shows the rendered path, or the last good one while the template is broken and the route exists.
    """
    if not route.enabled:
        return None
    path = route.path or (stored.path if stored is not None and exists else "")
    return {"path": path} if path else None


def route_component(route: Route, live: Manifest | None, *, installed: bool, serving: bool) -> Component | None:
    """Return the health of the route, None while routing is off. Trouble concerns the route only (SVC-RTE-7).

    `installed` is whether the cluster has the kind HTTPRoute.
    """
    if not route.enabled:
        return None
    trouble = State.DEGRADED if serving else State.PROGRESSING
    if not installed:
        message = "The Gateway API is not installed: the cluster has no kind HTTPRoute. Install it, or disable routing"
        return Component(_ROUTE, trouble, Reason.HTTP_ROUTE_FETCH_ERROR, message, _MADE)
    if route.gateway is None:
        message = "Routing is enabled without a gateway: set routing.gatewayRef on the service or its runtime config"
        return Component(_ROUTE, trouble, Reason.GATEWAY_NOT_CONFIGURED, message, _MADE)
    if route.reason:
        return Component(_ROUTE, State.DEGRADED, route.reason, route.message, _MADE)
    if live is None:
        return Component.waiting(_ROUTE, Reason.HTTP_ROUTE_CREATING, "The HTTPRoute is being created", _MADE)
    return _answer(_parents(live, route.gateway), trouble)


_Conditions: TypeAlias = Mapping[str, Condition]
"""The current conditions of one parent, by type."""


def _answer(parents: Sequence[_Conditions], trouble: State) -> Component:
    """Judge by one gateway controller that accepts the route and resolves its backend; one is enough (SVC-RTE-6)."""
    refused: Condition | None = None
    for conditions in parents:
        accepted, resolved = conditions.get("Accepted"), conditions.get("ResolvedRefs")
        refusal = next((item for item in (accepted, resolved) if item is not None and item.status == "False"), None)
        if refusal is None and accepted is not None and accepted.status == "True":
            return Component.ready(_ROUTE, Reason.HTTP_ROUTE_ACCEPTED, "HTTPRoute is accepted by gateway", _MADE)
        refused = refused or refusal
    if refused is None:
        message = "No gateway has answered for the HTTPRoute yet"
        return Component.waiting(_ROUTE, Reason.HTTP_ROUTE_PENDING, message, _MADE)
    reason = refused.reason or Reason.HTTP_ROUTE_PENDING
    message = refused.message or f"The gateway refuses the HTTPRoute with reason {reason}"
    return Component(_ROUTE, trouble, reason, message, _MADE)


def _parents(route: Manifest, gateway: ParentReference) -> list[_Conditions]:
    """Return the current conditions of each parent of a route that is the wanted gateway."""
    namespace, generation = key_of(route).namespace, generation_of(route)
    wanted = listeners_of(parent_reference(gateway), namespace)
    return [
        {condition.type: condition for condition in conditions_in(parent) if _is_current(condition, generation)}
        for parent in parts(status_of(route), "parents")
        if listeners_of(part(parent, "parentRef"), namespace) == wanted
    ]


def _is_current(condition: Condition, generation: int) -> bool:
    observed = condition.observed_generation
    return observed is None or observed >= generation


def parent_reference(gateway: ParentReference) -> Manifest:
    """Return a parent reference as it is rendered."""
    reference: Manifest = {"group": gateway.group, "kind": gateway.kind, "name": gateway.name}
    if gateway.namespace:
        reference["namespace"] = gateway.namespace
    if gateway.section_name:
        reference["sectionName"] = gateway.section_name
    if gateway.port is not None:
        reference["port"] = gateway.port
    return reference


def _default_path(service: AIMService, live: Manifest | None) -> str:
    """Return `/<namespace>/<name>`, unless the route already serves the former `/<namespace>/<uid>` (SVC-RTE-2)."""
    metadata = service.metadata
    former = default_path(metadata.namespace, metadata.uid)
    if live is not None and former in paths_in(live):
        return former
    return default_path(metadata.namespace, metadata.name)


def _name(service: AIMService, live: Manifest | None) -> str:
    """Return the name of the route that exists and is ours, else the derived one."""
    if live is not None and is_owned(service, live):
        return key_of(live).name
    return http_route_name(service.metadata.name, service.metadata.namespace)
