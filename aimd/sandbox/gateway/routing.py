"""The decisions of the gateway stand-in, without I/O: what an HTTPRoute means, and which rule a request matches.

It supports this part of Gateway API v1: matches by path (PathPrefix, Exact) and method, hostnames, the URLRewrite
filter, backends of kind Service in the namespace of the route, with weights, request timeouts. A route with anything
else is not accepted; `unsupported` names the reason.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aimd.runtime.objects import Key, Manifest, key_of, metadata_of

_DURATION_PART = re.compile(r"(\d{1,5})(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Backend:
    """A port of a Service that requests are sent to."""

    service: Key
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A URLRewrite filter; None keeps that part of the request."""

    prefix: str | None = None
    full_path: str | None = None
    hostname: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One match of one rule of a route, and what happens to requests that match; `timeout` is in seconds."""

    route: Key
    created: str
    path: str
    exact: bool
    method: str = ""
    hostnames: tuple[str, ...] = ()
    backends: tuple[Backend, ...] = ()
    rewrite: Rewrite = field(default_factory=Rewrite)
    timeout: float | None = None

    def matches(self, host: str, method: str, path: str) -> bool:
        """Return whether a request matches; a prefix matches only whole path elements."""
        if self.method and self.method != method:
            return False
        if self.hostnames and not any(_host_matches(pattern, host) for pattern in self.hostnames):
            return False
        if self.exact:
            return path == self.path
        prefix = self.path.rstrip("/")
        return path == prefix or path.startswith(prefix + "/")

    def rewritten(self, path: str) -> str:
        """Return the path for the backend, which is absolute."""
        if self.rewrite.full_path is not None:
            return self.rewrite.full_path
        if self.rewrite.prefix is None:
            return path
        rest = path[len(self.path.rstrip("/")) :]
        return self.rewrite.prefix.rstrip("/") + rest or "/"

    def precedence(self) -> tuple[object, ...]:
        """Return the sort key: the rule that wins is first, by host, exact path, longest path, method, age, name."""
        longest_host = max((len(hostname.lstrip("*")) for hostname in self.hostnames), default=0)
        return (-longest_host, not self.exact, -len(self.path), not self.method, self.created, self.route)


class RouteTable:
    """The rules of all accepted routes."""

    def __init__(self) -> None:
        self._by_route: dict[Key, tuple[Rule, ...]] = {}
        self._ordered: tuple[Rule, ...] = ()

    def put(self, route: Key, rules: Sequence[Rule]) -> None:
        """Replace all rules of a route; without rules, the route is removed."""
        if tuple(rules) == self._by_route.get(route, ()):
            return
        if rules:
            self._by_route[route] = tuple(rules)
        else:
            self._by_route.pop(route, None)
        every = (rule for rules_of_route in self._by_route.values() for rule in rules_of_route)
        self._ordered = tuple(sorted(every, key=Rule.precedence))

    def match(self, host: str, method: str, path: str) -> Rule | None:
        """Return the rule for a request, None without one; `host` is without port."""
        return next((rule for rule in self._ordered if rule.matches(host, method, path)), None)

    def paths(self) -> tuple[str, ...]:
        """Return all paths, for error messages."""
        return tuple(dict.fromkeys(rule.path for rule in self._ordered))


def rules_of(route: Manifest) -> tuple[Rule, ...]:
    """Return the rules of a route, none if it has an unsupported part."""
    spec = route.get("spec") or {}
    if unsupported(route):
        return ()
    created = str(metadata_of(route).get("creationTimestamp") or "")
    rules = []
    for rule in spec.get("rules") or [{}]:
        for match in rule.get("matches") or [{}]:
            path = match.get("path") or {}
            rules.append(
                Rule(
                    route=key_of(route),
                    created=created,
                    path=path.get("value") or "/",
                    exact=path.get("type") == "Exact",
                    method=match.get("method") or "",
                    hostnames=tuple(spec.get("hostnames") or ()),
                    backends=tuple(_backends(key_of(route).namespace, rule)),
                    rewrite=_rewrite(rule.get("filters") or ()),
                    timeout=gateway_seconds((rule.get("timeouts") or {}).get("request") or "0s") or None,
                )
            )
    return tuple(rules)


def unsupported(route: Manifest) -> str:
    """Return the first part of a route that is not supported, empty if all are."""
    for index, rule in enumerate((route.get("spec") or {}).get("rules") or ()):
        for match in rule.get("matches") or ():
            for name in ("headers", "queryParams"):
                if match.get(name):
                    return f"rules[{index}] matches by {name}"
            if (match.get("path") or {}).get("type") == "RegularExpression":
                return f"rules[{index}] matches by a regular expression"
        for filter_ in rule.get("filters") or ():
            if filter_.get("type") != "URLRewrite":
                return f"rules[{index}] has a filter of type {filter_.get('type')}"
        if any(backend.get("filters") for backend in rule.get("backendRefs") or ()):
            return f"rules[{index}] has a backend with filters"
    return ""


def backend_problem(route: Manifest, services: Mapping[Key, Manifest | None]) -> tuple[str, str] | None:
    """Return reason and message of `ResolvedRefs=False`, None if every backend exists.

    `services` has each Service that `backend_keys` names, None for one that does not exist.
    """
    namespace = key_of(route).namespace
    for reference in _backend_references(route):
        kind = reference.get("kind") or "Service"
        if kind != "Service" or reference.get("group"):
            return "InvalidKind", f"backend {reference.get('name')} is a {kind}; only Services are supported"
        if (reference.get("namespace") or namespace) != namespace:
            return "RefNotPermitted", f"backend {reference.get('name')} is in another namespace"
        key = Key(namespace, reference.get("name") or "")
        service = services.get(key)
        if service is None:
            return "BackendNotFound", f"Service {key} does not exist"
        ports = [port.get("port") for port in (service.get("spec") or {}).get("ports") or ()]
        if reference.get("port") not in ports:
            return "BackendNotFound", f"Service {key} has no port {reference.get('port')}"
    return None


def backend_keys(route: Manifest) -> tuple[Key, ...]:
    """Return the Services that a route refers to."""
    namespace = key_of(route).namespace
    references = _backend_references(route)
    return tuple(Key(reference.get("namespace") or namespace, reference.get("name") or "") for reference in references)


def target_port(service: Manifest, port: int, endpoint_slice: Manifest) -> int | None:
    """Return the port of the pods behind a port of a Service, which EndpointSlices name alike; None without one."""
    names = [item.get("name") or "" for item in service["spec"].get("ports") or () if item.get("port") == port]
    for item in endpoint_slice.get("ports") or ():
        if names and (item.get("name") or "") == names[0]:
            number = item.get("port")
            return int(number) if number is not None else None
    return None


def ready_addresses(endpoint_slice: Manifest) -> Iterator[str]:
    """Yield the addresses of ready endpoints; unknown readiness counts as ready, as Kubernetes specifies."""
    for endpoint in endpoint_slice.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") in (True, None):
            yield from endpoint.get("addresses") or ()


def gateway_seconds(text: str) -> float:
    """Return the seconds of a Gateway API duration such as `1h30m` (GEP-2257). Raises ValueError for other texts."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a Gateway API duration: {text!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _host_matches(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else pattern == host


def _backend_references(route: Manifest) -> list[Manifest]:
    rules = (route.get("spec") or {}).get("rules") or ()
    return [reference for rule in rules for reference in rule.get("backendRefs") or ()]


def _backends(namespace: str, rule: Manifest) -> Iterator[Backend]:
    for reference in rule.get("backendRefs") or ():
        weight = reference.get("weight")
        yield Backend(
            service=Key(reference.get("namespace") or namespace, reference["name"]),
            port=int(reference.get("port") or 0),
            weight=1 if weight is None else int(weight),
        )


def _rewrite(filters: Iterable[Manifest]) -> Rewrite:
    for filter_ in filters:
        rewrite = filter_.get("urlRewrite") or {}
        path = rewrite.get("path") or {}
        return Rewrite(path.get("replacePrefixMatch"), path.get("replaceFullPath"), rewrite.get("hostname"))
    return Rewrite()
