"""The gateway's decisions: what a route means, who gets a request, what is reported."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.runtime.objects import Key
from aimd.sandbox.gateway.routing import (
    Backend,
    RouteTable,
    backend_problem,
    parse_duration,
    ready_addresses,
    rules_of,
    target_port,
)
from aimd.sandbox.gateway.status import class_status, gateway_keys, gateway_status, is_accepted, parent_statuses

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:01:00Z"
OURS = "test/gateway"


def route(name: str = "chat", *, path: str = "/team/chat", namespace: str = "team", **changes: Any) -> dict[str, Any]:
    """The HTTPRoute of an AIMService (SVC-RTE-9)."""
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "filters": [
            {
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
            }
        ],
        "backendRefs": [{"kind": "Service", "name": f"{name}-predictor", "namespace": namespace, "port": 80}],
    }
    rule.update(changes.pop("rule", {}))
    spec = {"parentRefs": [{"name": "gateway", "namespace": "ingress"}], "rules": [rule], **changes}
    metadata = {"name": name, "namespace": namespace, "generation": 3, "creationTimestamp": NOW}
    return {"metadata": metadata, "spec": spec}


def gateway(**listener: Any) -> dict[str, Any]:
    listeners = [
        {
            "name": "http",
            "protocol": "HTTP",
            "port": 80,
            "allowedRoutes": {"namespaces": {"from": "All"}},
            **listener,
        }
    ]
    spec = {"gatewayClassName": "sandbox", "listeners": listeners}
    return {"metadata": {"name": "gateway", "namespace": "ingress", "generation": 1}, "spec": spec}


SERVICE = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8000}]}}


def table(*routes: dict[str, Any]) -> RouteTable:
    result = RouteTable()
    for manifest in routes:
        result.put(Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"]), rules_of(manifest))
    return result


def matched(routes: RouteTable, path: str, *, host: str = "any", method: str = "GET") -> str | None:
    rule = routes.match(host, method, path)
    return rule.route.name if rule else None


class TestRouting:
    def test_a_prefix_matches_whole_elements_only(self) -> None:
        routes = table(route())
        assert matched(routes, "/team/chat") == "chat"
        assert matched(routes, "/team/chat/") == "chat"
        assert matched(routes, "/team/chat/v1/models") == "chat"
        assert matched(routes, "/team/chatter") is None
        assert matched(routes, "/team") is None

    def test_the_longest_prefix_wins_and_an_exact_path_before_it(self) -> None:
        exact = {"matches": [{"path": {"type": "Exact", "value": "/team/chat/v1"}}]}
        routes = table(
            route("root", path="/"),
            route("long", path="/team/chat"),
            route("short", path="/team"),
            route("exact", rule=exact),
        )
        assert matched(routes, "/other") == "root"
        assert matched(routes, "/team/x") == "short"
        assert matched(routes, "/team/chat/v1/models") == "long"
        assert matched(routes, "/team/chat/v1") == "exact"

    def test_of_equal_rules_the_older_route_wins(self) -> None:
        young = route("a-young")
        young["metadata"]["creationTimestamp"] = LATER
        assert matched(table(young, route("b-old")), "/team/chat") == "b-old"

    def test_hostnames_and_methods_narrow_a_route(self) -> None:
        post = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}, "method": "POST"}]}
        routes = table(route("named", path="/", hostnames=["a.example", "*.b.example"]), route("posts", rule=post))
        assert matched(routes, "/", host="a.example") == "named"
        assert matched(routes, "/", host="x.b.example") == "named"
        assert matched(routes, "/", host="b.example") is None
        assert matched(routes, "/", method="POST") == "posts"

    def test_a_changed_or_removed_route_leaves_no_rule_behind(self) -> None:
        routes = table(route(path="/old"))
        key = Key("team", "chat")
        routes.put(key, rules_of(route(path="/new")))
        assert (matched(routes, "/old"), matched(routes, "/new")) == (None, "chat")
        routes.put(key, ())
        assert (matched(routes, "/new"), routes.paths()) == (None, ())

    @pytest.mark.parametrize(
        ("path", "rewritten"), [("/team/chat", "/"), ("/team/chat/", "/"), ("/team/chat/v1/models", "/v1/models")]
    )
    def test_the_prefix_is_replaced(self, path: str, rewritten: str) -> None:
        rule = table(route()).match("any", "GET", path)
        assert rule is not None
        assert rule.rewritten(path) == rewritten

    @given(
        prefix=st.from_regex(r"(/[a-z]{1,3}){0,3}/?", fullmatch=True),
        rest=st.from_regex(r"(/[a-z]{0,3}){0,3}", fullmatch=True),
    )
    def test_a_rewritten_path_is_absolute_and_keeps_the_rest(self, prefix: str, rest: str) -> None:
        rule = rules_of(route(path=prefix or "/"))[0]
        path = (prefix.rstrip("/") + rest) or "/"
        assert rule.matches("any", "GET", path)
        assert rule.rewritten(path) == (rest or "/")

    def test_what_it_does_not_know_is_not_routed(self) -> None:
        assert rules_of(route(rule={"filters": [{"type": "RequestRedirect"}]})) == ()
        assert rules_of(route(rule={"matches": [{"headers": [{"name": "x", "value": "y"}]}]})) == ()

    def test_backends_and_timeout(self) -> None:
        rule = rules_of(route(rule={"timeouts": {"request": "1m30s"}}))[0]
        assert rule.timeout == 90
        assert rule.backends == (Backend(Key("team", "chat-predictor"), 80),)
        assert rules_of(route(rule={"timeouts": {"request": "0s"}}))[0].timeout is None

    @pytest.mark.parametrize(("text", "seconds"), [("3m0s", 180), ("1h30m0s", 5400), ("1s500ms", 1.5), ("0s", 0)])
    def test_durations(self, text: str, seconds: float) -> None:
        assert parse_duration(text) == pytest.approx(seconds)

    @pytest.mark.parametrize("text", ["", "1.5s", "s", "1s ", "-1s", "1d"])
    def test_what_is_no_duration(self, text: str) -> None:
        with pytest.raises(ValueError, match=re.escape(repr(text))):
            parse_duration(text)

    def test_endpoints_behind_a_service_port(self) -> None:
        endpoints = {
            "ports": [{"name": "metrics", "port": 9}, {"name": "http", "port": 8000}],
            "endpoints": [
                {"addresses": ["10.250.0.1"], "conditions": {"ready": True}},
                {"addresses": ["10.250.0.2"], "conditions": {"ready": False}},
                {"addresses": ["10.250.0.3"], "conditions": {}},
            ],
        }
        assert target_port(SERVICE, 80, endpoints) == 8000
        assert target_port(SERVICE, 81, endpoints) is None
        assert list(ready_addresses(endpoints)) == ["10.250.0.1", "10.250.0.3"]


class TestStatus:
    def parents(self, manifest: dict[str, Any], gate: dict[str, Any] | None = None, **services: Any) -> Any:
        gateways = {Key("ingress", "gateway"): gate or gateway()}
        found = {Key("team", "chat-predictor"): SERVICE, **{Key("team", name): item for name, item in services.items()}}
        return parent_statuses(manifest, gateways, found, OURS, NOW)

    def reasons(self, parents: Any) -> dict[str, tuple[str, str]]:
        return {item["type"]: (item["status"], item["reason"]) for item in parents[0]["conditions"]}

    def test_a_route_whose_gateway_and_service_exist(self) -> None:
        parents = self.parents(route())
        assert self.reasons(parents) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}
        assert parents[0]["parentRef"] == {"name": "gateway", "namespace": "ingress"}
        assert parents[0]["controllerName"] == OURS
        assert {item["observedGeneration"] for item in parents[0]["conditions"]} == {3}
        assert is_accepted(parents, OURS)
        assert gateway_keys(route()) == (Key("ingress", "gateway"),)

    def test_a_missing_service_is_accepted_but_not_resolved(self) -> None:
        parents = parent_statuses(route(), {Key("ingress", "gateway"): gateway()}, {}, OURS, NOW)
        assert self.reasons(parents)["ResolvedRefs"] == ("False", "BackendNotFound")
        assert "team/chat-predictor does not exist" in parents[0]["conditions"][1]["message"]
        assert is_accepted(parents, OURS)

    def test_other_backend_problems(self) -> None:
        def problem(**reference: Any) -> str:
            manifest = route(rule={"backendRefs": [{"name": "s", "port": 80, **reference}]})
            found = backend_problem(manifest, {Key("team", "s"): SERVICE})
            return found[0] if found else ""

        assert problem() == ""
        assert problem(port=81) == "BackendNotFound"
        assert problem(kind="Bucket") == "InvalidKind"
        assert problem(namespace="other") == "RefNotPermitted"

    def test_no_entry_for_a_gateway_that_is_not_ours(self) -> None:
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
    def test_refusals(self, listener: dict[str, Any], reference: dict[str, Any], reason: str) -> None:
        parent = {"name": "gateway", "namespace": "ingress", **reference}
        parents = self.parents(route(parentRefs=[parent]), gateway(**listener))
        assert self.reasons(parents)["Accepted"] == ("False", reason)
        assert not is_accepted(parents, OURS)

    def test_transition_times_move_only_with_the_status(self) -> None:
        manifest = route()
        manifest["status"] = {"parents": self.parents(manifest)}
        missing = parent_statuses(manifest, {Key("ingress", "gateway"): gateway()}, {}, OURS, LATER)
        times = {item["type"]: item["lastTransitionTime"] for item in missing[0]["conditions"]}
        assert times == {"Accepted": NOW, "ResolvedRefs": LATER}

    def test_gateway_and_class(self) -> None:
        status = gateway_status(gateway(), [route(), route("other", parentRefs=[])], NOW)
        assert status["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]
        assert {item["type"]: item["status"] for item in status["conditions"]} == {
            "Accepted": "True",
            "Programmed": "True",
        }
        assert status["listeners"][0]["attachedRoutes"] == 1
        assert class_status({"metadata": {"generation": 2}}, NOW)["conditions"][0]["observedGeneration"] == 2
