"""Paths of services on a gateway: which collide, and who keeps one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.service.route_paths import (
    Listeners,
    RoutedPath,
    find_conflict,
    listeners_of,
    offered_tokens,
    paths_in,
    routed_paths,
    segments_of,
    wanted_tokens,
)
from aimd.runtime.objects import Key, Manifest

GATEWAY = ("gateway.networking.k8s.io", "Gateway", "gateways", "main")
ALL_LISTENERS = Listeners(GATEWAY)
OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def path(
    text: str,
    namespace: str = "a",
    name: str = "chat",
    created: str = OLD,
    listeners: Listeners = ALL_LISTENERS,
    hostnames: tuple[str, ...] = (),
) -> RoutedPath:
    return RoutedPath(Key(namespace, name), created, listeners, segments_of(text), hostnames)


@pytest.mark.parametrize(
    "text",
    ["/a/b", "/a/b/", "//a//b", "a/b", "/A/B", "/%61/b", "/a%2Fb", "/a%2fb", "/%2561/b", "/a/%42"],
)
def test_every_spelling_of_a_path_is_one(text: str) -> None:
    """Prove SVC-RTE-10."""
    assert segments_of(text) == ("a", "b")


@pytest.mark.parametrize(
    ("one", "other", "apart", "together"),
    [
        ("/a/b", "/a/b", True, True),
        ("/a/b", "/a/b/c", True, False),
        ("/a/b/c", "/a/b", True, False),
        ("/", "/a", True, False),
        ("/a/b", "/a/bc", False, False),
        ("/a/b", "/b/a", False, False),
    ],
)
def test_paths_collide_within_and_across_namespaces(one: str, other: str, apart: bool, together: bool) -> None:
    """Prove SVC-RTE-10."""
    assert path(one, "a").collides_with(path(other, "b")) is apart
    assert path(one, "a").collides_with(path(other, "a", "other")) is together


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Listeners(GATEWAY), Listeners(GATEWAY, "https"), True),
        (Listeners(GATEWAY, "http"), Listeners(GATEWAY, "https"), False),
        (Listeners(GATEWAY, port=80), Listeners(GATEWAY, port=443), False),
        (Listeners(GATEWAY, port=80), Listeners(GATEWAY), True),
        (Listeners(GATEWAY), Listeners((*GATEWAY[:3], "other")), False),
    ],
)
def test_only_routes_that_meet_at_a_listener_collide(one: Listeners, other: Listeners, expected: bool) -> None:
    """Prove SVC-RTE-10."""
    for first, second in ((one, other), (other, one)):
        assert path("/x", "a", listeners=first).collides_with(path("/x", "b", listeners=second)) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((), ("a.example",), True),
        (("a.example",), ("b.example",), False),
        (("*.example",), ("A.example",), True),
        (("*.example",), ("example",), False),
        (("*.a.example",), ("*.example",), True),
    ],
)
def test_only_routes_with_a_common_host_name_collide(
    one: tuple[str, ...], other: tuple[str, ...], expected: bool
) -> None:
    """Prove SVC-RTE-10."""
    for first, second in ((one, other), (other, one)):
        assert path("/x", "a", hostnames=first).collides_with(path("/x", "b", hostnames=second)) is expected


def test_who_routes_a_path_keeps_it_and_of_two_the_older_one() -> None:
    """Prove SVC-RTE-10: an old service cannot take a path by an edit, and two at once come to one result."""
    old, new = path("/x", "a", created=OLD), path("/x/y", "b", created=NEW)
    assert find_conflict(new, [old], is_routed=False) == old
    assert find_conflict(old, [new], is_routed=False) == new
    assert find_conflict(new, [old], is_routed=True) == old
    assert find_conflict(old, [new], is_routed=True) is None
    same_second = path("/x", "b", created=OLD)
    assert find_conflict(old, [same_second], is_routed=True) is None
    assert find_conflict(same_second, [old], is_routed=True) == old
    assert find_conflict(old, [path("/x")], is_routed=True) is None, "that is the service itself"


words = st.lists(st.sampled_from("abc"), max_size=4)


@given(words, words, st.booleans())
def test_of_two_that_collide_exactly_one_keeps_its_path(one: list[str], other: list[str], apart: bool) -> None:
    """Prove SVC-RTE-10."""
    first = path("/" + "/".join(one), "a", "one", OLD)
    second = path("/" + "/".join(other), "b" if apart else "a", "two", NEW)
    refused = [
        find_conflict(first, [second], is_routed=True) is not None,
        find_conflict(second, [first], is_routed=True) is not None,
    ]
    assert refused == ([False, True] if first.collides_with(second) else [False, False])


@given(words, words)
def test_paths_that_collide_share_a_token_and_others_do_not(one: list[str], other: list[str]) -> None:
    """Prove SVC-RTE-10: the index gives what collides, and nothing else."""
    shared = set(wanted_tokens(tuple(one))) & set(offered_tokens(tuple(other)))
    assert bool(shared) == path("/" + "/".join(one), "a").collides_with(path("/" + "/".join(other), "b"))


@pytest.mark.parametrize("spec", [{}, {"parentRefs": "x", "rules": [1]}, {"rules": [{"matches": [{"path": 1}]}]}])
def test_a_route_of_any_shape_is_read(spec: Manifest) -> None:
    route = {"metadata": {"name": "r", "namespace": "a"}, "spec": spec}
    assert list(routed_paths(route, Key("a", "chat"), OLD)) == []


def test_what_a_route_routes() -> None:
    parents = [{"name": "main", "namespace": "gateways", "sectionName": "https"}, {"name": "own"}]
    matches = [{"path": {"type": "PathPrefix", "value": "/a/b"}}]
    spec = {"parentRefs": parents, "rules": [{"matches": matches}], "hostnames": ["a.example"]}
    route = {"metadata": {"name": "r", "namespace": "a"}, "spec": spec}
    assert paths_in(route) == ("/a/b",)
    first, second = routed_paths(route, Key("a", "chat"), OLD)
    assert first == path("/a/b", listeners=Listeners(GATEWAY, "https"), hostnames=("a.example",))
    assert second.listeners == listeners_of({"name": "own", "namespace": "a"}, "b")
