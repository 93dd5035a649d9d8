"""A real API server on our CRDs: it takes them, fills in defaults, and lets through what users write.

What single facts and rules refuse is test_schema's. Server-side apply refuses fields that the schema does not know, so
everything here is validated strictly.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

from aimd.api.crd import render
from aimd.api.kinds import (
    AIM_ARTIFACT_RESOURCE,
    AIM_CLUSTER_MODEL_RESOURCE,
    AIM_CLUSTER_MODEL_SOURCE_RESOURCE,
    AIM_CLUSTER_SERVICE_TEMPLATE_RESOURCE,
    AIM_MODEL_RESOURCE,
    AIM_RUNTIME_CONFIG_RESOURCE,
    AIM_SERVICE_RESOURCE,
    AIM_SERVICE_TEMPLATE_RESOURCE,
    AIM_TEMPLATE_CACHE_RESOURCE,
    RESOURCES,
    ApiResource,
)
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import ApiError, Invalid, NotFound
from aimd.runtime.kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from aimd.runtime.objects import Key, Kind, Manifest, key_of
from aimd.sandbox.manifests import kind_of as kind_by_name
from aimd.sandbox.manifests import read_manifests

WHO = "crd-tests"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))

GPU = {"gpu": {"model": "MI300X", "requests": 1}}
SOURCES = [{"modelId": "org/name", "sourceUri": "hf://org/name", "size": "16Gi"}]
PROFILE = {"engineArgs": {"dtype": "float16", "nested": {"share": 0.95, "on": True}}, "envVars": {"A": "1"}}
TEMPLATE = {
    "modelName": "llama",
    "aimId": "meta-llama/Llama-3-8B",
    "modelId": "meta-llama/Llama-3-8B",
    "metric": "latency",
    "precision": "fp16",
    "hardware": GPU,
    "customProfile": PROFILE,
}
CUSTOM_TEMPLATE = {
    "name": "tuned",
    "aimId": "meta-llama/Llama-3-8B",
    "modelId": "meta-llama/Llama-3-8B",
    "hardware": GPU,
    "profile": {"metric": "latency", "precision": "fp16"},
    "customProfile": PROFILE,
}


class ApiServer(Protocol):
    """What this test needs of the fixture."""

    kubeconfig: Path


def kind_of(resource: ApiResource) -> Kind:
    return Kind(resource.group, resource.version, resource.kind, resource.plural, resource.namespaced)


@asynccontextmanager
async def connected(api_server: ApiServer, *, dry_run: bool = False) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig, dry_run=dry_run)) as client:
        yield client


async def install(client: Client) -> None:
    """Applies the CRDs and waits until their objects are served."""
    for resource in RESOURCES:
        await client.apply(CUSTOM_RESOURCE_DEFINITION, render(resource), field_manager=WHO, reason="test")
    async with asyncio.timeout(30):
        for resource in RESOURCES:
            while True:
                try:
                    await client.list(kind_of(resource))
                    break
                except NotFound:
                    await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> ApiServer:
    """The API server with the CRDs installed."""

    async def run() -> None:
        async with connected(api_server) as client:
            await install(client)

    asyncio.run(run())
    return api_server


class World:
    """Writes objects under names of their own."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self._made: set[tuple[Kind, Key]] = set()

    async def apply(self, resource: ApiResource, body: Manifest, name: str = "") -> Manifest:
        """Applies `body` (spec and the like) and returns what the server stored, read by the model once."""
        metadata = {"name": name or f"x{uuid4().hex[:10]}"}
        if resource.namespaced:
            metadata["namespace"] = self.namespace
        manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}
        stored = await self.client.apply(kind_of(resource), manifest, field_manager=WHO, reason="test")
        resource.model.model_validate(stored)
        self._made.add((kind_of(resource), key_of(stored)))
        return stored

    async def clear(self) -> None:
        """Deletes what was made; others use the same server."""
        for kind, key in self._made:
            await self.client.delete(kind, key, reason="test")

    async def set_status(self, resource: ApiResource, stored: Manifest, status: Manifest) -> Manifest:
        return await self.client.patch(
            kind_of(resource),
            key_of(stored),
            {"status": status},
            reason="test",
            subresource="status",
            field_manager=WHO,
        )


@pytest.fixture
async def world(server: ApiServer) -> AsyncIterator[World]:
    async with connected(server) as client:
        namespace = f"crds-{uuid4().hex[:10]}"
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await client.apply(NAMESPACE, manifest, field_manager=WHO, reason="test")
        world = World(client, namespace)
        yield world
        await world.clear()


async def test_all_kinds_are_established(server: ApiServer) -> None:
    async with connected(server) as client:
        for resource in RESOURCES:
            key = Key("", f"{resource.plural}.{resource.group}")
            crd = await client.get(CUSTOM_RESOURCE_DEFINITION, key)
            conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
            assert conditions == {"NamesAccepted": "True", "Established": "True"}, resource.kind


async def test_a_crd_field_that_kubernetes_does_not_know_would_be_refused(server: ApiServer) -> None:
    crd = render(AIM_SERVICE_RESOURCE)
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-made-up"] = True
    async with connected(server, dry_run=True) as client:
        with pytest.raises(ApiError, match="field not declared in schema"):
            await client.apply(CUSTOM_RESOURCE_DEFINITION, crd, field_manager=WHO, reason="test")


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
async def test_an_object_without_spec_is_accepted(world: World, resource: ApiResource) -> None:
    stored = await world.apply(resource, {})
    assert "spec" not in stored
    assert "status" not in stored


ACCEPTED = [
    pytest.param(AIM_SERVICE_RESOURCE, {"model": {"name": "qwen"}}, id="model by name"),
    pytest.param(AIM_SERVICE_RESOURCE, {"model": {"name": ""}}, id="presence counts, not content"),
    pytest.param(
        AIM_SERVICE_RESOURCE, {"model": {"image": "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5"}}, id="model by image"
    ),
    pytest.param(
        AIM_SERVICE_RESOURCE,
        {"model": {"custom": {"baseImage": "base:1", "modelSources": SOURCES, "hardware": {"cpu": {"requests": 4}}}}},
        id="model in place",
    ),
    pytest.param(
        AIM_SERVICE_RESOURCE,
        {
            "model": {"name": "qwen-qwen3-32b"},
            "template": {"name": "qwen3-32b-latency"},
            "runtimeConfigName": "team-config",
            "resources": {"limits": {"cpu": "6", "memory": "48Gi"}},
            "routing": {
                "enabled": True,
                "gatewayRef": {"name": "inference-gateway", "namespace": "gateways"},
                "pathTemplate": "/team/{.metadata.labels['team']}/chat",
            },
            "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "huggingface-creds", "key": "token"}}}],
            "minReplicas": 1,
            "maxReplicas": 3,
            "autoScaling": {
                "metrics": [
                    {
                        "type": "PodMetric",
                        "podmetric": {
                            "metric": {
                                "backend": "opentelemetry",
                                "metricNames": ["vllm:num_requests_running"],
                                "query": "vllm:num_requests_running",
                                "operationOverTime": "avg",
                            },
                            "target": {"type": "Value", "value": "1"},
                        },
                    }
                ]
            },
        },
        id="everything on the user's page",
    ),
    pytest.param(
        AIM_MODEL_RESOURCE, {"image": "i", "modelSources": SOURCES}, id="sources without template or hardware"
    ),
    pytest.param(
        AIM_MODEL_RESOURCE,
        {"image": "i", "modelSources": SOURCES, "custom": {"hardware": GPU}, "customTemplates": [{"name": "a"}]},
        id="hardware inherited",
    ),
    pytest.param(
        AIM_MODEL_RESOURCE,
        {"image": "i", "modelSources": SOURCES, "customTemplates": [{"name": "a", "hardware": GPU}]},
        id="hardware per template",
    ),
    pytest.param(AIM_MODEL_RESOURCE, {"image": "i", "customTemplates": [{"name": "a"}]}, id="no sources, no hardware"),
    pytest.param(
        AIM_MODEL_RESOURCE, {"image": "i", "customTemplates": [CUSTOM_TEMPLATE]}, id="custom profile in a model"
    ),
    pytest.param(
        AIM_CLUSTER_MODEL_RESOURCE, {"image": "i", "customTemplates": [CUSTOM_TEMPLATE]}, id="and in a cluster model"
    ),
    pytest.param(AIM_SERVICE_TEMPLATE_RESOURCE, TEMPLATE, id="custom profile"),
    pytest.param(AIM_CLUSTER_SERVICE_TEMPLATE_RESOURCE, TEMPLATE, id="custom profile for the cluster"),
    pytest.param(
        AIM_SERVICE_TEMPLATE_RESOURCE, {"modelName": "m", "hardware": {"gpu": {"minVram": "64Gi"}}}, id="minVram alone"
    ),
    pytest.param(
        AIM_SERVICE_TEMPLATE_RESOURCE,
        {"modelName": "m", "hardware": {"gpu": {"model": "", "minVram": "64Gi"}}},
        id="minVram with an empty model",
    ),
    pytest.param(
        AIM_CLUSTER_MODEL_SOURCE_RESOURCE, {"filters": [{"image": "amdenterpriseai/aim-*"}]}, id="model source"
    ),
    pytest.param(
        AIM_RUNTIME_CONFIG_RESOURCE, {"storage": {"pvcHeadroomPercent": 0}, "pvcHeadroomPercent": -1}, id="headroom"
    ),
    pytest.param(AIM_TEMPLATE_CACHE_RESOURCE, {"templateName": "t", "templateScope": "Unknown"}, id="template cache"),
    pytest.param(AIM_ARTIFACT_RESOURCE, {"sourceUri": "s3://bucket/prefix", "size": 5}, id="artifact"),
]


@pytest.mark.parametrize(("resource", "spec"), ACCEPTED)
async def test_accepted(world: World, resource: ApiResource, spec: Manifest) -> None:
    await world.apply(resource, {"spec": spec})


BY_NAME = {"model": {"name": "qwen"}}
SOURCES_TWICE = {"model": {"custom": {"baseImage": "b", "modelSources": SOURCES * 2, "hardware": GPU}}}

REFUSED = [
    (AIM_SERVICE_RESOURCE, {}, "spec.model: Required value"),
    (AIM_SERVICE_RESOURCE, SOURCES_TWICE, "modelSources: Too many"),
    (AIM_SERVICE_RESOURCE, BY_NAME | {"caching": {"mode": "Sometimes"}}, "spec.caching.mode: Unsupported value"),
    (AIM_CLUSTER_MODEL_SOURCE_RESOURCE, {"filters": []}, "should have at least 1 items"),
    (AIM_RUNTIME_CONFIG_RESOURCE, {"routing": {"gatewayRef": {}}}, "gatewayRef.name: Required value"),
    (AIM_ARTIFACT_RESOURCE, {"sourceUri": "http://example.com"}, "spec.sourceUri"),
]


def label(value: object) -> str:
    """A readable part of a test's name."""
    return value.kind if isinstance(value, ApiResource) else value if isinstance(value, str) else ""


@pytest.mark.parametrize(("resource", "spec", "message"), REFUSED, ids=label)
async def test_refused(world: World, resource: ApiResource, spec: Manifest, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await world.apply(resource, {"spec": spec})
    assert message in refusal.value.message


CHANGEABLE = [
    pytest.param(
        AIM_SERVICE_RESOURCE, BY_NAME, BY_NAME | {"template": {"name": "t"}}, id="first setting of a frozen field"
    ),
    pytest.param(AIM_SERVICE_RESOURCE, BY_NAME | {"template": {"name": "t"}}, BY_NAME, id="removal of a frozen field"),
    pytest.param(
        AIM_SERVICE_RESOURCE,
        BY_NAME | {"caching": {}},
        BY_NAME | {"caching": {"mode": "Shared"}},
        id="the default spelled out",
    ),
    pytest.param(
        AIM_SERVICE_RESOURCE, BY_NAME, BY_NAME | {"replicas": 3, "env": [{"name": "A", "value": "1"}]}, id="the rest"
    ),
    pytest.param(
        AIM_SERVICE_TEMPLATE_RESOURCE,
        TEMPLATE,
        TEMPLATE | {"customProfile": {"engineArgs": {"dtype": "auto"}}},
        id="a profile",
    ),
    pytest.param(AIM_MODEL_RESOURCE, {"image": "a"}, {"image": "b"}, id="a model's image"),
]


@pytest.mark.parametrize(("resource", "before", "after"), CHANGEABLE)
async def test_changeable(world: World, resource: ApiResource, before: Manifest, after: Manifest) -> None:
    name = (await world.apply(resource, {"spec": before}))["metadata"]["name"]
    await world.apply(resource, {"spec": after}, name)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")
async def test_every_example_is_accepted(world: World, server: ApiServer, file: Path) -> None:
    async with connected(server, dry_run=True) as client:
        for manifest in read_manifests(file):
            if "namespace" in manifest["metadata"]:
                manifest["metadata"]["namespace"] = world.namespace  # The examples' own exists for nobody here.
            await client.apply(kind_by_name(manifest), manifest, field_manager=WHO, reason="test")


async def test_defaults(world: World) -> None:
    spec = BY_NAME | {"caching": {}, "routing": {"gatewayRef": {"name": "g"}}, "overrides": {"hardware": {"gpu": {}}}}
    stored = (await world.apply(AIM_SERVICE_RESOURCE, {"spec": spec}))["spec"]
    assert stored["replicas"] == 1
    assert stored["caching"] == {"mode": "Shared"}
    assert stored["routing"]["gatewayRef"] == {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": "g",
    }
    assert stored["overrides"]["hardware"]["gpu"] == {"resourceName": "amd.com/gpu"}


async def test_unset_stays_unset_where_a_default_would_hide_it(world: World) -> None:
    artifact = await world.apply(AIM_ARTIFACT_RESOURCE, {"spec": {"sourceUri": "hf://a/b"}})
    config = await world.apply(AIM_RUNTIME_CONFIG_RESOURCE, {"spec": {"storage": {"defaultStorageClassName": "fast"}}})
    model = await world.apply(AIM_MODEL_RESOURCE, {"spec": {"image": "i", "customTemplates": [{"name": "a"}]}})
    assert artifact["spec"] == {"sourceUri": "hf://a/b"}
    assert config["spec"] == {"storage": {"defaultStorageClassName": "fast"}}
    assert model["spec"] == {"image": "i", "customTemplates": [{"name": "a"}]}


async def test_an_artifact_stored_under_the_published_schema_can_still_be_written(server: ApiServer) -> None:
    """(ART-SRC-1) Its source URI is refused in a new object; status, metadata and deletion go on as before."""
    strict = render(AIM_ARTIFACT_RESOURCE)
    group = strict["spec"]["group"] = f"x{uuid4().hex[:10]}.example.com"
    strict["metadata"]["name"] = f"{strict['spec']['names']['plural']}.{group}"
    strict["spec"]["names"] = {key: strict["spec"]["names"][key] for key in ("kind", "listKind", "plural", "singular")}
    lenient = deepcopy(strict)
    schema = lenient["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["sourceUri"]["pattern"] = r"^(hf|s3)://[^ \t\r\n]+$"
    kind = replace(kind_of(AIM_ARTIFACT_RESOURCE), group=group)

    def artifact(name: str, **metadata: Any) -> Manifest:
        metadata |= {"name": name, "namespace": "default"}
        spec = {"sourceUri": "hf://acme/tiny/extra"}
        return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}

    async with connected(server) as client, asyncio.timeout(60):
        await client.apply(CUSTOM_RESOURCE_DEFINITION, lenient, field_manager=WHO, reason="test")
        while True:
            try:
                stored = await client.apply(kind, artifact("old"), field_manager=WHO, reason="test")
                break
            except NotFound:
                await asyncio.sleep(0.05)
        await client.apply(CUSTOM_RESOURCE_DEFINITION, strict, field_manager=WHO, reason="test")

        async def create_until_refused() -> None:
            while True:
                await client.apply(kind, artifact(f"new-{uuid4().hex[:10]}"), field_manager=WHO, reason="test")
                await asyncio.sleep(0.05)

        with pytest.raises(Invalid, match=r"spec\.sourceUri"):
            await create_until_refused()
        status = {"status": {"status": "Ready"}}
        written = await client.patch(
            kind, key_of(stored), status, reason="test", subresource="status", field_manager=WHO
        )
        assert written["status"]["status"] == "Ready"
        labeled = await client.apply(kind, artifact("old", labels={"a": "b"}), field_manager=WHO, reason="test")
        assert labeled["metadata"]["labels"] == {"a": "b"}
        await client.delete(CUSTOM_RESOURCE_DEFINITION, key_of(strict), reason="test")


def without_bounds(schema: Any) -> Any:
    """Return a schema as it was before the bounds of a spec."""
    if isinstance(schema, dict):
        bounds = {"maxLength", "maxItems", "maxProperties"}
        return {key: without_bounds(value) for key, value in schema.items() if key not in bounds}
    return [without_bounds(item) for item in schema] if isinstance(schema, list) else schema


MANY_VARIABLES = [{"name": f"E{n}", "value": "x"} for n in range(300)]
LARGE: list[tuple[ApiResource, Manifest, str]] = [
    (AIM_SERVICE_RESOURCE, {**BY_NAME, "env": MANY_VARIABLES}, "spec.env"),
    (
        AIM_SERVICE_RESOURCE,
        {**BY_NAME, "routing": {"pathTemplate": "/" * 2000}},
        "spec.routing.pathTemplate",
    ),
    (AIM_RUNTIME_CONFIG_RESOURCE, {"env": MANY_VARIABLES}, "spec.env"),
    (AIM_ARTIFACT_RESOURCE, {"sourceUri": "hf://a/b", "env": MANY_VARIABLES}, "spec.env"),
]


@pytest.mark.parametrize(("resource", "spec", "field"), LARGE, ids=lambda value: getattr(value, "kind", ""))
async def test_an_object_stored_before_its_bounds_can_still_be_written(
    server: ApiServer, resource: ApiResource, spec: Manifest, field: str
) -> None:
    """Prove OBJ-BND-2: a new object is refused; status, metadata, other fields and deletion go on as before."""
    strict = render(resource)
    group = strict["spec"]["group"] = f"x{uuid4().hex[:10]}.example.com"
    strict["metadata"]["name"] = f"{strict['spec']['names']['plural']}.{group}"
    strict["spec"]["names"] = {key: strict["spec"]["names"][key] for key in ("kind", "listKind", "plural", "singular")}
    lenient = deepcopy(strict)
    schema = lenient["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    schema["spec"] = without_bounds(schema["spec"])
    kind = replace(kind_of(resource), group=group)

    def large(name: str, **changes: Any) -> Manifest:
        metadata = {"name": name, "namespace": "default", "labels": {"a": "b"}}
        return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": {**spec, **changes}}

    async with connected(server) as client, asyncio.timeout(60):
        await client.apply(CUSTOM_RESOURCE_DEFINITION, lenient, field_manager=WHO, reason="test")
        while True:
            try:
                stored = await client.apply(kind, large("old"), field_manager=WHO, reason="test")
                break
            except NotFound:
                await asyncio.sleep(0.05)
        await client.apply(CUSTOM_RESOURCE_DEFINITION, strict, field_manager=WHO, reason="test")

        async def create_until_refused() -> None:
            while True:
                await client.apply(kind, large(f"new-{uuid4().hex[:10]}"), field_manager=WHO, reason="test")
                await asyncio.sleep(0.05)

        with pytest.raises(Invalid, match=field):
            await create_until_refused()
        assert resource.model.model_validate(stored).excess.startswith(field)
        status = {"status": {"observedGeneration": 7}}
        written = await client.patch(
            kind, key_of(stored), status, reason="test", subresource="status", field_manager=WHO
        )
        assert written["status"]["observedGeneration"] == 7
        if resource is not AIM_RUNTIME_CONFIG_RESOURCE:
            changed = await client.apply(
                kind, large("old", runtimeConfigName="other"), field_manager=WHO, reason="test"
            )
            assert changed["spec"]["runtimeConfigName"] == "other"
        await client.delete(kind, key_of(stored), reason="test")
        await client.delete(CUSTOM_RESOURCE_DEFINITION, key_of(strict), reason="test")


async def test_engine_arguments_keep_their_content_and_types(world: World) -> None:
    template = await world.apply(AIM_SERVICE_TEMPLATE_RESOURCE, {"spec": TEMPLATE})
    assert template["spec"]["customProfile"] == PROFILE


async def test_an_unknown_field_is_refused(world: World) -> None:
    with pytest.raises(ApiError, match="field not declared in schema"):
        await world.apply(AIM_SERVICE_RESOURCE, {"spec": BY_NAME | {"modelRef": "x"}})


async def test_a_written_status_gets_its_default_and_only_known_words(world: World) -> None:
    service = await world.apply(AIM_SERVICE_RESOURCE, {"spec": BY_NAME})
    written = await world.set_status(AIM_SERVICE_RESOURCE, service, {"observedGeneration": 1})
    assert written["status"] == {"observedGeneration": 1, "status": "Pending"}
    with pytest.raises(Invalid, match="Unsupported value"):
        await world.set_status(AIM_SERVICE_RESOURCE, service, {"status": "NotAvailable"})
