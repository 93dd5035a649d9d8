"""The paths that other services route: those that could collide with the path of a service, found by an index."""

from collections.abc import Iterator

from aimd.api.service import AIMService
from aimd.controllers.reach import Reach
from aimd.controllers.reader import Reader, Tokens, own_name
from aimd.controllers.relation import Relation
from aimd.planning.kinds import AIM_CLUSTER_RUNTIME_CONFIG, AIM_SERVICE, HTTP_ROUTE
from aimd.planning.objects import is_being_deleted
from aimd.planning.path_template import InvalidPathTemplate, default_path, render_path
from aimd.planning.runtime_config import DEFAULT_NAME
from aimd.planning.service.route_paths import (
    RoutedPath,
    listeners_of,
    offered_tokens,
    paths_in,
    routed_paths,
    segments_of,
    wanted_tokens,
)
from aimd.planning.service.routing import Route, parent_reference
from aimd.runtime.objects import Key, Manifest, controller_of, key_of, metadata_of, uid_of
from aimd.runtime.predicates import generation_changed


def _wakes(service: AIMService) -> Tokens:
    """Return the tokens of the paths that a service may want.

    A path template of a runtime config is not known here; the path that it gave is in the status.
    """
    routing = service.spec.routing
    if routing is not None and routing.enabled is False:
        return
    paths = [service.status.routing.path if service.status.routing is not None else ""]
    try:
        template = routing.path_template if routing is not None else ""
        own = default_path(service.metadata.namespace, service.metadata.name)
        paths.append(render_path(template, service.manifest()) if template else own)
    except InvalidPathTemplate:
        pass
    for path in filter(None, paths):
        yield from wanted_tokens(segments_of(path))


def _offers(route: Manifest) -> Tokens:
    """Return the tokens of the paths of a route that a service controls: for wake-ups, and by gateway for lookups."""
    controller = controller_of(route) or {}
    if controller.get("kind") != AIM_SERVICE.name or is_being_deleted(route):
        return
    for path in paths_in(route):
        yield from offered_tokens(segments_of(path))
    for routed in routed_paths(route, key_of(route), ""):
        for token in offered_tokens(routed.segments):
            yield _at(routed.listeners.gateway, token)


SERVICE_RIVAL = Relation[AIMService, Manifest](
    "service rival route",
    AIM_SERVICE,
    (HTTP_ROUTE,),
    _wakes,
    _offers,
    Reach.ANYWHERE,
    predicate=generation_changed,
)


SERVICE_POLICY = Relation[AIMService, Manifest](
    "service policy",
    AIM_SERVICE,
    (AIM_CLUSTER_RUNTIME_CONFIG,),
    lambda _service: (DEFAULT_NAME,),
    own_name,
    predicate=generation_changed,
)
"""What the cluster config `default` allows holds for services that name another config, too (SVC-RTE-11)."""


def find_rivals(service: AIMService, route: Route, reader: Reader) -> tuple[RoutedPath, ...]:
    """Return the paths of other services' HTTPRoutes that are equal to the path of a route, above it or below it."""
    if route.gateway is None or not route.path:
        return ()
    namespace = service.metadata.namespace
    gateway = listeners_of(parent_reference(route.gateway), namespace).gateway
    tokens = (_at(gateway, token) for token in wanted_tokens(segments_of(route.path)))
    found = {
        key_of(live): live for token in tokens for live in SERVICE_RIVAL.offering(reader, HTTP_ROUTE, token, namespace)
    }
    return tuple(path for live in found.values() for path in _of_service(live, service.metadata.uid, reader))


def _of_service(route: Manifest, own_uid: str, reader: Reader) -> Iterator[RoutedPath]:
    """Return the paths of a route whose service exists and is another one."""
    controller = controller_of(route) or {}
    key = Key(key_of(route).namespace, str(controller.get("name") or ""))
    owner = reader.cache[AIM_SERVICE].get(key)
    if owner is None or uid_of(owner) != controller.get("uid") or uid_of(owner) == own_uid:
        return
    yield from routed_paths(route, key, str(metadata_of(owner).get("creationTimestamp") or ""))


def _at(gateway: tuple[str, ...], token: str) -> str:
    return f"{'|'.join(gateway)}|{token}"
