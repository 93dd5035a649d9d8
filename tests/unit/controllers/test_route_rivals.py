"""Which routes of other services a service sees, and which of them wake it.

The cache is the real one, filled by hand.
"""

from collections.abc import Callable
from typing import Any

import pytest

from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.reader import Reader
from aimd.controllers.route_rivals import SERVICE_RIVAL
from aimd.controllers.service import observe_service, service_controller
from aimd.planning.kinds import AIM_CLUSTER_RUNTIME_CONFIG, AIM_SERVICE, HTTP_ROUTE
from aimd.planning.needs import NO_READS
from aimd.planning.service.observed import ObservedService
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache

Build = Callable[..., KindReconciler[Any, Any]]
GATEWAY = {"name": "main", "namespace": "gateways"}


@pytest.fixture
def cache(build: Build) -> Cache:
    cache = Cache()
    build(service_controller(), cache)
    routing = {"enabled": True, "gatewayRef": GATEWAY}
    put(cache, AIM_CLUSTER_RUNTIME_CONFIG, "", "default", spec={"routing": routing})
    return cache


def put(cache: Cache, kind: Kind, namespace: str, name: str, metadata: Manifest | None = None, **fields: Any) -> None:
    own = {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}", "resourceVersion": "1"}
    cache[kind].upsert({"metadata": {**own, **(metadata or {})}, **fields})


def routed(cache: Cache, namespace: str, name: str, path: str, gateway: Manifest = GATEWAY, uid: str = "") -> None:
    """A service with a route."""
    created = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    put(cache, AIM_SERVICE, namespace, name, created, spec={"model": {"name": "m"}})
    reference = {"kind": AIM_SERVICE.name, "name": name, "uid": uid or f"{namespace}/{name}", "controller": True}
    rules = [{"matches": [{"path": {"type": "PathPrefix", "value": path}}]}]
    owner = {"ownerReferences": [reference]}
    put(cache, HTTP_ROUTE, namespace, f"{name}-route", owner, spec={"parentRefs": [gateway], "rules": rules})


def observe(cache: Cache, namespace: str, name: str) -> ObservedService:
    live = cache[AIM_SERVICE].get(Key(namespace, name))
    assert live is not None
    reader = Reader(cache)
    return observe_service(reader.get(AIM_SERVICE, Key(namespace, name)), live, reader, NO_READS)


def rivals(cache: Cache) -> list[str]:
    return sorted(str(path.service) for path in observe(cache, "team", "chat").rival_routes)


def test_the_routes_around_a_path_are_seen_and_no_others(cache: Cache) -> None:
    """Prove SVC-RTE-10."""
    put(cache, AIM_SERVICE, "team", "chat", spec={"model": {"name": "m"}})
    routed(cache, "b", "below", "/team/chat/v1")
    routed(cache, "b", "above", "/TEAM/")
    routed(cache, "b", "same", "/team//chat")
    routed(cache, "b", "beside", "/team/chats")
    routed(cache, "b", "elsewhere", "/team/chat", {"name": "other", "namespace": "gateways"})
    routed(cache, "b", "forged", "/team/chat", uid="another")
    assert rivals(cache) == ["b/above", "b/below", "b/same"]


def test_its_own_route_is_no_rival(cache: Cache) -> None:
    """Prove SVC-RTE-10."""
    routed(cache, "team", "chat", "/team/chat")
    assert rivals(cache) == []


@pytest.mark.parametrize(
    ("routing", "status", "wakes"),
    [
        ({}, {}, True),
        ({"pathTemplate": "/{.metadata.namespace}/chat/x"}, {}, True),
        ({"pathTemplate": "/x"}, {}, False),
        ({"pathTemplate": "/{.metadata.labels['no']}"}, {}, False),
        ({"pathTemplate": "/x"}, {"routing": {"path": "/team/chat"}}, True),
        ({"enabled": False}, {}, False),
    ],
)
def test_the_end_of_a_route_wakes_who_waits_for_its_path(
    cache: Cache, routing: Manifest, status: Manifest, wakes: bool
) -> None:
    """Prove SVC-RTE-10."""
    put(cache, AIM_SERVICE, "team", "chat", spec={"model": {"name": "m"}, "routing": routing}, status=status)
    routed(cache, "b", "same", "/team/chat")
    route = cache[HTTP_ROUTE].get(Key("b", "same-route"))
    assert route is not None
    assert (Key("team", "chat") in set(SERVICE_RIVAL.subjects(route, HTTP_ROUTE, cache))) is wakes
