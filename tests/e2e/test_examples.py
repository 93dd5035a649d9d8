"""The manifests of `examples/`, each applied as it is, do what the user's page promises of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
)
from aimd.runtime.client import Client
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import CONFIG_MAP, HORIZONTAL_POD_AUTOSCALER, NAMESPACE
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.sandbox.aim_image.images import BASE, HOST
from aimd.sandbox.cluster import Sandbox
from aimd.sandbox.hub import make_repository
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.e2e.world import REPOSITORY, REPOSITORY_BYTES, Operator, World, condition, status_word
from tests.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACE_NAME = "ml-team"
PROFILES = "/workspace/aim-runtime/profiles/custom/"
NO_BUCKET_HERE = {"s3://my-bucket/weights/": f"hf://{REPOSITORY}"}
NO_DOCKER_HUB_HERE = {"registry": HOST, "versions": [">=0.12.0"]}


class Team(World):
    """The namespace of the page, with its catalog."""

    async def found(self, kind: Kind, service: str) -> list[Manifest]:
        """`kubectl -n ml-team get <kind> -l aim.eai.amd.com/service.name=<service>`."""
        label = f"aim.eai.amd.com/service.name={service}"
        return await self.client.list(kind, namespace=self.namespace, label_selector=label)

    @asynccontextmanager
    async def example(self, path: str) -> AsyncIterator[Manifest]:
        """The Running service of an example file, deleted again in the end."""
        name = (await self.add(path))["metadata"]["name"]
        try:
            yield await self.wait_running(name)
        finally:
            await self.client.delete(AIM_SERVICE, Key(self.namespace, name), reason="test")

    async def add(self, path: str) -> Manifest:
        """Applies a file; gives its last manifest."""
        manifests = [reachable(manifest) for manifest in read_manifests(EXAMPLES / path)]
        await apply_manifests(self.client, manifests)
        return manifests[-1]

    async def answers(self, path: str) -> bool:
        """Whether the model answers under a path of the gateway."""
        async with httpx.AsyncClient(base_url=self.sandbox.gateway_url, trust_env=False, timeout=30) as http:
            body = {"model": "Qwen/Qwen3-32B", "messages": [{"role": "user", "content": "hello"}]}
            response = await http.post(f"{path}/v1/chat/completions", json=body)
        return response.status_code == 200 and "hello" in response.json()["choices"][0]["message"]["content"]

    async def columns(self, kind: Kind, plural: str, name: str) -> dict[str, Any]:
        """What `kubectl get <kind> <name>` prints, by column."""
        path = f"/apis/{kind.api_version}/namespaces/{self.namespace}/{plural}/{name}"
        async with self.sandbox.control_plane.http() as http:
            accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
            table = (await http.get(path, headers={"Accept": accept})).json()
        names = [column["name"] for column in table["columnDefinitions"]]
        return dict(zip(names, table["rows"][0]["cells"], strict=True))


def reachable(manifest: Manifest) -> Manifest:
    """The manifest as it is, but for what only the internet has: bucket, registries, labels of images."""
    spec = manifest.get("spec") or {}
    for source in spec.get("modelSources", ()):
        source["sourceUri"] = NO_BUCKET_HERE.get(source["sourceUri"], source["sourceUri"])
    if manifest["kind"] == AIM_MODEL.name:
        spec["discovery"] = {"extractMetadata": False}
    if custom := (spec.get("model") or {}).get("custom"):
        custom["baseImage"] = BASE.reference
    if manifest["kind"] == AIM_CLUSTER_MODEL_SOURCE.name:
        spec |= NO_DOCKER_HUB_HERE
    return manifest


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def team(sandbox: Sandbox, client: Client, operator: Operator) -> AsyncIterator[Team]:
    for repository in ("Qwen/Qwen3-32B", "meta-llama/Llama-3-8B"):
        make_repository(sandbox.hub_root, repository, REPOSITORY_BYTES)
    team = Team(sandbox, client, operator, NAMESPACE_NAME)
    for file in ("00-namespace", "model", "template"):
        await team.add(f"catalog/{file}.yaml")
    yield team
    await client.delete(NAMESPACE, Key("", NAMESPACE_NAME), reason="test")


def container(inference_service: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = inference_service["spec"]["predictor"]["containers"][0]
    return found


def environment(inference_service: Manifest) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container(inference_service)["env"]}


def reference(status: Manifest, name: str) -> tuple[str, ...]:
    resolved = status[name]
    assert resolved["uid"]
    return tuple(resolved.get(key, "") for key in ("name", "namespace", "scope", "kind"))


async def test_a_service_of_an_image_and_nothing_else(team: Team) -> None:
    async with team.example("service/minimal.yaml") as live:
        status = live["status"]
        assert status["observedGeneration"] == live["metadata"]["generation"]
        assert reference(status, "resolvedModel")[0] == "qwen-qwen3-32b"
        assert reference(status, "resolvedTemplate")[0] == "qwen3-32b-latency"
        assert condition(live, "HTTPRouteReady") == condition(live, "HPAReady") == {}
        row = await team.columns(AIM_SERVICE, "aimservices", "qwen-minimal")
        assert [row[name] for name in ("Status", "Model", "Template", "Replicas")] == [
            "Running",
            "qwen-qwen3-32b",
            "qwen3-32b-latency",
            "1",
        ]


async def test_the_complete_example_shows_the_status_of_the_page(team: Team) -> None:
    await team.add("authentication/secrets.yaml")
    await team.add("runtime-config/team-config.yaml")
    async with team.example("service/complete.yaml") as live:
        status = live["status"]
        told = {item["type"]: (item["status"], item["reason"], item["message"]) for item in status["conditions"]}
        promised = {
            "ModelReady": ("True", "ModelResolved", "AIMModel qwen-qwen3-32b is ready"),
            "TemplateReady": ("True", "Resolved", "AIMClusterServiceTemplate qwen3-32b-latency is ready"),
            "CacheReady": ("True", "CacheReady", "Template cache is ready"),
            "InferenceServiceReady": ("True", "RuntimeReady", "InferenceService is ready"),
            "HTTPRouteReady": ("True", "HTTPRouteAccepted", "HTTPRoute is accepted by gateway"),
            "Ready": ("True", "AllComponentsReady", "All components are ready"),
        }
        assert {name: told[name] for name in promised} == promised
        group = "aim.eai.amd.com/v1alpha1"
        assert reference(status, "resolvedRuntimeConfig") == (
            "team-config",
            NAMESPACE_NAME,
            "Namespace",
            f"{group}/AIMRuntimeConfig",
        )
        assert reference(status, "resolvedModel") == (
            "qwen-qwen3-32b",
            NAMESPACE_NAME,
            "Namespace",
            f"{group}/AIMModel",
        )
        template = ("qwen3-32b-latency", "", "Cluster", f"{group}/AIMClusterServiceTemplate")
        assert reference(status, "resolvedTemplate") == template
        assert status["routing"]["path"] == "/team/research/chat"
        assert status["runtime"]["replicas"] == "2"
        inference_service = await team.inference_service("qwen-chat")
        assert inference_service["metadata"]["name"] == "qwen-chat-a04542d9"
        token = {"secretKeyRef": {"name": "huggingface-creds", "key": "token"}}
        assert environment(inference_service)["HF_TOKEN"] == token
        assert container(inference_service)["resources"]["limits"] == {
            "amd.com/gpu": "1",
            "cpu": "6",
            "memory": "48Gi",
        }
        assert await team.answers("/team/research/chat")


async def test_scaling(team: Team) -> None:
    async with team.example("scaling/service.yaml") as live:
        assert live["status"]["runtime"]["replicas"] == "3"
        predictor = (await team.inference_service("qwen-scaled"))["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (3, 3)


@pytest.mark.parametrize(("file", "name", "maximum"), [("bounds", "qwen-bounds", 5), ("metrics", "qwen-metrics", 3)])
async def test_autoscaling(team: Team, file: str, name: str, maximum: int) -> None:
    """KEDA is a stand-in, which makes the HorizontalPodAutoscaler of the page's name; the one that works is real."""
    await team.add(f"autoscaling/{file}.yaml")
    try:
        inference_service = await wait_until("an InferenceService", lambda: team.inference_service(name), bool)
        assert inference_service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "keda"
        predictor = inference_service["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, maximum)
        source = predictor["autoScaling"]["metrics"][0]["podmetric"]
        assert source["metric"]["query"] == "vllm:num_requests_running"
        assert source["target"] == {"type": "Value", "value": "1"}
        live = await wait_until(
            "HPAReady", lambda: team.service(name), lambda live: condition(live, "HPAReady").get("status") == "True"
        )
        assert condition(live, "HPAReady")["reason"] == "HPAOperational"
        assert live["status"]["runtime"]["replicas"] == f"1/1 (1-{maximum})"
        (autoscaler,) = await team.found(HORIZONTAL_POD_AUTOSCALER, name)
        assert autoscaler["metadata"]["name"] == f"keda-hpa-{inference_service['metadata']['name']}-predictor"
    finally:
        await team.client.delete(AIM_SERVICE, Key(team.namespace, name), reason="test")


async def test_resources(team: Team) -> None:
    async with team.example("resources/service.yaml"):
        assert container(await team.inference_service("qwen-resources"))["resources"] == {
            "limits": {"amd.com/gpu": "1", "cpu": "8", "memory": "64Gi"},
            "requests": {"amd.com/gpu": "1", "cpu": "4", "memory": "32Gi"},
        }


async def test_a_runtime_config_by_name(team: Team) -> None:
    await team.add("runtime-config/team-config.yaml")
    async with team.example("runtime-config/service.yaml") as live:
        assert live["status"]["resolvedRuntimeConfig"]["name"] == "team-config"
        assert live["status"]["routing"]["path"] == "/ml-team/qwen-configured"
        assert (await team.inference_service("qwen-configured"))["metadata"]["labels"]["team"] == "research"


@pytest.mark.parametrize(
    ("file", "name", "path"),
    [
        ("gateway", "qwen-routed", "/ml-team/qwen-routed"),
        ("path-template", "qwen-path", "/ml-team/chat/qwen-path"),
    ],
)
async def test_routing(team: Team, file: str, name: str, path: str) -> None:
    async with team.example(f"routing/{file}.yaml") as live:
        assert live["status"]["routing"]["path"] == path
        (route,) = await team.found(HTTP_ROUTE, name)
        assert route["spec"]["parentRefs"][0]["name"] == "inference-gateway"
        assert condition(live, "HTTPRouteReady")["reason"] == "HTTPRouteAccepted"
        assert await team.answers(path)
        if file == "path-template":
            await trouble_with_the_path(team, name)


async def trouble_with_the_path(team: Team, name: str) -> None:
    """A label that is not there degrades the service, and the page's command says why."""
    routing = {"pathTemplate": "/{.metadata.labels['team']}"}
    await team.client.patch(AIM_SERVICE, Key(team.namespace, name), {"spec": {"routing": routing}}, reason="test")
    live = await wait_until("Degraded", lambda: team.service(name), lambda live: status_word(live) == "Degraded")
    assert condition(live, "HTTPRouteReady")["reason"] == "PathTemplateInvalid"
    assert "team" in condition(live, "HTTPRouteReady")["message"]


async def test_authentication(team: Team) -> None:
    await team.add("authentication/secrets.yaml")
    async with team.example("authentication/hugging-face-token.yaml"):
        token = {"secretKeyRef": {"name": "huggingface-creds", "key": "token"}}
        assert environment(await team.inference_service("qwen-gated"))["HF_TOKEN"] == token
    async with team.example("authentication/pull-secret.yaml"):
        predictor = (await team.inference_service("qwen-private"))["spec"]["predictor"]
        assert predictor["imagePullSecrets"] == [{"name": "registry-credentials"}]


async def test_a_custom_profile_on_a_template(team: Team) -> None:
    await team.add("custom-profile/template.yaml")
    template = await wait_until(
        "the template Ready",
        lambda: team.get(AIM_SERVICE_TEMPLATE, "llama-3-8b-custom"),
        lambda live: status_word(live) == "Ready",
    )
    assert (await team.columns(AIM_SERVICE_TEMPLATE, "aimservicetemplates", "llama-3-8b-custom"))["Status"] == "Ready"
    async with team.example("custom-profile/service.yaml"):
        await shows_its_profile(team, "llama-custom", template, "PYTORCH_TUNABLEOP_ENABLED")


async def test_a_custom_profile_on_a_model_is_chosen_by_itself(team: Team) -> None:
    await team.add("custom-profile/model.yaml")
    async with team.example("custom-profile/model-service.yaml") as live:
        name = live["status"]["resolvedTemplate"]["name"]
        template = await team.get(AIM_SERVICE_TEMPLATE, name)
        assert template["metadata"]["labels"]["aim.eai.amd.com/template.alias"] == "llama-custom-tp1"
        await shows_its_profile(team, "llama-finetuned", template, "HIP_FORCE_DEV_KERNARG")


async def shows_its_profile(team: Team, service: str, template: Manifest, variable: str) -> None:
    """What the page's verifying commands look for."""
    (config_map,) = await team.found(CONFIG_MAP, service)
    (profile,) = config_map["data"].values()
    assert "gpu-memory-utilization: 0.95" in profile
    assert variable in profile
    (inference_service,) = await team.found(INFERENCE_SERVICE, service)
    assert any(mount["mountPath"].startswith(PROFILES) for mount in container(inference_service)["volumeMounts"])
    variables = environment(inference_service)
    assert variables["AIM_ID"] == template["spec"]["aimId"]
    assert variables["AIM_PROFILE_ID"].startswith("custom/meta-llama/Llama-3-8B/")


async def test_a_dedicated_cache_goes_with_its_service(team: Team) -> None:
    async with team.example("caching/dedicated.yaml") as live:
        name = live["status"]["cache"]["templateCacheRef"]["name"]
        cache = await team.get(AIM_TEMPLATE_CACHE, name)
        assert cache["spec"]["mode"] == "Dedicated"
        assert cache["metadata"]["ownerReferences"][0]["name"] == "qwen-dedicated"

    async def left() -> Manifest:
        return {"names": [item["metadata"]["name"] for item in await team.client.list(AIM_TEMPLATE_CACHE)]}

    await wait_until("its cache gone", left, lambda seen: name not in seen["names"])


async def test_a_model_that_is_not_there_is_not_found(team: Team) -> None:
    """`kubectl get aimmodel <model-name>` finds nothing, and the service says the same."""
    manifest = {
        "apiVersion": AIM_SERVICE.api_version,
        "kind": AIM_SERVICE.name,
        "metadata": {"name": "nothing", "namespace": team.namespace},
        "spec": {"model": {"name": "nothing"}},
    }
    await team.apply(manifest)
    live = await wait_until("Failed", lambda: team.service("nothing"), lambda live: status_word(live) == "Failed")
    assert condition(live, "ModelReady")["reason"] == "ModelNotFound"
    with pytest.raises(NotFound):
        await team.get(AIM_MODEL, "nothing")
    await team.client.delete(AIM_SERVICE, Key(team.namespace, "nothing"), reason="test")


TESTED = {
    "authentication/hugging-face-token.yaml",
    "authentication/pull-secret.yaml",
    "autoscaling/bounds.yaml",
    "autoscaling/metrics.yaml",
    "caching/dedicated.yaml",
    "custom-profile/model-service.yaml",
    "custom-profile/service.yaml",
    "resources/service.yaml",
    "routing/gateway.yaml",
    "routing/path-template.yaml",
    "runtime-config/service.yaml",
    "scaling/service.yaml",
    "service/complete.yaml",
    "service/minimal.yaml",
}
PAGES_RUN_THEM = {
    "by-image/service.yaml",
    "by-name/service.yaml",
    "custom-model/service.yaml",
    "quickstart/service.yaml",
    "templates/overrides.yaml",
}
"""By test_pages.py, until the service is Running; the demo has the quickstart and the image in the usual run."""


async def test_every_example_is_tested() -> None:
    files = {str(path.relative_to(EXAMPLES)): path for path in EXAMPLES.rglob("*.yaml")}
    services = {name for name, path in files.items() if read_manifests(path)[-1]["kind"] == AIM_SERVICE.name}
    assert services - PAGES_RUN_THEM == TESTED
