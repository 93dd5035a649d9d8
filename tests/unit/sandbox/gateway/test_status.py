"""What the gateway reports about routes, Gateways and classes."""

from typing import Any

import pytest

from aimd.runtime.objects import Key
from aimd.sandbox.gateway.status import class_status, gateway_keys, gateway_status, is_accepted, parent_statuses
from tests.unit.sandbox.gateway.routes import LATER, NOW, OURS, SERVICE, gateway, route


def parents_of(manifest: dict[str, Any], gate: dict[str, Any] | None = None, **services: Any) -> Any:
    gateways = {Key("ingress", "gateway"): gate or gateway()}
    found = {Key("team", "chat-predictor"): SERVICE, **{Key("team", name): item for name, item in services.items()}}
    return parent_statuses(manifest, gateways, found, OURS, NOW)


def reasons(parents: Any) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in parents[0]["conditions"]}


def test_a_route_whose_gateway_and_service_exist() -> None:
    parents = parents_of(route())
    assert reasons(parents) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}
    assert parents[0]["parentRef"] == {"name": "gateway", "namespace": "ingress"}
    assert parents[0]["controllerName"] == OURS
    assert {item["observedGeneration"] for item in parents[0]["conditions"]} == {3}
    assert is_accepted(parents, OURS)
    assert gateway_keys(route()) == (Key("ingress", "gateway"),)


def test_a_missing_service_is_accepted_but_not_resolved() -> None:
    parents = parent_statuses(route(), {Key("ingress", "gateway"): gateway()}, {}, OURS, NOW)
    assert reasons(parents)["ResolvedRefs"] == ("False", "BackendNotFound")
    assert "team/chat-predictor does not exist" in parents[0]["conditions"][1]["message"]
    assert is_accepted(parents, OURS)


def test_no_entry_for_a_gateway_that_is_not_ours() -> None:
    manifest = route()
    foreign = {"controllerName": "other", "parentRef": {"name": "x"}, "conditions": []}
    manifest["status"] = {"parents": [foreign, {"controllerName": OURS, "parentRef": {"name": "gone"}}]}
    assert parent_statuses(manifest, {}, {}, OURS, NOW) == [foreign]


@pytest.mark.parametrize(
    ("listener", "reference", "reason"),
    [
        ({}, {"sectionName": "https"}, "NoMatchingParent"),
        ({}, {"port": 81}, "NoMatchingParent"),
        ({"allowedRoutes": {"namespaces": {"from": "Same"}}}, {}, "NotAllowedByListeners"),
        ({"allowedRoutes": {}}, {}, "NotAllowedByListeners"),
    ],
)
def test_refusals(listener: dict[str, Any], reference: dict[str, Any], reason: str) -> None:
    parent = {"name": "gateway", "namespace": "ingress", **reference}
    parents = parents_of(route(parentRefs=[parent]), gateway(**listener))
    assert reasons(parents)["Accepted"] == ("False", reason)
    assert not is_accepted(parents, OURS)


def test_transition_times_move_only_with_the_status() -> None:
    manifest = route()
    manifest["status"] = {"parents": parents_of(manifest)}
    missing = parent_statuses(manifest, {Key("ingress", "gateway"): gateway()}, {}, OURS, LATER)
    times = {item["type"]: item["lastTransitionTime"] for item in missing[0]["conditions"]}
    assert times == {"Accepted": NOW, "ResolvedRefs": LATER}


def test_gateway_and_class() -> None:
    status = gateway_status(gateway(), [route(), route("other", parentRefs=[])], NOW)
    assert status["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]
    assert {item["type"]: item["status"] for item in status["conditions"]} == {
        "Accepted": "True",
        "Programmed": "True",
    }
    assert status["listeners"][0]["attachedRoutes"] == 1
    assert class_status({"metadata": {"generation": 2}}, NOW)["conditions"][0]["observedGeneration"] == 2
