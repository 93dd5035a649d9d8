"""The HTTPRoute: switches, rendering, health."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from aimd.planning.component import State
from aimd.planning.plan import Plan
from aimd.planning.service.observed import ObservedService
from aimd.planning.service.plan import plan_service
from aimd.planning.service.route_paths import Listeners, RoutedPath
from aimd.planning.service.routing import Route, route_component, route_of, routing_status
from aimd.runtime.objects import Key
from tests.unit.planning.service.makers import Maker

GATEWAY = {"name": "inference-gateway", "namespace": "gateways"}
ON = {"enabled": True, "gatewayRef": GATEWAY}
PARENT = {"group": "gateway.networking.k8s.io", "kind": "Gateway", **GATEWAY}


def route(plan: Any) -> dict[str, Any]:
    return next(desired.manifest for desired in plan.desired if desired.kind.name == "HTTPRoute")


def decided(seen: ObservedService) -> Route:
    return route_of(seen.service, seen.manifest, seen.config.routing, seen.http_route)


def test_the_route_in_full(observed: Maker, service_manifest: Maker, model: Maker, now: datetime) -> None:
    """Prove SVC-RTE-9."""
    routing = {**ON, "requestTimeout": "180s", "annotations": {"b": "service"}}
    config = {"routing": {"annotations": {"a": "config", "b": "config"}, "requestTimeout": "60s"}}
    manifest = service_manifest(routing=routing)
    plan = plan_service(observed(service=manifest, config=config, models=[model()]), now)
    rendered = route(plan)
    assert rendered["metadata"]["name"] == "qwen-chat-a04542d9"
    assert rendered["metadata"]["annotations"] == {"a": "config", "b": "service"}
    assert rendered["metadata"]["labels"] == {
        "aim.eai.amd.com/service": "qwen-chat",
        "aim.eai.amd.com/service.name": "qwen-chat",
        "app.kubernetes.io/component": "routing",
        "app.kubernetes.io/managed-by": "aim-engine",
    }
    assert rendered["spec"] == {
        "parentRefs": [PARENT],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/ml-team/qwen-chat"}}],
                "filters": [
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
                    }
                ],
                "backendRefs": [
                    {"kind": "Service", "name": "qwen-chat-a04542d9-predictor", "namespace": "ml-team", "port": 80}
                ],
                "timeouts": {"request": "3m0s"},
            }
        ],
    }
    assert plan.status["routing"] == {"path": "/ml-team/qwen-chat"}


@pytest.mark.parametrize(
    ("own", "shared", "enabled"),
    [(None, None, False), (None, True, True), (False, True, False), (True, False, True), (True, None, True)],
)
def test_the_service_wins_over_the_config(
    observed: Maker, service_manifest: Maker, own: Any, shared: Any, enabled: bool
) -> None:
    """Prove SVC-RTE-1."""
    routing = {"gatewayRef": GATEWAY, **({"enabled": own} if own is not None else {})}
    config = {"routing": {"enabled": shared} if shared is not None else {}}
    assert decided(observed(service=service_manifest(routing=routing), config=config)).enabled is enabled


def test_gateway_and_template_come_from_the_strongest_level(observed: Maker, service_manifest: Maker) -> None:
    """Prove SVC-RTE-1."""
    config = {"routing": {**ON, "pathTemplate": "/{.metadata.name}/shared"}}
    shared = decided(observed(service=service_manifest(), config=config))
    assert shared.gateway is not None
    assert (shared.gateway.name, shared.path) == ("inference-gateway", "/qwen-chat/shared")
    own = service_manifest(routing={"gatewayRef": {"name": "mine"}, "pathTemplate": "/own"})
    chosen = decided(observed(service=own, config=config))
    assert chosen.gateway is not None
    assert (chosen.gateway.name, chosen.path) == ("mine", "/own")


def test_the_reference_operators_default_path_is_kept(observed: Maker, service_manifest: Maker, service: Maker) -> None:
    """Prove SVC-RTE-2."""
    manifest = service_manifest(routing=ON)
    uid_path = f"/ml-team/{manifest['metadata']['uid']}"
    existing = {"metadata": {"name": "r"}, "spec": {"rules": [{"matches": [{"path": {"value": uid_path}}]}]}}
    assert decided(observed(service=manifest, http_route=existing)).path == uid_path
    assert decided(observed(service=manifest)).path == "/ml-team/qwen-chat"


def test_a_broken_template_degrades_and_keeps_what_is_there(
    observed: Maker, service_manifest: Maker, model: Maker, now: datetime
) -> None:
    """Prove SVC-RTE-5."""
    status = {"routing": {"path": "/good"}}
    manifest = service_manifest(routing={**ON, "pathTemplate": "/{.metadata.labels['team']}"}, status=status)
    existing = {"metadata": {"name": "r", "uid": "r"}}
    seen = observed(service=manifest, models=[model()], http_route=existing)
    plan = plan_service(seen, now)
    assert not [desired for desired in plan.desired if desired.kind.name == "HTTPRoute"]
    assert not plan.deletions
    broken = next(component for component in plan.components if component.name == "HTTPRoute")
    assert (broken.effective_state, broken.effective_reason) == (State.DEGRADED, "PathTemplateInvalid")
    assert not broken.blocks_apply
    assert "label 'team'" in broken.message
    assert plan.status["routing"] == {"path": "/good"}
    assert routing_status(decided(seen), seen.service.status.routing, exists=False) is None


def test_switching_off_deletes_only_our_own_route(
    observed: Maker, service_manifest: Maker, model: Maker, live: Maker, now: datetime
) -> None:
    """Prove SVC-DEL-1."""
    first = plan_service(observed(service=service_manifest(routing=ON), models=[model()]), now)
    ours = live(route(first))
    plan = plan_service(observed(service=service_manifest(), models=[model()], http_route=ours), now)
    assert [(deletion.key.name, deletion.uid) for deletion in plan.deletions] == [
        ("qwen-chat-a04542d9", "uid-HTTPRoute")
    ]
    assert plan.status["routing"] is None
    foreign = {**ours, "metadata": {**ours["metadata"], "ownerReferences": []}}
    assert not plan_service(observed(models=[model()], http_route=foreign), now).deletions


@pytest.fixture
def judge(observed: Maker, service_manifest: Maker) -> Maker:
    """`judge(parents, …)`: health of a route with these parent entries."""

    def make(
        parents: Any = None, *, serving: Any = True, generation: Any = 1, routing: Any = ON, **fields: Any
    ) -> tuple[str, State]:
        existing = {"metadata": {"name": "r", "generation": generation}, "status": {"parents": parents or []}}
        fields = {"http_route": existing, **fields}
        seen = observed(service=service_manifest(routing=routing), **fields)
        component = route_component(decided(seen), seen.http_route, installed=True, serving=serving)
        assert component is not None
        return component.effective_reason, component.effective_state

    return make


def parent(*conditions: tuple[str, str, str], ref: Any = None, generation: int = 1) -> dict[str, Any]:
    entries = [
        {"type": type_, "status": status, "reason": reason, "observedGeneration": generation}
        for type_, status, reason in conditions
    ]
    return {"parentRef": PARENT if ref is None else ref, "conditions": entries}


ACCEPTED = ("Accepted", "True", "Accepted")
RESOLVED = ("ResolvedRefs", "True", "ResolvedRefs")


def test_accepted_and_resolved_is_ready(judge: Maker) -> None:
    """Prove SVC-RTE-6."""
    assert judge([parent(ACCEPTED, RESOLVED)]) == ("HTTPRouteAccepted", State.READY)
    assert judge([parent(ACCEPTED, ref={"name": "inference-gateway", "namespace": "gateways"})])[1] is State.READY


@pytest.mark.parametrize(("serving", "state"), [(True, State.DEGRADED), (False, State.PROGRESSING)])
def test_trouble_with_the_gateway(judge: Maker, serving: bool, state: State) -> None:
    """Prove SVC-RTE-7."""
    unresolved = [parent(ACCEPTED, ("ResolvedRefs", "False", "BackendNotFound"))]
    assert judge(unresolved, serving=serving) == ("BackendNotFound", state)
    assert judge([parent(("Accepted", "False", "NotAllowedByListeners"))], serving=serving) == (
        "NotAllowedByListeners",
        state,
    )
    assert judge(routing={"enabled": True}, serving=serving) == ("GatewayNotConfigured", state)


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("Accepted", "NoMatchingParent"),
        ("Accepted", "NoMatchingListenerHostname"),
        ("Accepted", "UnsupportedValue"),
        ("Accepted", "IncompatibleFilters"),
        ("Accepted", "Pending"),
        ("ResolvedRefs", "RefNotPermitted"),
        ("ResolvedRefs", "InvalidKind"),
        ("ResolvedRefs", "UnsupportedProtocol"),
        ("Accepted", "ReasonOfAnImplementation"),
    ],
)
def test_the_reason_of_the_gateway_is_passed_on(judge: Maker, type_: str, reason: str) -> None:
    """Prove SVC-RTE-7."""
    assert judge([parent((type_, "False", reason))]) == (reason, State.DEGRADED)


def test_answers_that_do_not_count(judge: Maker) -> None:
    """Prove SVC-RTE-6."""
    pending = ("HTTPRoutePending", State.PROGRESSING)
    assert judge() == pending
    assert judge([parent(ACCEPTED, RESOLVED, ref={"name": "another", "namespace": "gateways"})]) == pending
    assert judge([parent(ACCEPTED, RESOLVED, generation=1)], generation=2) == pending
    rejected = parent(("Accepted", "False", "NoMatchingParent"))
    assert judge([rejected, parent(ACCEPTED, RESOLVED)])[0] == "HTTPRouteAccepted"
    assert judge(http_route=None) == ("HTTPRouteCreating", State.PROGRESSING)


def test_a_timeout_that_no_gateway_takes(judge: Maker) -> None:
    """Prove SVC-RTE-8."""
    assert judge(routing={**ON, "requestTimeout": "-1s"}) == ("InvalidSpec", State.DEGRADED)


OTHERS = RoutedPath(
    Key("another-team", "bot"),
    "",
    Listeners(("gateway.networking.k8s.io", "Gateway", "gateways", "inference-gateway")),
    ("ml-team", "qwen-chat", "v1"),
)


def test_a_path_of_another_service_is_not_routed(
    observed: Maker, service_manifest: Maker, model: Maker, now: datetime
) -> None:
    """Prove SVC-RTE-10: there is no route, the other service is named, and it heals."""

    def planned(*rivals: RoutedPath, **live: Any) -> Plan:
        seen = observed(service=service_manifest(routing=ON), models=[model()], **live)
        return plan_service(replace(seen, rival_routes=rivals), now)

    free = planned()
    existing = {**route(free), "metadata": {**route(free)["metadata"], "uid": "r"}}
    for live in ({}, {"http_route": existing}):
        plan = planned(OTHERS, **live)
        (component,) = (item for item in plan.components if item.type == "HTTPRouteReady")
        assert (component.state, component.reason) == (State.DEGRADED, "PathConflict")
        assert "AIMService another-team/bot" in component.message
        assert "HTTPRoute" not in {desired.kind.name for desired in plan.desired}
        assert [item.reason for item in plan.deletions] == (["route-withdrawn"] if live else [])
        assert plan.requeue_after is not None
    younger = replace(OTHERS, created="2099-01-01T00:00:00Z")
    assert route(planned(younger, http_route=existing))["spec"] == existing["spec"]
    assert route(planned(replace(OTHERS, segments=("elsewhere",)))) == route(free)
