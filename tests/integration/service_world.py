"""A namespace with the service controller beside it, on a real API server; tests play everybody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from uuid import uuid4

from aimd.controllers.all import build_reconcilers
from aimd.planning.kinds import (
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import RegistryClient
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.controller import Reconciler
from aimd.runtime.errors import ApiError
from aimd.runtime.kinds import POD
from aimd.runtime.objects import Key, Kind, Manifest, key_of, uid_of
from aimd.runtime.store import Cache
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.stand_ins import install_crds, make_namespace
from tests.integration.world import World, operating, served

USER = "service-controller-test"
GATEWAY = {"name": "inference-gateway", "namespace": "gateways"}


class ServiceWorld(World):
    """A namespace whose user looks at services."""

    async def edit(self, name: str = "chat", **spec: Any) -> None:
        await self.client.patch(AIM_SERVICE, Key(self.namespace, name), {"spec": spec}, reason="test")

    async def service(self, name: str = "chat") -> Manifest:
        return await self.get(AIM_SERVICE, name)

    async def of_service(self, kind: Kind, name: str) -> Manifest:
        """The one object of that kind that was made for the service."""
        selector = f"aim.eai.amd.com/service.name={name}"
        found = await self.client.list(kind, namespace=self.namespace, label_selector=selector)
        assert len(found) == 1, [item["metadata"]["name"] for item in found]
        return found[0]

    async def until_word(self, word: str, seconds: float = 20, name: str = "chat") -> Manifest:
        def holds(live: Manifest) -> bool:
            return (live.get("status") or {}).get("status") == word

        return await self.until(lambda: self.service(name), holds, seconds)


def service_reconciler(client: Client, cache: Cache) -> list[Reconciler]:
    """The service controller alone."""
    no_registries = cast(RegistryClient, None)
    every = build_reconcilers(client, cache, ControllerSettings(), no_registries)
    return [reconciler for reconciler in every if reconciler.kind == AIM_SERVICE]


@asynccontextmanager
async def service_world(api_server: ControlPlane) -> AsyncIterator[ServiceWorld]:
    """A namespace of its own; the controller ends with it."""
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        await install_crds(admin)
        await served(admin, INFERENCE_SERVICE, HTTP_ROUTE, SCALED_OBJECT, AIM_SERVICE, AIM_TEMPLATE_CACHE)
        namespace = f"service-{uuid4().hex[:8]}"
        await make_namespace(admin, namespace)
        async with operating(api_server, USER, service_reconciler):
            yield ServiceWorld(admin, namespace, api_server.audit_log, USER)


READY = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


async def provide(world: ServiceWorld) -> None:
    """A Ready model and template, and a gateway by config."""
    await world.create(AIM_RUNTIME_CONFIG, "default", spec={"routing": {"enabled": True, "gatewayRef": GATEWAY}})
    await world.create(AIM_MODEL, "tiny", spec={"image": "registry/aim:1"}, status={"status": "Ready"})
    spec = {"modelName": "tiny", "metric": "latency"}
    await world.create(AIM_SERVICE_TEMPLATE, "tiny-latency", spec=spec, status=usable("latency"))


def usable(metric: str, model: str = "acme/tiny") -> Manifest:
    """Status of a Ready template."""
    sources = [{"modelId": model, "sourceUri": f"hf://{model}"}]
    return {
        "status": "Ready",
        "modelSources": sources,
        "profile": {"metadata": {"metric": metric, "precision": "fp16"}},
        "resolvedHardware": {"gpu": {"requests": 1, "model": "MI300X"}},
    }


async def fill_cache(world: ServiceWorld, template: str = "tiny-latency", model: str = "acme/tiny") -> None:
    async def of_template() -> Manifest:
        caches = await world.client.list(AIM_TEMPLATE_CACHE, namespace=world.namespace)
        found = [cache for cache in caches if cache["spec"]["templateName"] == template]
        assert len(found) == 1, caches
        return found[0]

    cache = await world.until(of_template)
    artifact = {"name": "tiny", "uid": "u", "model": model, "status": "Ready", "persistentVolumeClaim": "claim"}
    await world.report(
        AIM_TEMPLATE_CACHE, cache["metadata"]["name"], {"status": "Ready", "artifacts": {"tiny": artifact}}
    )


async def serve(world: ServiceWorld) -> str:
    """What KServe and the kubelet do; the InferenceService's name."""
    live = await world.until(lambda: world.only(INFERENCE_SERVICE))
    name = str(live["metadata"]["name"])
    labels = {"serving.kserve.io/inferenceservice": name}
    container = {"name": "kserve-container", "image": "registry/aim:1"}
    await world.create(POD, "predictor", metadata={"labels": labels}, spec={"containers": [container]})
    await world.report(POD, "predictor", {"phase": "Running", **READY})
    await world.report(INFERENCE_SERVICE, name, READY)
    return name


@asynccontextmanager
async def gateway(world: ServiceWorld) -> AsyncIterator[None]:
    """Answers for each route of the namespace, by the name of the gateway that it asks for."""
    task = asyncio.create_task(_answer_routes(world))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


_REFUSALS = {"closed": ("Accepted", "NotAllowedByListeners"), "blind": ("ResolvedRefs", "BackendNotFound")}


async def _answer_routes(world: ServiceWorld) -> None:
    answered: dict[str, int] = {}
    while True:
        with suppress(ApiError):
            for route in await world.client.list(HTTP_ROUTE, namespace=world.namespace):
                uid, generation = uid_of(route), int(route["metadata"]["generation"])
                if answered.get(uid) != generation:
                    await world.report(HTTP_ROUTE, key_of(route).name, _answer(route))
                    answered[uid] = generation
        await asyncio.sleep(0.2)


def _answer(route: Manifest) -> Manifest:
    parent = route["spec"]["parentRefs"][0]
    if parent["name"] == "silent":
        return {"parents": []}
    refused, why = _REFUSALS.get(parent["name"], ("", ""))
    conditions = [
        {
            "type": type_,
            "status": "False" if type_ == refused else "True",
            "reason": why if type_ == refused else type_,
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": route["metadata"]["generation"],
        }
        for type_ in ("Accepted", "ResolvedRefs")
    ]
    return {"parents": [{"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions}]}


def condition(live: Manifest, type_: str) -> Manifest:
    """The condition of a type, empty while there is none."""
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == type_), {})


def container_of(inference_service: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = inference_service["spec"]["predictor"]["containers"][0]
    return found
