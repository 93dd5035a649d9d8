"""Models whose images have profile files, on a real API server, with a real registry behind a proxy that counts.

Nobody runs pods here: a template that becomes Ready needed none.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from aimd.controllers import image_inspections
from aimd.controllers.all import build_reconcilers
from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.planning.settings import ControllerSettings
from aimd.registry import cache
from aimd.registry.addresses import AddressPolicy
from aimd.registry.client import connect_registries
from aimd.registry.options import RegistryOptions
from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.errors import ApiError
from aimd.runtime.kinds import JOB, NAMESPACE, NODE, POD
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.image_registry import Image, Layer, push_image, start_registry
from aimd.sandbox.processes import supervise
from tests.aim_profiles import profile_text, published
from tests.integration.counting_proxy import CountingProxy, counting_proxy
from tests.integration.stand_ins import install_own_crds
from tests.integration.world import World, operating, served

USER = "image-profiles-test"
PROFILES = "/workspace/aim-runtime/profiles"
QWEN = "Qwen/Qwen3-32B"
LABEL = "com.amd.aim.model.recommendedDeployments"
ENTRY = {"gpuModel": "MI300X", "gpuCount": 1, "metric": "latency", "precision": "fp16"}
EPYC = "Qwen/Qwen3-8B"


def layer(files: dict[str, str], model: str) -> Layer:
    """Return the last layer of an image of one model."""
    contents = {f"workspace/aim-runtime/profiles/{path}": text.encode() for path, text in files.items()}
    return Layer(f"COPY assets/instinct/{model}/profiles {PROFILES}/{model}/ # buildkit", contents)


def aim_image(files: dict[str, str], model: str, *deployments: Manifest) -> Image:
    """Return an image as AMD's build makes it: a base with large layers, and the profiles of one model on top."""
    own = {path: text for path, text in files.items() if path.startswith(f"{model}/")}
    general = {path: text for path, text in files.items() if path.startswith("general/")}
    base = Layer("RUN /bin/sh -c pip install vllm # buildkit", {"opt/vllm": os.urandom(200_000)})
    return Image(
        labels={LABEL: str(list(deployments))} if deployments else {},
        env=("PATH=/usr/bin", f"AIM_ID={model}", "AIM_ALLOW_GENERAL_PROFILE_FALLBACK=false"),
        layers=(
            base,
            Layer(
                f"COPY assets/instinct/base/profiles/general {PROFILES}/general # buildkit", layer(general, "").files
            ),
            Layer(f"ENV AIM_ID={model}", empty=True),
            layer(own, model),
        ),
    )


def squashed(*deployments: Manifest) -> Image:
    """Return an image whose layers were merged into one, too large to be looked through."""
    merged = Layer("", {f"workspace/aim-runtime/profiles/{QWEN}/a.yaml": b"", "opt/vllm": os.urandom(200_000)})
    label = {LABEL: str(list(deployments))} if deployments else {}
    return Image(labels=label, env=(f"AIM_ID={QWEN}",), layers=(merged,), history=False)


LIMITED = aim_image({f"{QWEN}/a.yaml": profile_text(QWEN)}, QWEN)
IMAGES = {
    "newest": aim_image(published("0.12/instinct"), QWEN),
    "epyc": aim_image(published("0.12/epyc"), EPYC),
    "labeled": aim_image(published("0.9"), QWEN, ENTRY),
    "squashed": squashed(),
    "squashed-labeled": squashed(ENTRY),
    "limited": LIMITED,
}


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    binary = locate_binaries(("registry",)).path("registry")

    async def fill(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            for name, image in IMAGES.items():
                await push_image(client, f"acme/{name}", "1", image)

    with start_blocking_portal() as portal, ExitStack() as stack:
        supervisor = stack.enter_context(portal.wrap_async_context_manager(supervise("aimd-profile-registry-")))
        port = portal.call(lambda: start_registry(supervisor, binary))
        portal.call(fill, port)
        yield f"127.0.0.1:{port}"


@dataclass
class ProfileWorld(World):
    """A namespace, a registry that counts, and an operator that can be restarted."""

    api_server: Any
    proxy: CountingProxy
    running: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        """Start the operator, with nothing in its memory."""
        options = RegistryOptions(timeout=10.0, retry_delays=(), addresses=AddressPolicy(local=True))
        settings = ControllerSettings(system_namespace=self.namespace)
        images = await self.running.enter_async_context(connect_registries(options))
        await self.running.enter_async_context(
            operating(self.api_server, USER, lambda client, cache: build_reconcilers(client, cache, settings, images))
        )

    async def stop(self) -> None:
        await self.running.aclose()

    async def model(self, name: str, **spec: Any) -> None:
        await self.create(AIM_MODEL, name, spec={"image": f"{self.proxy.address}/acme/{name}:1", **spec})

    async def templates(self, count: int) -> list[Manifest]:
        """Return the templates, once there are so many and each has its profile or a Job."""

        def settled(found: list[Manifest]) -> bool:
            return len(found) == count and all(word(item) in ("Ready", "NotAvailable", "Failed") for item in found)

        async def look() -> list[Manifest]:
            return await self.client.list(AIM_SERVICE_TEMPLATE, namespace=self.namespace)

        found: list[Manifest] = await self.until(look, settled)
        return sorted(found, key=lambda item: str(item["spec"]["profileId"]))

    async def is_idle(self) -> bool:
        """Return whether nothing was started for discovery."""
        jobs = await self.client.list(JOB, namespace=self.namespace)
        return not jobs and not await self.client.list(POD, namespace=self.namespace)

    async def until_reason(self, name: str, type_: str, reason: str) -> Manifest:
        def holds(live: Manifest) -> bool:
            return any(
                (item["type"], item["reason"]) == (type_, reason)
                for item in live.get("status", {}).get("conditions", ())
            )

        live: Manifest = await self.until(lambda: self.get(AIM_MODEL, name), holds)
        return live


def word(live: Manifest) -> str:
    return str(live.get("status", {}).get("status") or "")


def shown(live: Manifest, type_: str) -> tuple[str, str, str]:
    found = next(item for item in live["status"]["conditions"] if item["type"] == type_)
    return found["status"], found["reason"], found["message"]


@pytest.fixture
async def world(api_server: Any, registry: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProfileWorld]:
    monkeypatch.setattr(image_inspections, "TRANSIENT_BACKOFF", (0.5, 1.0))
    monkeypatch.setattr(cache, "FAILURE_LIFE", 0.1)
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin, counting_proxy(registry) as proxy:
        await install_own_crds(admin)
        await served(admin, AIM_SERVICE, AIM_MODEL, AIM_SERVICE_TEMPLATE)
        namespace = f"profiles-{uuid4().hex[:8]}"
        await admin.create(NAMESPACE, _named("Namespace", namespace), reason="test")
        with suppress(ApiError):
            node = {**_named("Node", "gpu-node"), "spec": {}}
            node["metadata"]["labels"] = {"amd.com/gpu.device-id": "74a1"}
            await admin.create(NODE, node, reason="test")
        world = ProfileWorld(admin, namespace, api_server.audit_log, USER, api_server, proxy)
        await world.start()
        try:
            yield world
        finally:
            await world.stop()
            await admin.delete(NAMESPACE, Key("", namespace), reason="test")


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


async def test_an_image_without_a_label_gives_templates_without_a_pod(world: ProfileWorld) -> None:
    """Prove MDL-PRF-1, MDL-PRF-3, TPL-IMG-1 and TPL-IMG-3: a restart asks the registry nothing."""
    await world.model("newest")
    await world.model("epyc")
    epyc, gpu = await world.templates(2)
    assert gpu["spec"]["profileId"] == "vllm-mi300x-fp8-tp1-latency"
    assert shown(gpu, "Discovered")[:2] == ("True", "ProfileReadFromRegistry")
    assert gpu["status"]["modelSources"] == [{"modelId": f"{QWEN}-FP8", "sourceUri": f"hf://{QWEN}-FP8"}]
    assert gpu["status"]["profile"]["engine_args"]["max-model-len"] == 32768
    assert (word(epyc), epyc["status"]["resolvedHardware"]) == ("Ready", {"cpu": {"requests": "124"}})
    assert await world.is_idle()
    model = await world.until_reason("newest", "ServiceTemplatesReady", "AllTemplatesReady")
    assert shown(model, "ImageProfilesRead")[:2] == ("True", "ReadFromRegistry")
    profiles = model["status"]["imageProfiles"]
    assert [profile["profileId"] for profile in profiles["profiles"]] == ["vllm-mi300x-fp8-tp1-latency"]
    # One request each for manifest and configuration, one for a layer of profiles of each, one for a layer of both.
    for name in ("newest", "epyc"):
        assert len([path for path in world.proxy.requested if f"/acme/{name}/" in path]) in (3, 4)
    assert len(world.proxy.requested) == 7

    await world.stop()
    before = await world.client.list(AIM_SERVICE_TEMPLATE, namespace=world.namespace)
    world.proxy.requested.clear()
    await world.start()
    await world.client.patch(AIM_MODEL, world.key(AIM_MODEL, "newest"), {"spec": {"env": []}}, reason="test")
    await asyncio.sleep(3)
    after = await world.client.list(AIM_SERVICE_TEMPLATE, namespace=world.namespace)
    assert {item["metadata"]["uid"]: item["status"] for item in after} == {
        item["metadata"]["uid"]: item["status"] for item in before
    }
    assert world.proxy.requested == []


async def test_the_label_chooses_among_the_files(world: ProfileWorld) -> None:
    """Prove MDL-PRF-2."""
    await world.model("labeled")
    (template,) = await world.templates(1)
    assert template["spec"]["profileId"] == "vllm-mi300x-fp16-tp1-latency"
    assert (word(template), shown(template, "Discovered")[1]) == ("Ready", "ProfileReadFromRegistry")
    assert await world.is_idle()


async def test_where_files_cannot_be_read(world: ProfileWorld) -> None:
    """Prove MDL-PRF-2, MDL-PRF-4 and TPL-IMG-2."""
    await world.model("squashed-labeled")
    model = await world.until_reason("squashed-labeled", "ImageProfilesRead", "RecommendedByLabels")
    assert "cannot be read" in shown(model, "ImageProfilesRead")[2]
    (job,) = await world.until(lambda: world.client.list(JOB, namespace=world.namespace))
    assert job["metadata"]["name"].startswith("discover-")
    await world.model("squashed")
    silent = await world.until_reason("squashed", "ImageProfilesRead", "NothingRecommended")
    assert "spec.customTemplates" in shown(silent, "ServiceTemplatesReady")[2]


async def test_templates_that_users_pin(world: ProfileWorld) -> None:
    """Prove TPL-IMG-1 and TPL-IMG-2: a GPU that is absent does not matter, an unknown id is said at once."""
    await world.model("labeled", discovery={"createServiceTemplates": False})
    for name, profile in (
        ("absent", "vllm-mi325x-fp8-tp1-latency"),
        ("pinned", "vllm-mi300x-fp16-tp1-latency"),
        ("wrong", "vllm-none"),
    ):
        await world.create(AIM_SERVICE_TEMPLATE, name, spec={"modelName": "labeled", "profileId": profile})
    found = {item["metadata"]["name"]: item for item in await world.templates(3)}
    assert word(found["pinned"]) == "Ready"
    assert found["pinned"]["status"]["resolvedHardware"]["gpu"]["model"] == "MI300X"
    assert (word(found["absent"]), shown(found["absent"], "Discovered")[1]) == (
        "NotAvailable",
        "ProfileReadFromRegistry",
    )
    assert word(found["wrong"]) == "Failed"
    status, reason, message = shown(found["wrong"], "Discovered")
    assert (status, reason) == ("False", "ProfileNotFound")
    assert "vllm-mi300x-fp16-tp1-latency" in message
    assert await world.is_idle()


async def test_a_rate_limit_is_waited_for(world: ProfileWorld) -> None:
    """Prove MDL-INS-4 and TPL-IMG-2."""
    digest = hashlib.sha256(LIMITED.layers[-1].content).hexdigest()
    world.proxy.refused.add(digest)
    await world.model("limited")
    model = await world.until_reason("limited", "ImageMetadataReady", "ImagePullBackOff")
    assert shown(model, "DependenciesReachable")[:2] == ("False", "InfrastructureError")
    assert await world.is_idle()
    asked = len(world.proxy.requested)
    world.proxy.refused.clear()
    (template,) = await world.templates(1)
    assert (word(template), template["spec"]["profileId"]) == ("Ready", "a")
    assert asked < 40
