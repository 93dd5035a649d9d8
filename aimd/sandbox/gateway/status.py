"""The statuses that the gateway stand-in writes for classes, Gateways and routes; pure."""

from collections.abc import Iterable, Mapping, Sequence

from aimd.runtime.objects import Key, Manifest, key_of, metadata_of
from aimd.sandbox.gateway.routing import backend_problem, unsupported
from aimd.sandbox.status_conditions import condition, merged

GATEWAY_GROUP = "gateway.networking.k8s.io"


def gateway_keys(route: Manifest) -> tuple[Key, ...]:
    """Return the Gateways that a route refers to as parents."""
    return tuple(_parent_key(route, reference) for reference in _parent_references(route))


def class_status(gateway_class: Manifest, now: str) -> Manifest:
    """Return the status of a class of ours: accepted."""
    new = condition(
        "Accepted", "True", "Accepted", "The gateway stand-in serves this class", _generation(gateway_class)
    )
    return {"conditions": merged(_conditions(gateway_class), [new], now)}


def gateway_status(gateway: Manifest, attached: Sequence[Manifest], now: str) -> Manifest:
    """Return the status of a Gateway of ours: programmed at 127.0.0.1; `attached` are the routes that refer to it."""
    generation = _generation(gateway)
    previous = {item["name"]: item for item in (gateway.get("status") or {}).get("listeners") or ()}
    listeners = []
    for listener in gateway["spec"].get("listeners") or ():
        count = sum(1 for route in attached if _accepting_listener(route, gateway, listener))
        known = listener.get("protocol") == "HTTP"
        reason = "" if known else "UnsupportedProtocol"
        conditions = [
            condition("Accepted", str(known), reason or "Accepted", "", generation),
            condition("Programmed", str(known), reason or "Programmed", "", generation),
            condition("ResolvedRefs", "True", "ResolvedRefs", "", generation),
        ]
        before = (previous.get(listener["name"]) or {}).get("conditions") or ()
        listeners.append(
            {
                "name": listener["name"],
                "supportedKinds": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute"}],
                "attachedRoutes": count,
                "conditions": merged(before, conditions, now),
            }
        )
    new = [
        condition("Accepted", "True", "Accepted", "", generation),
        condition("Programmed", "True", "Programmed", "", generation),
    ]
    return {
        "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
        "conditions": merged(_conditions(gateway), new, now),
        "listeners": listeners,
    }


def parent_statuses(
    route: Manifest,
    gateways: Mapping[Key, Manifest],
    services: Mapping[Key, Manifest | None],
    controller_name: str,
    now: str,
) -> list[Manifest]:
    """Return `status.parents` of a route: the entries of other controllers, and one for each parent that is ours.

    `gateways` are only ours; a parent that is not among them gets no entry, as the Gateway API requires.
    """
    previous = (route.get("status") or {}).get("parents") or []
    parents = [entry for entry in previous if entry.get("controllerName") != controller_name]
    for reference in _parent_references(route):
        gateway = gateways.get(_parent_key(route, reference))
        if gateway is None:
            continue
        same = (entry for entry in previous if _same_parent(entry, reference, controller_name))
        before = next((entry.get("conditions") or () for entry in same), ())
        new = [_accepted(route, reference, gateway), _resolved(route, services)]
        entry = {"parentRef": reference, "controllerName": controller_name, "conditions": merged(before, new, now)}
        parents.append(entry)
    return parents


def is_accepted(parents: Iterable[Manifest], controller_name: str) -> bool:
    """Return whether a Gateway of ours accepts the route."""
    ours = (entry for entry in parents if entry.get("controllerName") == controller_name)
    conditions = (item for entry in ours for item in entry["conditions"])
    return any(item["type"] == "Accepted" and item["status"] == "True" for item in conditions)


def _accepted(route: Manifest, reference: Manifest, gateway: Manifest) -> Manifest:
    generation = _generation(route)
    listeners = [item for item in gateway["spec"].get("listeners") or () if _listener_named(item, reference)]
    if not listeners:
        return condition("Accepted", "False", "NoMatchingParent", "the Gateway has no such listener", generation)
    if not any(_allows(item, gateway, route) for item in listeners):
        message = "no listener of the Gateway allows routes from this namespace"
        return condition("Accepted", "False", "NotAllowedByListeners", message, generation)
    if feature := unsupported(route):
        return condition("Accepted", "False", "UnsupportedValue", f"not supported here: {feature}", generation)
    return condition("Accepted", "True", "Accepted", "Route is accepted", generation)


def _resolved(route: Manifest, services: Mapping[Key, Manifest | None]) -> Manifest:
    reason, message = backend_problem(route, services) or ("ResolvedRefs", "All references are resolved")
    return condition("ResolvedRefs", str(reason == "ResolvedRefs"), reason, message, _generation(route))


def _accepting_listener(route: Manifest, gateway: Manifest, listener: Manifest) -> bool:
    references = [item for item in _parent_references(route) if _parent_key(route, item) == key_of(gateway)]
    return any(_listener_named(listener, item) for item in references) and _allows(listener, gateway, route)


def _listener_named(listener: Manifest, reference: Manifest) -> bool:
    section, port = reference.get("sectionName"), reference.get("port")
    return section in (None, listener["name"]) and port in (None, listener.get("port"))


def _allows(listener: Manifest, gateway: Manifest, route: Manifest) -> bool:
    """Return whether a listener allows the namespace of a route; `Selector` is not supported and allows none."""
    allowed = ((listener.get("allowedRoutes") or {}).get("namespaces") or {}).get("from") or "Same"
    return allowed == "All" or (allowed == "Same" and key_of(route).namespace == key_of(gateway).namespace)


def _same_parent(entry: Manifest, reference: Manifest, controller_name: str) -> bool:
    return bool(entry.get("controllerName") == controller_name and entry.get("parentRef") == reference)


def _parent_references(route: Manifest) -> list[Manifest]:
    references = (route.get("spec") or {}).get("parentRefs") or ()
    return [
        reference
        for reference in references
        if (reference.get("kind") or "Gateway") == "Gateway"
        and (reference.get("group") or GATEWAY_GROUP) == GATEWAY_GROUP
    ]


def _parent_key(route: Manifest, reference: Manifest) -> Key:
    return Key(reference.get("namespace") or key_of(route).namespace, reference["name"])


def _conditions(manifest: Manifest) -> Sequence[Manifest]:
    return (manifest.get("status") or {}).get("conditions") or ()


def _generation(manifest: Manifest) -> int:
    return int(metadata_of(manifest).get("generation") or 0)
