"""The HTTPRoute: its switches, how it is rendered, and whether the gateway took it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aimd.api.core import ParentReference
from aimd.api.reasons import Reason
from aimd.api.service import AIMService, RoutingState, ServiceCondition
from aimd.api.shared import Routing
from aimd.planning.component import Component, Direction, State
from aimd.planning.durations import InvalidDuration, gateway_duration
from aimd.planning.kinds import HTTP_ROUTE
from aimd.planning.labels import COMPONENT_LABEL, MANAGED_BY_LABEL, SERVICE_LABEL, label_value
from aimd.planning.path_template import InvalidPathTemplate, default_path, render_path
from aimd.planning.service.child_names import http_route_name, predictor_name
from aimd.planning.service.observed import ObservedService, is_owned, labels, owner_references
from aimd.runtime.objects import Deletion, Desired, Manifest, key_of, uid_of

BACKEND_PORT = 80

# `rules` is a list that we own as a whole, and the API server completes the backends inside it.
_FILLED = ("spec.rules[].backendRefs[].weight", "spec.rules[].backendRefs[].group")


@dataclass(frozen=True, slots=True)
class Route:
    """A service's routing, decided: where, at which path, or why not.

    `path` is empty and `reason` set (`PathTemplateInvalid`, `InvalidSpec`) when no route can be rendered.
    """

    enabled: bool
    gateway: ParentReference | None = None
    path: str = ""
    timeout: str = ""
    annotations: Mapping[str, str] | None = None
    reason: str = ""
    message: str = ""

    @property
    def renderable(self) -> bool:
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


def render_route(observed: ObservedService, route: Route, inference_service: str) -> Desired | None:
    """The HTTPRoute, None when it cannot or must not be rendered (SVC-RTE-9)."""
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
    manifest = {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.name,
        "metadata": metadata,
        "spec": {"parentRefs": [_parent_reference(route.gateway)], "rules": [rule]},
    }
    return Desired(HTTP_ROUTE, manifest, reason="route", filled=_FILLED)


def route_deletion(service: AIMService, route: Route, live: Manifest | None) -> Deletion | None:
    """Return the deletion of a route whose routing was switched off (SVC-DEL-1)."""
    if route.enabled or live is None or not is_owned(service, live):
        return None
    return Deletion(HTTP_ROUTE, key_of(live), uid_of(live), reason="routing-off")


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
    if not installed:
        message = "The Gateway API is not installed: the cluster has no kind HTTPRoute"
        return _component(_trouble(serving), Reason.HTTP_ROUTE_FETCH_ERROR, message)
    if route.gateway is None:
        message = "Routing is enabled without a gateway: set routing.gatewayRef on the service or its runtime config"
        return _component(_trouble(serving), Reason.GATEWAY_NOT_CONFIGURED, message)
    if route.reason:
        return _component(State.DEGRADED, route.reason, route.message)
    if live is None:
        return _component(State.PROGRESSING, Reason.HTTP_ROUTE_CREATING, "The HTTPRoute is being created")
    return _judge(_answers(live, route.gateway), serving=serving)


_Answer = Mapping[str, Mapping[str, Any]]


def _judge(answers: Sequence[_Answer], *, serving: bool) -> Component:
    """One gateway controller that accepts the route and resolves its backend is enough (SVC-RTE-6)."""
    refused: Mapping[str, Any] | None = None
    for answer in answers:
        accepted, resolved = answer.get("Accepted"), answer.get("ResolvedRefs")
        trouble = next((item for item in (accepted, resolved) if item and item.get("status") == "False"), None)
        if trouble is None and accepted is not None and accepted.get("status") == "True":
            return _component(State.READY, Reason.HTTP_ROUTE_ACCEPTED, "HTTPRoute is accepted by gateway")
        refused = refused or trouble
    if refused is None:
        return _component(State.PROGRESSING, Reason.HTTP_ROUTE_PENDING, "No gateway has answered for the HTTPRoute yet")
    reason, message = str(refused.get("reason") or Reason.HTTP_ROUTE_PENDING), str(refused.get("message") or "")
    return _component(_trouble(serving), reason, message or "The gateway does not take the HTTPRoute")


def _answers(route: Mapping[str, Any], gateway: ParentReference) -> list[_Answer]:
    """Return the current conditions by type, of each parent entry that is about the wanted gateway."""
    namespace = key_of(route).namespace
    generation = int((route.get("metadata") or {}).get("generation") or 0)
    wanted = _identity(_parent_reference(gateway), namespace)
    answers: list[_Answer] = []
    for parent in (route.get("status") or {}).get("parents") or ():
        if _identity(parent.get("parentRef") or {}, namespace) == wanted:
            current = [c for c in parent.get("conditions") or () if _is_current(c, generation)]
            answers.append({str(condition.get("type")): condition for condition in current})
    return answers


def _is_current(condition: Mapping[str, Any], generation: int) -> bool:
    observed = condition.get("observedGeneration")
    return observed is None or int(observed) >= generation


def _identity(parent: Mapping[str, Any], namespace: str) -> tuple[Any, ...]:
    return (
        parent.get("group", "gateway.networking.k8s.io"),
        parent.get("kind", "Gateway"),
        parent.get("namespace") or namespace,
        parent.get("name"),
        parent.get("sectionName") or "",
        parent.get("port") or 0,
    )


def _parent_reference(gateway: ParentReference) -> Manifest:
    reference: Manifest = {"group": gateway.group, "kind": gateway.kind, "name": gateway.name}
    if gateway.namespace:
        reference["namespace"] = gateway.namespace
    if gateway.section_name:
        reference["sectionName"] = gateway.section_name
    if gateway.port is not None:
        reference["port"] = gateway.port
    return reference


def _default_path(service: AIMService, live: Manifest | None) -> str:
    """Return `/<namespace>/<name>`, or the reference operator's `/<namespace>/<uid>` if the route already serves that
    (SVC-RTE-2)."""
    metadata = service.metadata
    former = default_path(metadata.namespace, metadata.uid)
    if live is not None and former in _paths(live):
        return former
    return default_path(metadata.namespace, metadata.name)


def _paths(route: Mapping[str, Any]) -> list[str]:
    rules = (route.get("spec") or {}).get("rules") or ()
    return [(match.get("path") or {}).get("value", "") for rule in rules for match in rule.get("matches") or ()]


def _name(service: AIMService, live: Manifest | None) -> str:
    """Return the name of the route that exists and is ours, else the derived one."""
    if live is not None and is_owned(service, live):
        return key_of(live).name
    return http_route_name(service.metadata.name, service.metadata.namespace)


def _trouble(serving: bool) -> State:
    """A service that serves has a warning; one that does not yet is still starting (SVC-RTE-7)."""
    return State.DEGRADED if serving else State.PROGRESSING


def _component(state: State, reason: str, message: str) -> Component:
    return Component(ServiceCondition.HTTP_ROUTE_READY, state, reason, message, direction=Direction.DOWNSTREAM)
