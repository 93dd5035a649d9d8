"""Which paths of services collide on a gateway, and who keeps a path (SVC-RTE-10).

The HTTPRoutes that exist decide: a service that does not route a path yet gives way to one that does, and of two that
both do, the younger one gives way. So nobody gets at the requests of a service by being older, or by a longer path.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from aimd.planning.objects import View, part, parts, spec_of, text, whole_number
from aimd.runtime.objects import Key, Manifest, key_of

_GROUP = "gateway.networking.k8s.io"


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where a route listens: the gateway, and the listeners of it, empty for all."""

    gateway: tuple[str, str, str, str]
    section: str = ""
    port: int = 0

    def overlap(self, other: "Listeners") -> bool:
        """Return whether one request can reach both."""
        return (
            self.gateway == other.gateway
            and (not self.section or not other.section or self.section == other.section)
            and (not self.port or not other.port or self.port == other.port)
        )


@dataclass(frozen=True, slots=True)
class RoutedPath:
    """A path that a service routes or wants to route; `created` is when the service was created."""

    service: Key
    created: str
    listeners: Listeners
    segments: tuple[str, ...]
    hostnames: tuple[str, ...] = ()

    @property
    def age(self) -> tuple[str, str, str]:
        """What services are ordered by, the oldest first; those of one second by namespace and name."""
        return (self.created, *self.service)

    def collides_with(self, other: "RoutedPath") -> bool:
        """Return whether one would take requests of the other.

        Services of one namespace may have paths below each other, but no two have the same.
        """
        if not self.listeners.overlap(other.listeners) or not _share_hostname(self.hostnames, other.hostnames):
            return False
        shorter = min(len(self.segments), len(other.segments))
        nested = self.segments[:shorter] == other.segments[:shorter]
        same_namespace = self.service.namespace == other.service.namespace
        return self.segments == other.segments if same_namespace else nested


def find_conflict(own: RoutedPath, others: Iterable[RoutedPath], *, is_routed: bool) -> RoutedPath | None:
    """Return the service that keeps the path which `own` wants, None when `own` may have it (SVC-RTE-10).

    `others` are paths of HTTPRoutes that exist, `is_routed` is whether that of `own` exists as well.
    """
    rivals = (other for other in others if other.service != own.service and own.collides_with(other))
    winners = (other for other in rivals if not is_routed or other.age < own.age)
    return min(winners, key=lambda other: other.age, default=None)


def segments_of(path: str) -> tuple[str, ...]:
    """Return the segments by which paths are compared: in lower case, decoded, without empty ones."""
    decoded = path
    for _ in range(len(path)):
        plain = unquote(decoded)
        if plain == decoded:
            break
        decoded = plain
    return tuple(segment for segment in decoded.lower().split("/") if segment)


def listeners_of(parent: View, namespace: str) -> Listeners:
    """Return the listeners of a parent reference, with the defaults of the Gateway API."""
    gateway = (
        text(parent, "group") if "group" in parent else _GROUP,
        text(parent, "kind") if "kind" in parent else "Gateway",
        text(parent, "namespace") or namespace,
        text(parent, "name"),
    )
    return Listeners(gateway, text(parent, "sectionName"), whole_number(parent, "port"))


def paths_in(route: Manifest) -> tuple[str, ...]:
    """Return the paths of an HTTPRoute."""
    rules = parts(spec_of(route), "rules")
    return tuple(text(part(match, "path"), "value") for rule in rules for match in parts(rule, "matches"))


def routed_paths(route: Manifest, service: Key, created: str) -> Iterator[RoutedPath]:
    """Return what the HTTPRoute of a service routes."""
    spec, namespace = spec_of(route), key_of(route).namespace
    given = spec.get("hostnames")
    hostnames = tuple(str(name) for name in given) if isinstance(given, list | tuple) else ()
    for parent in parts(spec, "parentRefs"):
        for path in paths_in(route):
            yield RoutedPath(service, created, listeners_of(parent, namespace), segments_of(path), hostnames)


# Paths that collide share a token: the index finds them without looking at any other.


def offered_tokens(segments: tuple[str, ...]) -> Iterator[str]:
    """Return the tokens of a routed path: itself, and all that it lies below."""
    yield f"={_join(segments)}"
    for length in range(len(segments)):
        yield f"<{_join(segments[:length])}"


def wanted_tokens(segments: tuple[str, ...]) -> Iterator[str]:
    """Return the tokens of what collides with a path: the same, those above it, and those below it."""
    for length in range(len(segments) + 1):
        yield f"={_join(segments[:length])}"
    yield f"<{_join(segments)}"


def _join(segments: tuple[str, ...]) -> str:
    return "/" + "/".join(segments)


def _share_hostname(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        return True
    return any(_covers(a, b) or _covers(b, a) for a in one for b in other)


def _covers(pattern: str, name: str) -> bool:
    """Return whether a host name, or one with a wildcard as its first label, stands for the other."""
    pattern, name = pattern.lower(), name.lower()
    if not pattern.startswith("*."):
        return pattern == name
    return re.fullmatch(rf".+{re.escape(pattern[1:])}", name) is not None
