"""The service controller on a real API server; the test plays the other controllers, KServe and the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aimd.api.crd import write_crds
from aimd.controllers.service import ServiceReconciler
from aimd.planning.kinds import (
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    MODEL,
    RUNTIME_CONFIG,
    SERVICE,
    SERVICE_TEMPLATE,
    TEMPLATE_CACHE,
)
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.kinds import NAMESPACE, POD
from aimd.runtime.manager import Manager
from aimd.runtime.model import Key, Kind, Manifest
from aimd.sandbox.binaries import locate_manifests
from aimd.sandbox.manifests import apply_manifests, read_manifests

USER = "service-controller-test"
GATEWAY = {"name": "inference-gateway", "namespace": "gateways"}
NEEDED = {"inferenceservices.serving.kserve.io", "httproutes.gateway.networking.k8s.io"}


@dataclass
class World:
    """A namespace, seen by its user; the controller runs beside it under a user of its own."""

    client: Client
    namespace: str
    audit_log: Path

    async def create(self, kind: Kind, name: str, status: Manifest | None = None, **fields: Any) -> None:
        metadata = {"name": name, "namespace": self.namespace, **fields.pop("metadata", {})}
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}
        await self.client.create(kind, manifest, reason="test")
        if status is not None:
            await self.report(kind, name, status)

    async def report(self, kind: Kind, name: str, status: Manifest) -> None:
        """Writes a status, as the controller of that kind would."""
        await self.client.patch(
            kind, Key(self.namespace, name), {"status": status}, reason="test", subresource="status"
        )

    async def edit(self, **spec: Any) -> None:
        await self.client.patch(SERVICE, Key(self.namespace, "chat"), {"spec": spec}, reason="test")

    async def get(self, kind: Kind, name: str) -> Manifest:
        return await self.client.get(kind, Key(self.namespace, name))

    async def service(self) -> Manifest:
        return await self.get(SERVICE, "chat")

    async def only(self, kind: Kind) -> Manifest:
        found = await self.client.list(kind, namespace=self.namespace)
        assert len(found) == 1, [item["metadata"]["name"] for item in found]
        return found[0]

    async def until(
        self, look: Callable[[], Awaitable[Manifest]], holds: Callable[[Manifest], Any] = bool, seconds: float = 20
    ) -> Manifest:
        seen: Any = None
        for _ in range(int(seconds * 10)):
            with suppress(NotFound, AssertionError):
                seen = await look()
                if holds(seen):
                    return seen
            await asyncio.sleep(0.1)
        pytest.fail(f"did not come true; last seen: {json.dumps(seen, indent=1)}")

    async def until_word(self, word: str, seconds: float = 20) -> Manifest:
        return await self.until(self.service, lambda live: (live.get("status") or {}).get("status") == word, seconds)

    def writes(self) -> list[tuple[str, str]]:
        """Verb and resource of every write of the controller."""
        events = [json.loads(line) for line in self.audit_log.read_text().splitlines()]
        return [
            (event["verb"], event["objectRef"]["resource"])
            for event in events
            if event["user"]["username"] == USER and event["verb"] not in ("get", "list", "watch")
        ]


@pytest.fixture
async def world(api_server: Any, tmp_path: Path) -> AsyncIterator[World]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        write_crds(tmp_path / "crds")
        foreign = [crd for name in ("kserve", "gateway-api") for crd in locate_manifests().read(name)]
        needed = [crd for crd in foreign if crd["metadata"]["name"] in NEEDED]
        assert len(needed) == len(NEEDED)
        await apply_manifests(admin, [*read_manifests(tmp_path / "crds"), *needed])
        await served(admin, INFERENCE_SERVICE, HTTP_ROUTE, SERVICE, TEMPLATE_CACHE)
        namespace = f"service-{uuid4().hex[:8]}"
        metadata = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await admin.create(NAMESPACE, metadata, reason="test")
        kubeconfig = api_server.add_user(USER, groups=["system:masters"])
        async with connect(ClientOptions(kubeconfig=kubeconfig)) as client:
            manager = Manager(client)
            manager.add(ServiceReconciler(client, manager.cache))
            running = asyncio.create_task(manager.run())
            try:
                yield World(admin, namespace, api_server.audit_log)
            finally:
                manager.stop()
                await running


async def served(client: Client, *kinds: Kind) -> None:
    """Returns once the API server serves the kinds whose definitions it has."""
    for kind in kinds:
        for _ in range(200):
            try:
                await client.list(kind)
                break
            except ApiError:
                await asyncio.sleep(0.1)


READY = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


async def provide(world: World) -> None:
    """A Ready model and template, and a gateway by config."""
    await world.create(RUNTIME_CONFIG, "default", spec={"routing": {"enabled": True, "gatewayRef": GATEWAY}})
    await world.create(MODEL, "tiny", spec={"image": "registry/aim:1"}, status={"status": "Ready"})
    sources = [{"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny"}]
    status = {
        "status": "Ready",
        "modelSources": sources,
        "profile": {"metadata": {"metric": "latency", "precision": "fp16"}},
        "resolvedHardware": {"gpu": {"requests": 1, "model": "MI300X"}},
    }
    await world.create(SERVICE_TEMPLATE, "tiny-latency", spec={"modelName": "tiny", "metric": "latency"}, status=status)


async def fill_cache(world: World) -> None:
    cache = await world.until(lambda: world.only(TEMPLATE_CACHE))
    artifact = {"name": "tiny", "uid": "u", "model": "acme/tiny", "status": "Ready", "persistentVolumeClaim": "claim"}
    await world.report(TEMPLATE_CACHE, cache["metadata"]["name"], {"status": "Ready", "artifacts": {"tiny": artifact}})


async def serve(world: World) -> str:
    """What KServe, the kubelet and the gateway do; the InferenceService's name."""
    live = await world.until(lambda: world.only(INFERENCE_SERVICE))
    name = str(live["metadata"]["name"])
    labels = {"serving.kserve.io/inferenceservice": name}
    container = {"name": "kserve-container", "image": "registry/aim:1"}
    await world.create(POD, "predictor", metadata={"labels": labels}, spec={"containers": [container]})
    await world.report(POD, "predictor", {"phase": "Running", **READY})
    await world.report(INFERENCE_SERVICE, name, READY)
    route = await world.until(lambda: world.only(HTTP_ROUTE))
    conditions = [
        {
            "type": type_,
            "status": "True",
            "reason": type_,
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": route["metadata"]["generation"],
        }
        for type_ in ("Accepted", "ResolvedRefs")
    ]
    parent = {"parentRef": GATEWAY, "controllerName": "example.com/gateway", "conditions": conditions}
    await world.report(HTTP_ROUTE, route["metadata"]["name"], {"parents": [parent]})
    return name


def container_of(inference_service: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = inference_service["spec"]["predictor"]["containers"][0]
    return found


async def test_a_service_comes_up_settles_follows_edits_and_goes(world: World) -> None:
    env = [{"name": "KEEP", "value": "1"}, {"name": "DROP", "value": "1"}]
    spec = {"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}, "env": env}
    await world.create(SERVICE, "chat", spec=spec)
    failed = await world.until_word("Failed")
    reasons = {item["type"]: item["reason"] for item in failed["status"]["conditions"]}
    assert (reasons["ModelReady"], reasons["ConfigValid"]) == ("ModelNotFound", "ReferenceNotFound")

    await provide(world)
    await world.until_word("Starting")
    await fill_cache(world)
    name = await serve(world)
    running = await world.until_word("Running")
    status = running["status"]
    assert status["observedGeneration"] == running["metadata"]["generation"]
    assert status["routing"] == {"path": f"/{world.namespace}/chat"}
    assert status["resolvedModel"]["kind"] == "aim.eai.amd.com/v1alpha1/AIMModel"
    assert status["runtime"]["replicas"] == "1"
    assert {item["type"] for item in status["conditions"] if item["status"] != "True"} == set()

    await asyncio.sleep(1)
    settled = world.writes()
    for _ in range(3):  # a change that touches nothing of ours still wakes the service
        labels = {"metadata": {"labels": {"touched": uuid4().hex}}}
        await world.client.patch(SERVICE, Key(world.namespace, "chat"), labels, reason="test")
        await asyncio.sleep(0.5)
    assert world.writes() == settled

    await world.edit(replicas=2, env=[{"name": "KEEP", "value": "2"}], resources={"limits": {"cpu": "6"}})
    edited = await world.until(
        lambda: world.get(INFERENCE_SERVICE, name), lambda live: live["spec"]["predictor"]["minReplicas"] == 2
    )
    variables = {item["name"]: item["value"] for item in container_of(edited)["env"]}
    assert (variables["KEEP"], variables.get("DROP"), variables["AIM_METRIC"]) == ("2", None, "latency")
    assert container_of(edited)["resources"]["limits"] == {"amd.com/gpu": "1", "cpu": "6", "memory": "48Gi"}
    assert [volume["name"] for volume in edited["spec"]["predictor"]["volumes"]] == ["dshm", "tiny"]
    await world.edit(resources=None)
    await world.until(
        lambda: world.get(INFERENCE_SERVICE, name), lambda live: "cpu" not in container_of(live)["resources"]["limits"]
    )

    await world.edit(routing={"enabled": False})
    await world.until(
        world.service, lambda live: "HTTPRouteReady" not in {item["type"] for item in live["status"]["conditions"]}
    )
    assert await world.client.list(HTTP_ROUTE, namespace=world.namespace) == []

    await world.client.delete(SERVICE, Key(world.namespace, "chat"), reason="test")

    async def gone() -> Manifest:
        return {"left": await world.client.list(SERVICE, namespace=world.namespace)}

    await world.until(gone, lambda seen: not seen["left"])
    assert (await world.only(TEMPLATE_CACHE))["status"]["status"] == "Ready"


async def test_a_running_service_outlives_its_template(world: World) -> None:
    await provide(world)
    await world.create(SERVICE, "chat", spec={"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}})
    await fill_cache(world)
    name = await serve(world)
    await world.until_word("Running")
    before = await world.get(INFERENCE_SERVICE, name)

    await world.report(SERVICE_TEMPLATE, "tiny-latency", {"status": "NotAvailable"})
    noticed = await world.until(
        world.service, lambda live: "TemplateNotReady" in {item["reason"] for item in live["status"]["conditions"]}
    )
    assert noticed["status"]["status"] == "Running"
    degraded = await world.until_word("Degraded")
    assert degraded["status"]["resolvedTemplate"]["name"] == "tiny-latency"
    await world.report(SERVICE_TEMPLATE, "tiny-latency", {"status": "Ready"})
    await world.until_word("Running")
    after = await world.get(INFERENCE_SERVICE, name)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_cache_that_never_got_ready_goes_with_its_service(world: World) -> None:
    await provide(world)
    await world.create(SERVICE, "chat", spec={"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}})
    cache = await world.until(lambda: world.only(TEMPLATE_CACHE))
    await world.report(TEMPLATE_CACHE, cache["metadata"]["name"], {"status": "Failed"})
    failed = await world.until_word("Failed")
    assert "CacheFailed" in {item["reason"] for item in failed["status"]["conditions"]}
    await world.client.delete(SERVICE, Key(world.namespace, "chat"), reason="test")

    async def left() -> Manifest:
        return {"left": await world.client.list(TEMPLATE_CACHE, namespace=world.namespace)}

    await world.until(left, lambda seen: not seen["left"])
