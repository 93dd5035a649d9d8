"""What a route means and which requests it gets."""

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
    gateway_seconds,
    ready_addresses,
    rules_of,
    target_port,
)
from tests.unit.sandbox.gateway.routes import LATER, SERVICE, route


def table(*routes: dict[str, Any]) -> RouteTable:
    result = RouteTable()
    for manifest in routes:
        result.put(Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"]), rules_of(manifest))
    return result


def matched(routes: RouteTable, path: str, *, host: str = "any", method: str = "GET") -> str | None:
    rule = routes.match(host, method, path)
    return rule.route.name if rule else None


def test_a_prefix_matches_whole_elements_only() -> None:
    routes = table(route())
    assert matched(routes, "/team/chat") == "chat"
    assert matched(routes, "/team/chat/") == "chat"
    assert matched(routes, "/team/chat/v1/models") == "chat"
    assert matched(routes, "/team/chatter") is None
    assert matched(routes, "/team") is None


def test_the_longest_prefix_wins_and_an_exact_path_before_it() -> None:
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


def test_of_equal_rules_the_older_route_wins() -> None:
    young = route("a-young")
    young["metadata"]["creationTimestamp"] = LATER
    assert matched(table(young, route("b-old")), "/team/chat") == "b-old"


def test_hostnames_and_methods_narrow_a_route() -> None:
    post = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}, "method": "POST"}]}
    routes = table(route("named", path="/", hostnames=["a.example", "*.b.example"]), route("posts", rule=post))
    assert matched(routes, "/", host="a.example") == "named"
    assert matched(routes, "/", host="x.b.example") == "named"
    assert matched(routes, "/", host="b.example") is None
    assert matched(routes, "/", method="POST") == "posts"


def test_a_changed_or_removed_route_leaves_no_rule_behind() -> None:
    routes = table(route(path="/old"))
    key = Key("team", "chat")
    routes.put(key, rules_of(route(path="/new")))
    assert (matched(routes, "/old"), matched(routes, "/new")) == (None, "chat")
    routes.put(key, ())
    assert (matched(routes, "/new"), routes.paths()) == (None, ())


@pytest.mark.parametrize(
    ("path", "rewritten"), [("/team/chat", "/"), ("/team/chat/", "/"), ("/team/chat/v1/models", "/v1/models")]
)
def test_the_prefix_is_replaced(path: str, rewritten: str) -> None:
    rule = table(route()).match("any", "GET", path)
    assert rule is not None
    assert rule.rewritten(path) == rewritten


@given(
    prefix=st.from_regex(r"(/[a-z]{1,3}){0,3}/?", fullmatch=True),
    rest=st.from_regex(r"(/[a-z]{0,3}){0,3}", fullmatch=True),
)
def test_a_rewritten_path_is_absolute_and_keeps_the_rest(prefix: str, rest: str) -> None:
    rule = rules_of(route(path=prefix or "/"))[0]
    path = (prefix.rstrip("/") + rest) or "/"
    assert rule.matches("any", "GET", path)
    assert rule.rewritten(path) == (rest or "/")


def test_what_it_does_not_know_is_not_routed() -> None:
    assert rules_of(route(rule={"filters": [{"type": "RequestRedirect"}]})) == ()
    assert rules_of(route(rule={"matches": [{"headers": [{"name": "x", "value": "y"}]}]})) == ()


def test_backends_and_timeout() -> None:
    rule = rules_of(route(rule={"timeouts": {"request": "1m30s"}}))[0]
    assert rule.timeout == 90
    assert rule.backends == (Backend(Key("team", "chat-predictor"), 80),)
    assert rules_of(route(rule={"timeouts": {"request": "0s"}}))[0].timeout is None


@pytest.mark.parametrize(("text", "seconds"), [("3m0s", 180), ("1h30m0s", 5400), ("1s500ms", 1.5), ("0s", 0)])
def test_durations(text: str, seconds: float) -> None:
    assert gateway_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1.5s", "s", "1s ", "-1s", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        gateway_seconds(text)


def test_endpoints_behind_a_service_port() -> None:
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


def test_other_backend_problems() -> None:
    def problem(**reference: Any) -> str:
        manifest = route(rule={"backendRefs": [{"name": "s", "port": 80, **reference}]})
        found = backend_problem(manifest, {Key("team", "s"): SERVICE})
        return found[0] if found else ""

    assert problem() == ""
    assert problem(port=81) == "BackendNotFound"
    assert problem(kind="Bucket") == "InvalidKind"
    assert problem(namespace="other") == "RefNotPermitted"
