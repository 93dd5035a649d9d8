"""Stand-in for a Gateway API implementation: accepts HTTPRoutes and routes HTTP requests by them, on a loopback port.

It serves every Gateway whose GatewayClass names our controller, and creates the class and the Gateways in its settings.
A request is sent to a ready endpoint of the route's Service, from its EndpointSlices, through the table of fictional
pod addresses. All Gateways share one port, whatever the ports of their listeners.

Left out: TLS, hostnames of listeners, namespace selectors of listeners, ReferenceGrants, matches by header or query,
filters other than URLRewrite, retries, backend timeouts, WebSockets, kinds of route other than HTTPRoute.
"""

# tests: tests/integration/test_standins.py

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus

from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import for_object
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import ENDPOINT_SLICE, NAMESPACE, SERVICE
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, Kind, Manifest, Request, Result, key_of, labels_of
from aimd.runtime.status import StatusWriter
from aimd.runtime.store import Cache
from aimd.sandbox.addresses import AddressTable
from aimd.sandbox.gateway.proxy import NoEndpoint, Proxy
from aimd.sandbox.gateway.routing import Backend, RouteTable, backend_keys, ready_addresses, rules_of, target_port
from aimd.sandbox.gateway.status import (
    GATEWAY_GROUP,
    class_status,
    gateway_keys,
    gateway_status,
    is_accepted,
    parent_statuses,
)
from aimd.sandbox.local_server import serve_locally
from aimd.sandbox.status_conditions import timestamp

GATEWAY_CLASS = Kind(GATEWAY_GROUP, "v1", "GatewayClass", "gatewayclasses", namespaced=False)
GATEWAY = Kind(GATEWAY_GROUP, "v1", "Gateway", "gateways")
HTTP_ROUTE = Kind(GATEWAY_GROUP, "v1", "HTTPRoute", "httproutes")

_FIELD_MANAGER = "aimd-sandbox-gateway"


@dataclass(frozen=True)
class GatewaySettings:
    """Settings of the gateway stand-in.

    `addresses` is shared with the kubelet. `port` is the loopback port to serve on, 0 for a free one. The class and the
    `gateways` are created at the start; Gateways that are created later with a class of `controller_name` are served,
    too.
    """

    addresses: AddressTable
    port: int = 0
    controller_name: str = "sandbox.aimd.dev/gateway"
    gateway_class: str = "aimd-sandbox"
    gateways: tuple[Key, ...] = (Key("gateways", "inference-gateway"),)


async def run_gateway(
    client: Client, settings: GatewaySettings, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Run until cancelled; report the base URL (`http://127.0.0.1:PORT`) once it serves and its caches are synced.

    Raises NotFound if the CRDs of the Gateway API are not installed.
    """
    manager = Manager(client, ManagerOptions(metric_prefix="aimd_sandbox_gateway"))
    routes = RouteTable()
    manager.add(ClassReconciler(client, manager.cache, settings.controller_name))
    manager.add(GatewayReconciler(client, manager.cache, settings.controller_name))
    manager.add(RouteReconciler(client, manager.cache, settings.controller_name, routes))
    proxy = Proxy(routes, Endpoints(manager.cache, settings.addresses).local_ports)
    try:
        async with serve_locally(proxy.application(), port=settings.port) as port, anyio.create_task_group() as tasks:
            await create_gateways(client, settings, port)
            await tasks.start(manager.run)
            task_status.started(f"http://127.0.0.1:{port}")
    finally:
        with anyio.CancelScope(shield=True):
            await proxy.aclose()


async def create_gateways(client: Client, settings: GatewaySettings, port: int) -> None:
    """Create the class and the Gateways, with a listener for the real port and for routes of all namespaces."""
    gateway_class: Manifest = {
        "apiVersion": GATEWAY_CLASS.api_version,
        "kind": GATEWAY_CLASS.name,
        "metadata": {"name": settings.gateway_class},
        "spec": {"controllerName": settings.controller_name},
    }
    await client.apply(GATEWAY_CLASS, gateway_class, field_manager=_FIELD_MANAGER, reason="setup")
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": port,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    for key in settings.gateways:
        namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": key.namespace}}
        await client.apply(NAMESPACE, namespace, field_manager=_FIELD_MANAGER, reason="setup")
        gateway: Manifest = {
            "apiVersion": GATEWAY.api_version,
            "kind": GATEWAY.name,
            "metadata": {"namespace": key.namespace, "name": key.name},
            "spec": {"gatewayClassName": settings.gateway_class, "listeners": [listener]},
        }
        await client.apply(GATEWAY, gateway, field_manager=_FIELD_MANAGER, reason="setup")


class Endpoints:
    """Finds the loopback ports of a backend, from Services, EndpointSlices and the address table."""

    def __init__(self, cache: Cache, addresses: AddressTable) -> None:
        self._cache = cache
        self._addresses = addresses

    def local_ports(self, backend: Backend) -> Sequence[int]:
        """Return the loopback ports of all ready endpoints, at least one. Raises NoEndpoint."""
        service = self._cache[SERVICE].get(backend.service)
        if service is None:
            raise NoEndpoint(f"Service {backend.service} does not exist")
        ports = []
        for endpoint_slice in self._cache[ENDPOINT_SLICE].by_index("service", str(backend.service)):
            port = target_port(service, backend.port, endpoint_slice)
            if port is not None:
                local = (self._addresses.resolve(address, port) for address in ready_addresses(endpoint_slice))
                ports += [number for number in local if number is not None]
        if not ports:
            raise NoEndpoint(f"Service {backend.service} has no ready endpoint for port {backend.port}")
        return ports


class ClassReconciler:
    """Accepts the GatewayClasses that name our controller."""

    name = "gatewayclass"
    kind = GATEWAY_CLASS
    workers = 1
    informers: Sequence[Informer] = (Informer(GATEWAY_CLASS, optional=True),)
    watches: Sequence[Watch] = (Watch(GATEWAY_CLASS, for_object),)

    def __init__(self, client: Client, cache: Cache, controller_name: str) -> None:
        self._cache = cache
        self._controller_name = controller_name
        self._status = StatusWriter(client, cache, _FIELD_MANAGER)

    async def reconcile(self, request: Request) -> Result:
        """Write the status of the class."""
        live = self._cache[GATEWAY_CLASS].get(request.key)
        if live is not None and live["spec"].get("controllerName") == self._controller_name:
            await self._status.write(GATEWAY_CLASS, live, class_status(live, timestamp()))
        return Result()


class GatewayReconciler:
    """Reports the Gateways of our classes as programmed."""

    name = "gateway"
    kind = GATEWAY
    workers = 1

    def __init__(self, client: Client, cache: Cache, controller_name: str) -> None:
        self._cache = cache
        self._controller_name = controller_name
        self._status = StatusWriter(client, cache, _FIELD_MANAGER)
        self.informers: Sequence[Informer] = (
            Informer(GATEWAY, optional=True, indexes={"class": lambda item: [item["spec"]["gatewayClassName"]]}),
        )
        self.watches: Sequence[Watch] = (
            Watch(GATEWAY, for_object),
            Watch(GATEWAY_CLASS, _gateways_of_class),
            Watch(HTTP_ROUTE, lambda route, _: gateway_keys(route)),
        )

    async def reconcile(self, request: Request) -> Result:
        """Write the status of the Gateway."""
        live = our_gateway(self._cache, request.key, self._controller_name)
        if live is not None:
            attached = self._cache[HTTP_ROUTE].by_index("gateway", str(request.key))
            await self._status.write(GATEWAY, live, gateway_status(live, attached, timestamp()))
        return Result()


class RouteReconciler:
    """Accepts the routes of our Gateways, and updates the route table."""

    name = "httproute"
    kind = HTTP_ROUTE
    workers = 4

    def __init__(self, client: Client, cache: Cache, controller_name: str, routes: RouteTable) -> None:
        self._cache = cache
        self._controller_name = controller_name
        self._routes = routes
        self._status = StatusWriter(client, cache, _FIELD_MANAGER)
        indexes = {
            "gateway": lambda route: map(str, gateway_keys(route)),
            "service": lambda route: map(str, backend_keys(route)),
        }
        self.informers: Sequence[Informer] = (
            Informer(HTTP_ROUTE, optional=True, indexes=indexes),
            Informer(SERVICE),
            Informer(ENDPOINT_SLICE, indexes={"service": _service_of_slice}),
        )
        self.watches: Sequence[Watch] = (
            Watch(HTTP_ROUTE, for_object),
            Watch(GATEWAY, lambda gateway, cache: _routes_by(cache, "gateway", gateway)),
            Watch(SERVICE, lambda service, cache: _routes_by(cache, "service", service)),
            Watch(GATEWAY_CLASS, lambda _, cache: [key_of(route) for route in cache[HTTP_ROUTE].list()]),
        )

    async def reconcile(self, request: Request) -> Result:
        """Write `status.parents`, and add the route to the table if a Gateway of ours accepts it."""
        live = self._cache[HTTP_ROUTE].get(request.key)
        if live is None:
            self._routes.put(request.key, ())
            return Result()
        gateways = {}
        for key in gateway_keys(live):
            if (gateway := our_gateway(self._cache, key, self._controller_name)) is not None:
                gateways[key] = gateway
        services = {key: self._cache[SERVICE].get(key) for key in backend_keys(live)}
        parents = parent_statuses(live, gateways, services, self._controller_name, timestamp())
        self._routes.put(request.key, rules_of(live) if is_accepted(parents, self._controller_name) else ())
        if parents or (live.get("status") or {}).get("parents"):
            await self._status.write(HTTP_ROUTE, live, {"parents": parents})
        return Result()


def our_gateway(cache: Cache, key: Key, controller_name: str) -> Manifest | None:
    """Return the Gateway if its class names our controller, else None."""
    gateway = cache[GATEWAY].get(key)
    if gateway is None:
        return None
    gateway_class = cache[GATEWAY_CLASS].get(Key("", gateway["spec"]["gatewayClassName"]))
    ours = gateway_class is not None and gateway_class["spec"].get("controllerName") == controller_name
    return gateway if ours else None


def _gateways_of_class(gateway_class: Manifest, cache: Cache) -> Iterable[Key]:
    return [key_of(item) for item in cache[GATEWAY].by_index("class", key_of(gateway_class).name)]


def _routes_by(cache: Cache, index: str, manifest: Manifest) -> Iterable[Key]:
    return [key_of(item) for item in cache[HTTP_ROUTE].by_index(index, str(key_of(manifest)))]


def _service_of_slice(endpoint_slice: Manifest) -> Iterable[str]:
    name = labels_of(endpoint_slice).get("kubernetes.io/service-name")
    return [str(Key(key_of(endpoint_slice).namespace, name))] if name else []
