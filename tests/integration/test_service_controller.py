"""The service controller on a real API server; the test plays the other controllers, KServe and the gateway."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import yaml

from aimd.planning.kinds import (
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.labels import AUTOSCALER_CLASS_ANNOTATION, SERVED_MODEL_ANNOTATION
from aimd.runtime.kinds import CONFIG_MAP, HORIZONTAL_POD_AUTOSCALER
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.service_world import (
    ServiceWorld,
    container_of,
    fill_cache,
    gateway,
    provide,
    serve,
    service_world,
    usable,
)


def paths_of(inference_service: Manifest) -> set[str]:
    """Where something is mounted."""
    return {mount["mountPath"] for mount in container_of(inference_service)["volumeMounts"]}


@pytest.fixture
async def world(api_server: ControlPlane) -> AsyncIterator[ServiceWorld]:
    async with service_world(api_server) as running, gateway(running):
        yield running


async def test_a_service_comes_up_settles_follows_edits_and_goes(world: ServiceWorld) -> None:
    env = [{"name": "KEEP", "value": "1"}, {"name": "DROP", "value": "1"}]
    spec = {"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}, "env": env}
    await world.create(AIM_SERVICE, "chat", spec=spec)
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
    settled = world.writes(everything=True)
    for _ in range(3):  # a change that touches nothing of ours still wakes the service
        labels = {"metadata": {"labels": {"touched": uuid4().hex}}}
        await world.client.patch(AIM_SERVICE, Key(world.namespace, "chat"), labels, reason="test")
        await asyncio.sleep(0.5)
    assert world.writes(everything=True) == settled

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

    await world.client.delete(AIM_SERVICE, Key(world.namespace, "chat"), reason="test")

    async def gone() -> Manifest:
        return {"left": await world.client.list(AIM_SERVICE, namespace=world.namespace)}

    await world.until(gone, lambda seen: not seen["left"])
    assert (await world.only(AIM_TEMPLATE_CACHE))["status"]["status"] == "Ready"


async def test_a_running_service_outlives_its_template(world: ServiceWorld) -> None:
    await provide(world)
    await world.create(AIM_SERVICE, "chat", spec={"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}})
    await fill_cache(world)
    name = await serve(world)
    await world.until_word("Running")
    before = await world.get(INFERENCE_SERVICE, name)

    await world.report(AIM_SERVICE_TEMPLATE, "tiny-latency", {"status": "NotAvailable"})
    noticed = await world.until(
        world.service, lambda live: "TemplateNotReady" in {item["reason"] for item in live["status"]["conditions"]}
    )
    assert noticed["status"]["status"] == "Running"
    degraded = await world.until_word("Degraded")
    assert degraded["status"]["resolvedTemplate"]["name"] == "tiny-latency"
    await world.report(AIM_SERVICE_TEMPLATE, "tiny-latency", {"status": "Ready"})
    await world.until_word("Running")
    after = await world.get(INFERENCE_SERVICE, name)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_profile_runs_a_fine_tune_follows_edits_and_goes(world: ServiceWorld) -> None:
    """Prove SVC-PRF-1, SVC-PRF-2, SVC-VOL-4, SVC-ENV-3 and SVC-DEL-1."""
    await provide(world)
    profile = {
        "modelName": "tiny",
        "aimId": "acme/tiny",
        "modelId": "acme/tiny",
        "metric": "latency",
        "precision": "fp16",
        "hardware": {"gpu": {"model": "mi300x", "requests": 1}},
        "customProfile": {"engineArgs": {"dtype": "float16"}},
        "modelSources": [{"modelId": "my-org/tuned", "sourceUri": "s3://bucket/tuned"}],
    }
    await world.create(AIM_SERVICE_TEMPLATE, "tuned", spec=profile, status=usable("latency", "my-org/tuned"))
    await world.create(AIM_SERVICE, "chat", spec={"model": {"name": "tiny"}, "template": {"name": "tuned"}})
    await fill_cache(world, "tuned", "my-org/tuned")
    name = await serve(world)
    await world.until_word("Running")

    live = await world.get(INFERENCE_SERVICE, name)
    variables = {item["name"]: item["value"] for item in container_of(live)["env"]}
    assert variables["AIM_ID"] == "acme/tiny"
    assert variables["AIM_PROFILE_ID"] == "custom/acme/tiny/vllm-mi300x-fp16-tp1-latency"
    assert "AIM_MODEL_ID" not in variables
    folders = "/dev/shm", "/workspace/aim-runtime/profiles/custom/acme/tiny"
    weights = "/workspace/cache/my-org/tuned", "/workspace/cache/acme/tiny"
    assert paths_of(live) == {*folders, *weights}
    file = (await world.of_service(CONFIG_MAP, "chat"))["data"]["vllm-mi300x-fp16-tp1-latency.yaml"]
    assert yaml.safe_load(file)["metadata"]["gpu"] == "MI300X"

    async def edit_template(**spec: object) -> None:
        await world.client.patch(AIM_SERVICE_TEMPLATE, Key(world.namespace, "tuned"), {"spec": spec}, reason="test")

    first = live["spec"]["predictor"]["annotations"]
    await edit_template(modelId="acme/large", customProfile={"engineArgs": {"dtype": "bfloat16"}})
    live = await world.until(
        lambda: world.get(INFERENCE_SERVICE, name), lambda seen: "/workspace/cache/acme/large" in paths_of(seen)
    )
    assert live["spec"]["predictor"]["annotations"] != first
    assert paths_of(live) == {*folders, weights[0], "/workspace/cache/acme/large"}

    await edit_template(customProfile=None)
    live = await world.until(lambda: world.get(INFERENCE_SERVICE, name), lambda seen: folders[1] not in paths_of(seen))
    assert paths_of(live) == {folders[0], weights[0]}
    variables = {item["name"]: item.get("value", "") for item in container_of(live)["env"]}
    assert (variables["AIM_MODEL_ID"], variables["AIM_ID"]) == ("my-org/tuned", "")
    assert (variables["AIM_GPU_MODEL"], variables["AIM_ALLOW_GENERAL_PROFILE_FALLBACK"]) == ("MI300X", "true")
    assert live["spec"]["predictor"].get("annotations", {}) == {}

    async def profiles() -> Manifest:
        selector = "aim.eai.amd.com/service.name=chat"
        return {"left": await world.client.list(CONFIG_MAP, namespace=world.namespace, label_selector=selector)}

    await world.until(profiles, lambda seen: not seen["left"])


async def test_a_profile_that_no_image_loads_starts_nothing(world: ServiceWorld) -> None:
    """Prove TPL-PRF-2 and SVC-PRF-3."""
    await provide(world)
    profile = {
        "modelName": "tiny",
        "aimId": "acme/tiny",
        "modelId": "acme/tiny",
        "metric": "latency",
        "precision": "auto",
        "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
        "customProfile": {},
    }
    await world.create(AIM_SERVICE_TEMPLATE, "auto", spec=profile, status=usable("latency"))
    await world.create(AIM_SERVICE, "chat", spec={"model": {"name": "tiny"}, "template": {"name": "auto"}})
    failed = await world.until_word("Failed")
    told = next(item for item in failed["status"]["conditions"] if item["type"] == "TemplateReady")
    assert told["message"] == (
        "Template auto: precision is 'auto'; with customProfile, set it to fp4, fp8, fp16, fp32, bf16, int4 or int8"
    )
    assert await world.client.list(AIM_TEMPLATE_CACHE, namespace=world.namespace) == []


async def test_what_is_switched_off_goes_with_all_that_it_made(world: ServiceWorld) -> None:
    await provide(world)
    spec = {"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}}
    switched_on = {"overrides": {"metric": "throughput"}, "minReplicas": 1, "maxReplicas": 3}
    await world.create(AIM_SERVICE, "chat", spec={**spec, **switched_on})
    derived = (await world.until(lambda: world.of_service(AIM_SERVICE_TEMPLATE, "chat")))["metadata"]["name"]
    await world.report(AIM_SERVICE_TEMPLATE, derived, usable("throughput"))
    await fill_cache(world, derived)
    name = await serve(world)
    await act_as_kserve_and_keda(world, name)
    scaling = await world.until(world.service, lambda live: live["status"]["runtime"]["maxReplicas"] == 3)
    assert scaling["status"]["resolvedTemplate"]["name"] == derived
    assert {"HPAReady", "HTTPRouteReady"} <= conditions_of(scaling)

    await world.edit(overrides=None, minReplicas=None, maxReplicas=None, routing={"enabled": False})
    await fill_cache(world)

    async def left() -> Manifest:
        kinds = (HTTP_ROUTE, SCALED_OBJECT, AIM_SERVICE_TEMPLATE)
        found = [item for kind in kinds for item in await world.client.list(kind, namespace=world.namespace)]
        return {"left": [item["metadata"]["name"] for item in found]}

    await world.until(left, lambda seen: seen["left"] == ["tiny-latency"])
    plain = await world.until_word("Running")
    assert not {"HPAReady", "HTTPRouteReady"} & conditions_of(plain)
    assert "routing" not in plain["status"]
    assert plain["status"]["runtime"]["replicas"] == "1"
    assert plain["status"]["resolvedTemplate"]["name"] == "tiny-latency"
    live = await world.get(INFERENCE_SERVICE, name)
    assert set(live["metadata"]["annotations"]) == {SERVED_MODEL_ANNOTATION, AUTOSCALER_CLASS_ANNOTATION}
    assert "autoScaling" not in live["spec"]["predictor"]
    assert {"name": "AIM_METRIC", "value": "latency"} in container_of(live)["env"]


async def act_as_kserve_and_keda(world: ServiceWorld, inference_service: str) -> None:
    """KServe's ScaledObject, which it leaves behind, and KEDA's autoscaler, which goes with it."""
    name, labels = f"{inference_service}-predictor", {"aim.eai.amd.com/service.name": "chat"}
    owner = await world.get(INFERENCE_SERVICE, inference_service)
    spec = {"scaleTargetRef": {"name": name}, "triggers": [{"type": "external", "metadata": {}}]}
    await world.create(SCALED_OBJECT, name, metadata={"labels": labels, **owned_by(owner)}, spec=spec)
    owner = await world.get(SCALED_OBJECT, name)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    await world.create(
        HORIZONTAL_POD_AUTOSCALER,
        f"keda-hpa-{name}",
        metadata={"labels": labels, **owned_by(owner)},
        spec={"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3},
    )


def owned_by(owner: Manifest) -> Manifest:
    metadata = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"]}
    return {"ownerReferences": [{**reference, "uid": metadata["uid"], "controller": True}]}


def conditions_of(service: Manifest) -> set[str]:
    return {item["type"] for item in service["status"]["conditions"]}


async def test_a_cache_that_never_got_ready_goes_with_its_service(world: ServiceWorld) -> None:
    await provide(world)
    await world.create(AIM_SERVICE, "chat", spec={"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}})
    cache = await world.until(lambda: world.only(AIM_TEMPLATE_CACHE))
    await world.report(AIM_TEMPLATE_CACHE, cache["metadata"]["name"], {"status": "Failed"})
    failed = await world.until_word("Failed")
    assert "CacheFailed" in {item["reason"] for item in failed["status"]["conditions"]}
    await world.client.delete(AIM_SERVICE, Key(world.namespace, "chat"), reason="test")

    async def left() -> Manifest:
        return {"left": await world.client.list(AIM_TEMPLATE_CACHE, namespace=world.namespace)}

    await world.until(left, lambda seen: not seen["left"])
