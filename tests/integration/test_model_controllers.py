"""Models, templates and model sources on a real API server, their images in a real registry.

Garbage collection is Kubernetes' own. Nobody runs pods here; templates have inline sources, or wait for their Jobs.
"""

import asyncio
import json
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from aimd.controllers import image_inspections
from aimd.controllers.all import build_reconcilers
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
)
from aimd.planning.settings import ControllerSettings
from aimd.registry.addresses import AddressPolicy
from aimd.registry.client import connect_registries
from aimd.registry.options import RegistryOptions
from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.kinds import JOB, NAMESPACE, NODE, SECRET
from aimd.runtime.manager import Manager
from aimd.runtime.objects import Key, Kind, Manifest, key_of
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.image_registry import Image, push_image, start_registry
from aimd.sandbox.processes import supervise
from tests.integration.stand_ins import install_own_crds
from tests.integration.world import World, operating, served

USER = "model-controllers-test"
LOGIN = ("reader", "secret")
HTPASSWD = "reader:$2b$04$SG9yzOYB5bdfV5yCl/aGx.dnucuBjHGmpMKB012rBGLCxWhfnZEGi\n"
SOURCE = {"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny", "size": "1Gi"}
OFF = {"extractMetadata": False, "createServiceTemplates": False}


def labels(*gpus: str) -> dict[str, str]:
    deployments = [{"gpuModel": gpu, "gpuCount": 1, "metric": "latency", "precision": "fp8"} for gpu in gpus]
    return {
        "com.amd.aim.model.canonicalName": "acme/tiny",
        "org.amd.silogen.model.recommendedDeployments": str(deployments),  # Python's quotes, as images have them
    }


@dataclass(frozen=True)
class Registries:
    """Host and port of an open registry, of one behind a login, and of one that never answers."""

    open: str
    locked: str
    silent: str


@pytest.fixture(scope="module")
def registries() -> Iterator[Registries]:
    binary = locate_binaries(("registry",)).path("registry")

    async def fill(port: int, auth: tuple[str, str] | None = None) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", auth=auth, trust_env=False) as client:
            await push_image(client, "acme/aim-tiny", "1.0.0", Image(labels("MI300X", "MI325X")))
            await push_image(client, "acme/aim-tiny", "1.1.0", Image(labels("MI300X")))
            await push_image(
                client, "acme/aim-broken", "1.0.0", Image({"com.amd.aim.model.recommendedDeployments": "no"})
            )
            await push_image(client, "acme/other", "1.0.0", Image({}))

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read()
        writer.close()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(swallow, "127.0.0.1", 0)

    with start_blocking_portal() as portal, ExitStack() as stack:
        supervisor = stack.enter_context(portal.wrap_async_context_manager(supervise("aimd-model-registries-")))
        plain = portal.call(lambda: start_registry(supervisor, binary))
        locked = portal.call(lambda: start_registry(supervisor, binary, htpasswd=HTPASSWD))
        silent = portal.call(listen)
        portal.call(fill, plain)
        portal.call(fill, locked, LOGIN)
        address = silent.sockets[0].getsockname()
        yield Registries(f"127.0.0.1:{plain}", f"127.0.0.1:{locked}", f"127.0.0.1:{address[1]}")
        portal.call(silent.close)


@dataclass
class ModelWorld(World):
    """A namespace whose user looks at models and templates."""

    manager: Manager

    def turns(self) -> dict[str, float]:
        """How often each controller has reconciled something, whatever came of it."""
        counted: Counter[str] = Counter()
        for family in self.manager.metrics.registry.collect():
            for sample in family.samples:
                if sample.name.endswith("reconcile_total"):
                    counted[sample.labels["controller"]] += int(sample.value)
        return dict(counted)

    async def edit(self, kind: Kind, name: str, **spec: Any) -> None:
        await self.client.patch(kind, self.key(kind, name), {"spec": spec}, reason="test")

    async def templates(self, model: str, kind: Kind = AIM_SERVICE_TEMPLATE) -> list[Manifest]:
        namespace = self.namespace if kind.namespaced else ""
        found = await self.client.list(kind, namespace=namespace, label_selector=f"aim.eai.amd.com/model={model}")
        return sorted(found, key=lambda item: str(item["metadata"]["name"]))

    async def until_word(self, kind: Kind, name: str, word: str, seconds: float = 30) -> Manifest:
        def holds(live: Manifest) -> bool:
            return bool((live.get("status") or {}).get("status") == word)

        live: Manifest = await self.until(lambda: self.get(kind, name), holds, seconds)
        return live


@pytest.fixture
async def world(api_server: Any, registries: Registries, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelWorld]:
    monkeypatch.setattr(image_inspections, "SECRET_BACKOFF", (0.5, 1.0))
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        await install_own_crds(admin)
        await served(
            admin,
            AIM_SERVICE,
            AIM_MODEL,
            AIM_CLUSTER_MODEL,
            AIM_SERVICE_TEMPLATE,
            AIM_CLUSTER_SERVICE_TEMPLATE,
            AIM_CLUSTER_MODEL_SOURCE,
        )
        namespace = f"models-{uuid4().hex[:8]}"
        await admin.create(NAMESPACE, _named(NAMESPACE, namespace), reason="test")
        with suppress(ApiError):
            node = {**_named(NODE, "gpu-node"), "spec": {}}
            node["metadata"]["labels"] = {"amd.com/gpu.device-id": "74a1"}
            await admin.create(NODE, node, reason="test")
        options = RegistryOptions(timeout=10.0, retry_delays=(), addresses=AddressPolicy(local=True))
        settings = ControllerSettings(system_namespace=namespace)
        async with (
            connect_registries(options) as images,
            operating(
                api_server, USER, lambda client, cache: build_reconcilers(client, cache, settings, images)
            ) as manager,
        ):
            yield ModelWorld(admin, namespace, api_server.audit_log, USER, manager)
            await admin.delete(NAMESPACE, Key("", namespace), reason="test")


def _named(kind: Kind, name: str) -> Manifest:
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}}


def condition(live: Manifest, type_: str) -> tuple[str, str]:
    return next(
        ((item["status"], item["reason"]) for item in live["status"]["conditions"] if item["type"] == type_), ("", "")
    )


def names(templates: list[Manifest]) -> list[str]:
    return [item["metadata"]["name"] for item in templates]


def unique(name: str) -> str:
    return f"{name}-{uuid4().hex[:6]}"


async def test_templates_follow_the_image(world: ModelWorld, registries: Registries) -> None:
    image = f"{registries.open}/acme/aim-tiny"
    await world.create(AIM_MODEL, "tiny", spec={"image": f"{image}:1.0.0"})
    first = await world.until(lambda: world.templates("tiny"), lambda found: len(found) == 2)
    assert [item["spec"]["hardware"]["gpu"]["model"] for item in first] == ["MI300X", "MI325X"]
    live = await world.until(
        lambda: world.get(AIM_MODEL, "tiny"), lambda found: "imageMetadata" in found.get("status", {})
    )
    assert live["status"]["imageMetadata"]["model"]["canonicalName"] == "acme/tiny"
    assert condition(live, "ImageMetadataReady") == ("True", "ImageFound")

    used = names(first)[0]
    await world.create(AIM_SERVICE, "chat", spec={"model": {"name": "tiny"}, "template": {"name": used}})
    await world.edit(AIM_MODEL, "tiny", image=f"{image}:1.1.0")
    after = await world.until(
        lambda: world.templates("tiny"), lambda found: len(found) == 2 and names(found) != names(first)
    )
    assert used in names(after)
    await world.client.delete(AIM_SERVICE, Key(world.namespace, "chat"), reason="test")
    last = await world.until(lambda: world.templates("tiny"), lambda found: len(found) == 1)
    assert "1-1-0" in names(last)[0]

    await world.client.delete(AIM_MODEL, Key(world.namespace, "tiny"), reason="test")
    await world.until(lambda: world.templates("tiny"), lambda found: found == [], 60)


async def test_copies_of_templates_stay(world: ModelWorld, registries: Registries) -> None:
    name = unique("tiny")
    await world.create(AIM_CLUSTER_MODEL, name, spec={"image": f"{registries.open}/acme/aim-tiny:1.1.0"})
    (original,) = await world.until(
        lambda: world.templates(name, AIM_CLUSTER_SERVICE_TEMPLATE), lambda found: len(found) == 1
    )
    copy = {**_named(AIM_CLUSTER_SERVICE_TEMPLATE, unique("copy")), "spec": dict(original["spec"])}
    copy["metadata"] |= {key: original["metadata"][key] for key in ("labels", "ownerReferences")}
    copy["spec"]["hardware"] = {"gpu": {"model": "MI308X", "requests": 1}}
    await world.client.create(AIM_CLUSTER_SERVICE_TEMPLATE, copy, reason="test")
    await world.edit(AIM_CLUSTER_MODEL, name, resources={"requests": {"cpu": "1"}})
    await world.until_word(AIM_CLUSTER_SERVICE_TEMPLATE, copy["metadata"]["name"], "NotAvailable")
    assert len(await world.templates(name, AIM_CLUSTER_SERVICE_TEMPLATE)) == 2
    await world.client.delete(AIM_CLUSTER_MODEL, Key("", name), reason="test")


async def test_definitions_come_and_go_and_change(world: ModelWorld) -> None:
    def spec(*entries: Manifest, requests: int = 1) -> Manifest:
        hardware = {"gpu": {"model": "MI300X", "requests": requests}}
        return {
            "image": "img:1",
            "modelSources": [SOURCE],
            "custom": {"hardware": hardware},
            "customTemplates": entries,
        }

    one, two = {"name": "one"}, {"name": "two", "profile": {"metric": "latency", "precision": "fp16"}}
    await world.create(AIM_MODEL, "mine", spec={**spec(one, two), "discovery": {"extractMetadata": False}})
    live = await world.until_word(AIM_MODEL, "mine", "Ready")
    assert live["status"]["sourceType"] == "Custom"
    assert live["status"]["observedGeneration"] == live["metadata"]["generation"]
    before = await world.templates("mine")
    assert [item["metadata"]["labels"]["aim.eai.amd.com/template.alias"] for item in before] == ["one", "two"]

    await world.edit(AIM_MODEL, "mine", **spec(one, two, requests=2))

    def changed(found: list[Manifest]) -> bool:
        return len(found) == 2 and all(item["spec"]["hardware"]["gpu"]["requests"] == 2 for item in found)

    after = await world.until(lambda: world.templates("mine"), changed)
    assert names(after) == names(before)
    await world.edit(AIM_MODEL, "mine", **spec(one, requests=2))
    await world.until(lambda: world.templates("mine"), lambda found: names(found) == names(before)[:1])


@pytest.mark.parametrize("kind", [AIM_MODEL, AIM_CLUSTER_MODEL])
async def test_what_a_registry_can_answer(world: ModelWorld, registries: Registries, kind: Kind) -> None:
    async def degraded(name: str, image: str) -> Manifest:
        await world.create(kind, name, spec={"image": image})
        return await world.until_word(kind, name, "Degraded")

    missing = await degraded(unique("missing"), f"{registries.open}/acme/aim-tiny:9")
    assert condition(missing, "ImageMetadataReady") == ("False", "ImageNotFound")
    broken = await degraded(unique("broken"), f"{registries.open}/acme/aim-broken:1.0.0")
    assert condition(broken, "ImageMetadataReady") == ("False", "MetadataExtractionFailed")
    locked = await degraded(unique("locked"), f"{registries.locked}/acme/aim-tiny:1.0.0")
    assert condition(locked, "ImageMetadataReady") == ("False", "ImagePullAuthFailure")
    assert condition(locked, "AuthValid") == ("False", "AuthError")
    nowhere = await degraded(unique("nowhere"), "127.0.0.1:1/acme/aim-tiny:1.0.0")
    assert condition(nowhere, "ImageMetadataReady") == ("False", "ConnectionRefused")
    assert condition(nowhere, "DependenciesReachable") == ("False", "InfrastructureError")
    port = registries.open.rpartition(":")[2]
    refused = await degraded(unique("refused"), f"127.1:{port}/acme/aim-tiny:1.0.0")
    assert condition(refused, "ImageMetadataReady") == ("False", "RegistryNotAllowed")
    octal = await degraded(unique("octal"), f"0177.0.0.1:{port}/acme/aim-tiny:1.0.0")
    assert condition(octal, "ImageMetadataReady") == ("False", "ImageReferenceInvalid")
    for item in (missing, broken, locked, nowhere, refused, octal):
        await world.client.delete(kind, world.key(kind, item["metadata"]["name"]), reason="test")


@pytest.mark.parametrize("kind", [AIM_MODEL, AIM_CLUSTER_MODEL])
async def test_a_pull_secret_that_appears_heals(world: ModelWorld, registries: Registries, kind: Kind) -> None:
    name, secret = unique("private"), unique("regcred")
    spec = {"image": f"{registries.locked}/acme/aim-tiny:1.1.0", "imagePullSecrets": [{"name": secret}]}
    await world.create(kind, name, spec=spec)
    failed = await world.until_word(kind, name, "Failed")
    assert condition(failed, "ConfigValid") == ("False", "ReferenceNotFound")
    assert condition(failed, "ImageMetadataReady")[1] == (
        "SecretNotFound" if kind is AIM_MODEL else "ReferenceNotFound"
    )
    auth = {"auths": {registries.locked: {"username": LOGIN[0], "password": LOGIN[1]}}}
    data = {".dockerconfigjson": b64encode(json.dumps(auth).encode()).decode()}
    await world.create(SECRET, secret, type="kubernetes.io/dockerconfigjson", data=data)

    def healed(live: Manifest) -> bool:
        return condition(live, "ImageMetadataReady") == ("True", "ImageFound")

    live = await world.until(lambda: world.get(kind, name), healed)
    assert condition(live, "ConfigValid")[0] == "True"
    await world.client.delete(kind, world.key(kind, name), reason="test")


async def test_a_service_lends_its_pull_secret_to_a_model_that_was_there_before(
    world: ModelWorld, registries: Registries
) -> None:
    """The Secret may come last; discovery pulls with it, too (MDL-INS-5)."""
    secret, image = unique("lent"), f"{registries.locked}/acme/aim-tiny:1.1.0"
    await world.create(AIM_MODEL, "private", spec={"image": image})
    refused = await world.until_word(AIM_MODEL, "private", "Degraded")
    assert condition(refused, "ImageMetadataReady") == ("False", "ImagePullAuthFailure")
    secrets = [{"name": secret}, {"name": "none-of-that-name"}]
    await world.create(AIM_SERVICE, "chat", spec={"model": {"image": image}, "imagePullSecrets": secrets})

    def told(live: Manifest) -> bool:
        messages = (item["message"] for item in live["status"]["conditions"] if item["type"] == "ImageMetadataReady")
        return secret in next(messages)

    await world.until(lambda: world.get(AIM_MODEL, "private"), told)
    auth = {"auths": {registries.locked: {"username": LOGIN[0], "password": LOGIN[1]}}}
    data = {".dockerconfigjson": b64encode(json.dumps(auth).encode()).decode()}
    await world.create(SECRET, secret, type="kubernetes.io/dockerconfigjson", data=data)

    def known(live: Manifest) -> bool:
        return condition(live, "ImageMetadataReady") == ("True", "ImageFound")

    await world.until(lambda: world.get(AIM_MODEL, "private"), known)
    (job,) = await world.until(lambda: world.client.list(JOB, namespace=world.namespace))
    pulls = {item["name"] for item in job["spec"]["template"]["spec"]["imagePullSecrets"]}
    assert pulls == {item["name"] for item in secrets}


async def test_a_silent_registry_delays_nobody_else(world: ModelWorld, registries: Registries) -> None:
    """Prove MDL-INS-6."""
    await world.create(AIM_MODEL, "silent-0", spec={"image": f"{registries.silent}/acme/aim-tiny:1.0.0"})
    for index in range(1, 4):
        await world.create(AIM_MODEL, f"silent-{index}", spec={"image": f"{registries.silent}/acme/a{index}:1"})
    for index in range(46):
        discovery = {"extractMetadata": True, "createServiceTemplates": False}
        spec = {"image": f"{registries.open}/acme/aim-tiny:1.{index % 2}.0", "discovery": discovery}
        await world.create(AIM_MODEL, f"model-{index}", spec=spec)

    async def words() -> list[str]:
        found = await world.client.list(AIM_MODEL, namespace=world.namespace)
        return [str((item.get("status") or {}).get("status")) for item in found]

    # Well before the silent one has been given up (10 s), and not one after the other.
    await world.until(words, lambda seen: seen.count("Ready") == 46, 8)
    silent = await world.until_word(AIM_MODEL, "silent-0", "Degraded")
    assert condition(silent, "ImageMetadataReady") == ("False", "NetworkTimeout")


async def test_a_missing_config_heals(world: ModelWorld) -> None:
    config = unique("team")
    spec = {"image": "img:1", "runtimeConfigName": config, "discovery": OFF}
    await world.create(AIM_MODEL, "m", spec=spec)
    failed = await world.until_word(AIM_MODEL, "m", "Failed")
    assert condition(failed, "ConfigValid") == condition(failed, "Ready") == ("False", "ReferenceNotFound")
    await world.create(AIM_CLUSTER_RUNTIME_CONFIG, config, spec={})
    live = await world.until_word(AIM_MODEL, "m", "Ready")
    assert condition(live, "ConfigValid")[0] == "True"
    assert live["status"]["resolvedRuntimeConfig"]["scope"] == "Cluster"


@pytest.mark.parametrize("kind", [AIM_RUNTIME_CONFIG, AIM_CLUSTER_RUNTIME_CONFIG])
async def test_a_config_says_what_is_wrong_with_it(world: ModelWorld, kind: Kind) -> None:
    name = unique("routes")
    await world.create(kind, name, spec={"routing": {"requestTimeout": "3 minutes"}})

    async def conditions() -> dict[str, tuple[str, str]]:
        live = await world.get(kind, name)
        if "status" in (live.get("status") or {}):
            pytest.fail("a config has conditions, but no word")
        return {
            item["type"]: (item["status"], item["reason"]) for item in (live.get("status") or {}).get("conditions", ())
        }

    await world.until(conditions, lambda found: found.get("RoutingReady") == ("False", "InvalidSpec"))
    timeout = {"spec": {"routing": {"requestTimeout": "3m"}}}
    await world.client.patch(kind, world.key(kind, name), timeout, reason="test")
    await world.until(conditions, lambda found: "RoutingReady" not in found and found["Ready"][0] == "True")
    await world.client.delete(kind, world.key(kind, name), reason="test")


async def test_the_model_and_its_templates_do_not_hold_each_other_down(
    world: ModelWorld, registries: Registries
) -> None:
    await world.create(AIM_MODEL, "m", spec={"image": f"{registries.open}/acme/none:0", "modelSources": [SOURCE]})
    await world.create(AIM_SERVICE_TEMPLATE, "t", spec={"modelName": "m", "modelSources": [SOURCE]})
    await world.until_word(AIM_MODEL, "m", "Degraded")
    await world.until_word(AIM_SERVICE_TEMPLATE, "t", "Degraded")
    await asyncio.sleep(2)
    live = await world.until_word(AIM_MODEL, "m", "Degraded", 0.2)
    assert condition(live, "ServiceTemplatesReady") == ("False", "AllTemplatesFailed")
    pause = {"metadata": {"annotations": {"aim.eai.amd.com/reconciliation-paused": "true"}}}
    await world.client.patch(AIM_MODEL, Key(world.namespace, "m"), pause, reason="test")
    only_templates = {
        "type": "ServiceTemplatesReady",
        "status": "False",
        "reason": "X",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    await world.report(AIM_MODEL, "m", {"status": "Failed", "conditions": [only_templates]})
    await world.until_word(AIM_SERVICE_TEMPLATE, "t", "Ready")


async def test_a_source_imports_what_its_filters_find(world: ModelWorld, registries: Registries) -> None:
    name = unique("acme")
    spec = {
        "registry": registries.open,
        "filters": [{"image": "acme/aim-*", "exclude": ["acme/aim-broken"]}, {"image": "acme/other:1.0.0"}],
        "versions": [">=1.0.0"],
        "maxModels": 2,
    }
    await world.create(AIM_CLUSTER_MODEL_SOURCE, name, spec=spec)
    live = await world.until_word(AIM_CLUSTER_MODEL_SOURCE, name, "Ready")
    status = live["status"]
    assert (status["availableModels"], status["discoveredModels"], status["modelsLimitReached"]) == (3, 2, True)
    assert condition(live, "MaxModelsLimitReached") == ("True", "LimitReached")
    assert status["lastSyncTime"]

    async def models() -> list[Manifest]:
        return await world.client.list(AIM_CLUSTER_MODEL, label_selector=f"aim.eai.amd.com/model-source={name}")

    imported = await world.until(models, lambda found: len(found) == 2)
    assert sorted(item["spec"]["image"] for item in imported) == [
        f"{registries.open}/acme/aim-tiny:1.0.0",
        f"{registries.open}/acme/aim-tiny:1.1.0",
    ]
    await world.edit(AIM_CLUSTER_MODEL_SOURCE, name, maxModels=10)
    await world.until(models, lambda found: len(found) == 3)
    raised = await world.until_word(AIM_CLUSTER_MODEL_SOURCE, name, "Ready")
    await asyncio.sleep(2)
    assert (await world.get(AIM_CLUSTER_MODEL_SOURCE, name))["status"]["lastSyncTime"] == raised["status"][
        "lastSyncTime"
    ]
    await world.client.delete(AIM_CLUSTER_MODEL_SOURCE, Key("", name), reason="test")
    await world.until(models, lambda found: found == [], 60)


async def test_a_source_whose_registry_refuses_fails_and_says_why(world: ModelWorld, registries: Registries) -> None:
    name = unique("locked")
    await world.create(
        AIM_CLUSTER_MODEL_SOURCE, name, spec={"registry": registries.locked, "filters": [{"image": "acme/aim-*"}]}
    )
    live = await world.until_word(AIM_CLUSTER_MODEL_SOURCE, name, "Failed")
    assert condition(live, "FiltersReady") == ("False", "AllFiltersFailed")
    message = next(item["message"] for item in live["status"]["conditions"] if item["type"] == "FiltersReady")
    assert registries.locked in message
    await world.client.delete(AIM_CLUSTER_MODEL_SOURCE, Key("", name), reason="test")


async def test_a_gpu_that_comes_and_goes_takes_template_and_model_along(world: ModelWorld) -> None:
    node = unique("node")
    await world.create(NODE, node, metadata={"labels": {"zone": "x"}}, spec={})
    spec = {"image": "img:1", "modelSources": [SOURCE], "discovery": {"extractMetadata": False}}
    spec["custom"] = {"hardware": {"gpu": {"model": "MI355X", "requests": 1}}}
    await world.create(AIM_MODEL, "m", spec=spec)
    await world.until_word(AIM_MODEL, "m", "NotAvailable")
    [template] = await world.templates("m")
    name = template["metadata"]["name"]
    assert condition(await world.get(AIM_SERVICE_TEMPLATE, name), "GPUReady") == ("False", "GPUNotAvailable")
    for device, word in (("75a3", "Ready"), (None, "NotAvailable")):
        labels = {"amd.com/gpu.device-id": device}
        await world.client.patch(NODE, Key("", node), {"metadata": {"labels": labels}}, reason="test")
        await world.until_word(AIM_SERVICE_TEMPLATE, name, word)
        await world.until_word(AIM_MODEL, "m", word)
    await world.client.delete(NODE, Key("", node), reason="test")


async def test_labels_go_on_to_whatever_is_made(world: ModelWorld, registries: Registries) -> None:
    labels = {"team.example/name": "red", "other": "blue", "aim.eai.amd.com/always": "yes"}
    passed_on = {"team.example/name": "red", "aim.eai.amd.com/always": "yes"}
    config = {"labelPropagation": {"enabled": True, "match": ["team.example/*"]}}
    await world.create(AIM_RUNTIME_CONFIG, "default", spec=config)
    hardware = {"gpu": {"model": "MI300X", "requests": 1}}
    spec = {"image": "img:1", "modelSources": [SOURCE], "custom": {"hardware": hardware}}
    spec["discovery"] = {"extractMetadata": False}
    await world.create(AIM_MODEL, "m", spec=spec, metadata={"labels": labels})
    caching = {"modelName": "m", "modelSources": [SOURCE], "caching": {"enabled": True}}
    await world.create(AIM_SERVICE_TEMPLATE, "cached", spec=caching, metadata={"labels": labels})
    await world.create(AIM_SERVICE_TEMPLATE, "asked", spec={"modelName": "m"}, metadata={"labels": labels})

    async def children(kind: Kind, owner: str) -> list[Manifest]:
        found = await world.client.list(kind, namespace=world.namespace if kind.namespaced else "")
        return [item for item in found if item["metadata"].get("ownerReferences", [{}])[0].get("name") == owner]

    def has_labels(found: list[Manifest]) -> bool:
        return bool(found) and all(
            passed_on.items() <= item["metadata"]["labels"].items() and "other" not in item["metadata"]["labels"]
            for item in found
        )

    await world.until(lambda: children(AIM_SERVICE_TEMPLATE, "m"), has_labels)
    await world.until(lambda: children(AIM_TEMPLATE_CACHE, "cached"), has_labels)
    [job] = await world.until(lambda: children(JOB, "asked"), has_labels)
    assert passed_on.items() <= job["spec"]["template"]["metadata"]["labels"].items()

    source, image = unique("source"), f"{registries.open}/acme/aim-tiny:1.1.0"
    with suppress(NotFound):
        await world.client.delete(AIM_CLUSTER_RUNTIME_CONFIG, Key("", "default"), reason="test")
    await world.create(AIM_CLUSTER_RUNTIME_CONFIG, "default", spec=config)
    await world.create(
        AIM_CLUSTER_MODEL_SOURCE, source, spec={"filters": [{"image": image}]}, metadata={"labels": labels}
    )
    await world.until(lambda: children(AIM_CLUSTER_MODEL, source), has_labels)
    await world.client.delete(AIM_CLUSTER_RUNTIME_CONFIG, Key("", "default"), reason="test")
    await world.client.delete(AIM_CLUSTER_MODEL_SOURCE, Key("", source), reason="test")


async def make_catalog(world: ModelWorld, models: int, hardware: Manifest, prefix: str) -> None:
    """Models with four templates each, whose sources are given."""
    entries = [{"name": f"t{index}"} for index in range(4)]
    for index in range(models):
        spec = {"image": f"img:{index}", "modelSources": [SOURCE], "custom": {"hardware": hardware}}
        spec |= {"customTemplates": entries, "discovery": {"extractMetadata": False}}
        await world.create(AIM_MODEL, f"{prefix}{index}", spec=spec)


@pytest.mark.parametrize(
    ("models", "quiet", "patience"),
    [(20, 5.0, 180.0), pytest.param(500, 60.0, 900.0, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])],
)
async def test_a_settled_catalog_is_left_alone(world: ModelWorld, models: int, quiet: float, patience: float) -> None:
    with_gpu = models // 2
    await make_catalog(world, with_gpu, {"gpu": {"model": "MI300X", "requests": 1}}, "gpu-")
    await make_catalog(world, models - with_gpu, {"cpu": {"requests": "4"}}, "cpu-")

    async def words() -> dict[str, int]:
        found = await world.client.list(AIM_MODEL, namespace=world.namespace)
        return Counter(str((item.get("status") or {}).get("status")) for item in found)

    await world.until(words, lambda seen: seen == {"Ready": models}, patience)
    await asyncio.sleep(2)
    assert len(await world.client.list(AIM_SERVICE_TEMPLATE, namespace=world.namespace)) == models * 4
    before = len(world.writes())
    await asyncio.sleep(quiet)
    assert world.writes()[before:] == []

    async def elsewhere() -> list[str]:
        """What earlier tests left would be looked at as well, so it goes."""
        left = [
            (kind, key_of(item))
            for kind in (AIM_MODEL, AIM_SERVICE_TEMPLATE)
            for item in await world.client.list(kind)
            if item["metadata"]["namespace"] != world.namespace
        ]
        for kind, key in left:
            with suppress(NotFound):
                await world.client.delete(kind, key, reason="test")
        return [key.name for _, key in left]

    await world.until(elsewhere, lambda found: found == [], 60)
    await asyncio.sleep(2)
    turns = world.turns()
    labels = {"amd.com/gpu.device-id": "74a1", "amd.com/gpu.driver-version": uuid4().hex}
    await world.client.patch(NODE, Key("", "gpu-node"), {"metadata": {"labels": labels}}, reason="test")

    async def since() -> dict[str, float]:
        return {name: count - turns[name] for name, count in world.turns().items() if count > turns[name]}

    await world.until(since, lambda seen: seen.get("service-template", 0) >= with_gpu * 4, patience)
    await asyncio.sleep(1)
    assert (await since())["service-template"] == with_gpu * 4
    assert world.writes()[before:] == []


async def test_places_for_discovery_jobs_are_kept(world: ModelWorld) -> None:
    """Prove TPL-DSC-2 and TPL-DSC-17: a namespace has at most half of the places."""
    await world.create(AIM_MODEL, "m", spec={"image": "img:1", "discovery": OFF})
    for index in range(14):
        await world.create(AIM_SERVICE_TEMPLATE, f"t{index}", spec={"modelName": "m"})

    async def running() -> set[str]:
        """Those of the namespace; those of other tests count as well, since the places are the cluster's."""
        jobs = await world.client.list(JOB, label_selector="app.kubernetes.io/component=discovery")
        ended = [job for job in jobs if any(c["type"] == "Failed" for c in job["status"].get("conditions") or ())]
        assert len(jobs) - len(ended) <= 10
        own = (job["metadata"] for job in jobs if job not in ended)
        return {metadata["uid"] for metadata in own if metadata["namespace"] == world.namespace}

    first = await world.until(running, lambda found: len(found) == 5)
    await asyncio.sleep(1)
    assert await running() == first
    own = await world.client.list(JOB, namespace=world.namespace)
    await world.client.delete(JOB, Key(world.namespace, own[0]["metadata"]["name"]), reason="test")
    await world.until(running, lambda found: len(found) == 5 and found != first)


@pytest.mark.parametrize("names", ["account in template", "account in model", "Secret", "ConfigMap"])
async def test_a_catalog_editor_borrows_nothing_of_the_operators_namespace(world: ModelWorld, names: str) -> None:
    """The namespace of this world is the operator's (TPL-DSC-16)."""
    model, template = unique("model"), unique("evil")
    account = {"serviceAccountName": "aim-engine-controller-manager"}
    source = {"Secret": "secretKeyRef", "ConfigMap": "configMapKeyRef"}.get(names, "")
    env = [{"name": "X", "valueFrom": {source: {"name": "any-of-aim-system", "key": "k"}}}] if source else []
    of_model = account if names == "account in model" else {}
    of_template = account if names == "account in template" else {}
    spec = {"image": "evil.example/steal:1", "discovery": {"extractMetadata": False}, **of_model}
    await world.create(AIM_CLUSTER_MODEL, model, spec=spec)
    await world.create(AIM_CLUSTER_SERVICE_TEMPLATE, template, spec={"modelName": model, "env": env, **of_template})
    live = await world.until_word(AIM_CLUSTER_SERVICE_TEMPLATE, template, "Failed")
    assert condition(live, "DiscoveryJobReady") == ("False", "ReferenceNotAllowed")
    assert condition(live, "Discovered") == ("False", "ReferenceNotAllowed")
    assert await world.client.list(JOB, namespace=world.namespace) == []
    await world.client.delete(AIM_CLUSTER_SERVICE_TEMPLATE, Key("", template), reason="test")
    await world.client.delete(AIM_CLUSTER_MODEL, Key("", model), reason="test")


async def test_objects_in_the_operators_namespace_cannot_name_its_account(world: ModelWorld) -> None:
    """Prove OBJ-TEN-10."""
    spec = {"image": "evil.example/steal:1", "discovery": {"extractMetadata": False}}
    await world.create(AIM_MODEL, "mine", spec=spec)
    account = "aim-engine-controller-manager"
    await world.create(AIM_SERVICE_TEMPLATE, "evil", spec={"modelName": "mine", "serviceAccountName": account})
    live = await world.until_word(AIM_SERVICE_TEMPLATE, "evil", "Failed")
    assert condition(live, "DiscoveryJobReady") == ("False", "ReferenceNotAllowed")
    assert await world.client.list(JOB, namespace=world.namespace) == []
