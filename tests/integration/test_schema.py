"""Every fact of the CRDs on a real API server: what keeps to it is taken, what breaks it is refused, its field named.

Facts that a schema states by keywords (required, types, enums, bounds, patterns, defaults, keyed lists) are probed as
schema_probes derives them. CEL rules have cases by hand; a rule without a case that breaks it fails the test. Nothing
but one object per kind is stored: all else is a dry run.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import anyio
import pytest

from aimd.api.crd import render, write_crds
from aimd.api.kinds import (
    AIM_ARTIFACT_RESOURCE,
    AIM_CLUSTER_MODEL_RESOURCE,
    AIM_CLUSTER_SERVICE_TEMPLATE_RESOURCE,
    AIM_MODEL_RESOURCE,
    AIM_SERVICE_RESOURCE,
    AIM_SERVICE_TEMPLATE_RESOURCE,
    RESOURCES,
    ApiResource,
)
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import ApiError, Invalid, NotFound
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import Kind, Manifest, key_of
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.guides import ADD_A_FIELD
from tests.integration.schema_probes import ABSENT, RULES, OpenApi, Probe, fields, minimal, probes

WHO = "schema-tests"


class ApiServer(Protocol):
    """What this test needs of the fixture."""

    kubeconfig: Path


def kind_of(resource: ApiResource) -> Kind:
    return Kind(resource.group, resource.version, resource.kind, resource.plural, resource.namespaced)


def schema_of(resource: ApiResource) -> OpenApi:
    schema: OpenApi = render(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@asynccontextmanager
async def connected(api_server: ApiServer, *, dry_run: bool) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig, dry_run=dry_run)) as client:
        yield client


@pytest.fixture(scope="module")
def namespace(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace on a server with the CRDs, for what is not for the cluster."""
    folder = tmp_path_factory.mktemp("crds")
    write_crds(folder)
    name = f"schema-{uuid4().hex[:10]}"

    async def prepare() -> None:
        async with connected(api_server, dry_run=False) as client:
            manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await client.apply(NAMESPACE, manifest, field_manager=WHO, reason="test")
            await apply_manifests(client, read_manifests(folder))
            async with asyncio.timeout(30):
                for resource in RESOURCES:
                    while not await served(client, kind_of(resource)):  # noqa: ASYNC110 - only asking tells
                        await asyncio.sleep(0.05)

    asyncio.run(prepare())
    return name


async def served(client: Client, kind: Kind) -> bool:
    try:
        await client.list(kind)
    except NotFound:
        return False
    return True


@dataclass(frozen=True)
class Prober:
    """Tries objects of one kind on the server; `stored` is the one that exists, of which a status can be written."""

    client: Client
    resource: ApiResource
    stored: Manifest

    async def create(self, spec: Any) -> Manifest:
        metadata = {
            key: self.stored["metadata"][key] for key in ("name", "namespace") if key in self.stored["metadata"]
        }
        metadata["name"] = f"x{uuid4().hex[:10]}"
        return await self.client.create(
            kind_of(self.resource), {**self.stored, "metadata": metadata, "spec": spec}, reason="test"
        )

    async def set_status(self, status: Any) -> Manifest:
        changed = {**self.stored, "status": status}
        return await self.client.replace(kind_of(self.resource), changed, subresource="status", reason="test")


@asynccontextmanager
async def prober(api_server: ApiServer, namespace: str, resource: ApiResource) -> AsyncIterator[Prober]:
    metadata = {"name": f"x{uuid4().hex[:10]}"} | ({"namespace": namespace} if resource.namespaced else {})
    spec = minimal(schema_of(resource)["properties"]["spec"])
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}
    async with connected(api_server, dry_run=False) as client, connected(api_server, dry_run=True) as dry:
        stored = await client.create(kind_of(resource), manifest, reason="test")
        try:
            yield Prober(dry, resource, stored)
        finally:
            await client.delete(kind_of(resource), key_of(stored), reason="test")


async def verdict(prober: Prober, probe: Probe) -> str:
    """What is wrong with the server's answer to a probe; "" when nothing is."""
    write = prober.create if probe.path[0] == "spec" else prober.set_status
    try:
        answer = await write(probe.body)
    except ApiError as refused:
        if probe.refusal and isinstance(refused, Invalid) and probe.complaint in refused.message:
            return ""
        return f"{probe.fact} of {'.'.join(probe.path)}: {probe.body} refused: {refused.message}"
    if probe.refusal:
        return f"{probe.fact} of {'.'.join(probe.path)}: {probe.body} was taken"
    if probe.expected is not ABSENT and not agrees(probe.found(answer), probe.expected):
        return f"{probe.fact} of {'.'.join(probe.path)}: {probe.expected} became {probe.found(answer)}"
    return ""


def agrees(found: Any, expected: Any) -> bool:
    """Whether a value came back as it was sent; defaults may have been filled in beside it."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            name in found and agrees(found[name], expected[name]) for name in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(agrees, found, expected))
    return type(found) is type(expected) and found == expected


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
async def test_every_fact_of_every_field(api_server: ApiServer, namespace: str, resource: ApiResource) -> None:
    schema = schema_of(resource)
    pending = [*probes(schema, "spec"), *probes(schema, "status")]
    wrong: list[str] = []

    async def work() -> None:
        while pending:
            wrong.append(await verdict(kept, pending.pop()))

    async with prober(api_server, namespace, resource) as kept, anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(work)
    assert [line for line in wrong if line] == []
    assert len(wrong) > 50


GPU = {"gpu": {"model": "MI300X", "requests": 1}}
MODEL_AND_VRAM = {"gpu": {"model": "MI300X", "minVram": "64Gi"}}
SOURCES = [{"modelId": "org/name", "sourceUri": "hf://org/name"}]
BY_NAME = {"model": {"name": "qwen"}}
CUSTOM = {"model": {"custom": {"baseImage": "b", "modelSources": SOURCES, "hardware": GPU}}}
PROFILED = {"aimId": "a/b", "modelId": "a/b", "hardware": GPU, "customProfile": {"envVars": {"A": "1"}}}
TEMPLATE = {"modelName": "llama", "metric": "latency", "precision": "fp16", **PROFILED}
CUSTOM_TEMPLATE = {"name": "tuned", "profile": {"metric": "latency", "precision": "fp16"}, **PROFILED}

ONE_OF_THREE = "set exactly one of name, image and custom"
GPU_OR_CPU = "set gpu, cpu, or both"
NOT_BOTH = "set either model or minVram, not both"
INCOMPLETE = "customProfile needs aimId, modelId, hardware, metric and precision"
INCOMPLETE_IN_MODEL = "customProfile needs aimId, modelId, hardware, profile.metric and profile.precision"

TEMPLATES = (AIM_SERVICE_TEMPLATE_RESOURCE, AIM_CLUSTER_SERVICE_TEMPLATE_RESOURCE)
MODELS = (AIM_MODEL_RESOURCE, AIM_CLUSTER_MODEL_RESOURCE)


@dataclass(frozen=True)
class Broken:
    """An object that breaks one rule: the message of the rule and the field that bears it.

    With `before` the rule is one of updates: `body` replaces that.
    """

    resource: ApiResource
    field: str
    message: str
    body: Manifest
    before: Manifest | None = None

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.field} {self.message}"


def changed(body: Manifest, path: str, value: Any) -> Manifest:
    """A copy with one value replaced, or removed when it is None."""
    copy = deepcopy(body)
    *parents, last = path.split(".")
    node = copy
    for parent in parents:
        node = node[parent]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return copy


def frozen(resource: ApiResource, before: Manifest, field: str, message: str, path: str, value: Any) -> Broken:
    """An update of the value at `path` of what may not change."""
    return Broken(resource, field, message, changed(before, path, value), before)


def hardware(resource: ApiResource, field: str, body: Manifest, path: str) -> list[Broken]:
    """The rules of hardware, in the place `path` of a body."""
    return [
        Broken(resource, field, GPU_OR_CPU, changed(body, path, {})),
        Broken(resource, f"{field}.gpu", NOT_BOTH, changed(body, path, MODEL_AND_VRAM)),
    ]


MODEL_CASES = [
    case
    for resource in MODELS
    for case in (
        Broken(
            resource,
            "spec",
            "with modelSources, give hardware in custom.hardware or in every custom template",
            {"image": "i", "modelSources": SOURCES, "customTemplates": [{"name": "a", "hardware": GPU}, {"name": "b"}]},
        ),
        *hardware(resource, "spec.custom.hardware", {"image": "i", "custom": {}}, "custom.hardware"),
        Broken(
            resource,
            "spec.customTemplates[0].hardware",
            GPU_OR_CPU,
            {"image": "i", "customTemplates": [{"hardware": {}}]},
        ),
        Broken(
            resource,
            "spec.customTemplates[0].hardware.gpu",
            NOT_BOTH,
            {"image": "i", "customTemplates": [{"hardware": MODEL_AND_VRAM}]},
        ),
        *(
            Broken(
                resource,
                "spec.customTemplates[0]",
                INCOMPLETE_IN_MODEL,
                {"image": "i", "customTemplates": [changed(CUSTOM_TEMPLATE, missing, None)]},
            )
            for missing in ("aimId", "modelId", "hardware", "profile", "profile.metric", "profile.precision")
        ),
    )
]

TEMPLATE_CASES = [
    case
    for resource in TEMPLATES
    for case in (
        *hardware(resource, "spec.hardware", {"modelName": "m"}, "hardware"),
        *hardware(resource, "status.resolvedHardware", {}, "resolvedHardware"),
        *(
            Broken(resource, "spec", INCOMPLETE, changed(TEMPLATE, missing, None))
            for missing in ("aimId", "modelId", "hardware", "metric", "precision")
        ),
        frozen(resource, TEMPLATE, "spec.modelName", "model name is immutable", "modelName", "other"),
        frozen(resource, TEMPLATE, "spec.metric", "metric is immutable", "metric", "throughput"),
        frozen(resource, TEMPLATE, "spec.precision", "precision is immutable", "precision", "fp8"),
        frozen(resource, TEMPLATE, "spec.hardware", "hardware is immutable", "hardware.gpu.requests", 8),
    )
]

OVERRIDDEN = BY_NAME | {"overrides": {"metric": "latency", "precision": "fp8", "hardware": GPU}}
SERVICE_CASES = [
    Broken(AIM_SERVICE_RESOURCE, "spec.model", ONE_OF_THREE, {"model": {}}),
    Broken(AIM_SERVICE_RESOURCE, "spec.model", ONE_OF_THREE, {"model": {"name": "a", "image": "b"}}),
    Broken(AIM_SERVICE_RESOURCE, "spec.model", ONE_OF_THREE, {"model": {"name": "a", **CUSTOM["model"]}}),
    Broken(AIM_SERVICE_RESOURCE, "spec.model", ONE_OF_THREE, {"model": {"image": "a", **CUSTOM["model"]}}),
    Broken(
        AIM_SERVICE_RESOURCE,
        "spec.model.custom",
        "specify a source of the weights",
        changed(CUSTOM, "model.custom.modelSources", []),
    ),
    *hardware(AIM_SERVICE_RESOURCE, "spec.model.custom.hardware", CUSTOM, "model.custom.hardware"),
    *hardware(AIM_SERVICE_RESOURCE, "spec.overrides.hardware", BY_NAME | {"overrides": {}}, "overrides.hardware"),
    frozen(AIM_SERVICE_RESOURCE, BY_NAME, "spec.model", "model is immutable", "model.name", "other"),
    frozen(AIM_SERVICE_RESOURCE, BY_NAME, "spec.model", "model is immutable", "model", {"image": "qwen"}),
    frozen(
        AIM_SERVICE_RESOURCE,
        BY_NAME | {"template": {"name": "t"}},
        "spec.template",
        "template is immutable",
        "template.name",
        "u",
    ),
    frozen(
        AIM_SERVICE_RESOURCE,
        BY_NAME | {"caching": {"mode": "Always"}},
        "spec.caching",
        "caching is immutable",
        "caching.mode",
        "Shared",
    ),
    frozen(
        AIM_SERVICE_RESOURCE,
        OVERRIDDEN,
        "spec.overrides.metric",
        "metric is immutable",
        "overrides.metric",
        "throughput",
    ),
    frozen(
        AIM_SERVICE_RESOURCE,
        OVERRIDDEN,
        "spec.overrides.precision",
        "precision is immutable",
        "overrides.precision",
        "fp4",
    ),
    frozen(
        AIM_SERVICE_RESOURCE,
        OVERRIDDEN,
        "spec.overrides.hardware",
        "hardware is immutable",
        "overrides.hardware.gpu.requests",
        2,
    ),
]

CASES = [
    *SERVICE_CASES,
    *MODEL_CASES,
    *TEMPLATE_CASES,
    frozen(
        AIM_ARTIFACT_RESOURCE,
        {"sourceUri": "hf://a/b"},
        "spec.sourceUri",
        "sourceUri is immutable",
        "sourceUri",
        "hf://a/c",
    ),
]


def test_every_rule_has_a_case_that_breaks_it() -> None:
    rules = {
        (resource.kind, ".".join(path).replace(".[]", "[0]"), rule["message"])
        for resource in RESOURCES
        for path, schema in fields(schema_of(resource))
        for rule in schema.get(RULES, ())
    }
    broken = {
        (kind, path, message)
        for kind, path, message in rules
        for case in CASES
        if (case.resource.kind, case.field) == (kind, path) and message.startswith(case.message)
    }
    assert rules - broken == set(), f"add objects to CASES that break these rules; {ADD_A_FIELD}"
    assert len(rules) > 40


@pytest.mark.parametrize("resource", sorted({case.resource for case in CASES}, key=str), ids=lambda each: each.kind)
async def test_what_breaks_a_rule_is_refused(api_server: ApiServer, namespace: str, resource: ApiResource) -> None:
    wrong = []
    async with prober(api_server, namespace, resource) as kept, connected(api_server, dry_run=False) as client:
        for case in CASES:
            if case.resource == resource:
                with pytest.raises(Invalid) as refusal:
                    await try_to_break(case, kept, client)
                said = refusal.value.message
                if f"{case.field}: Invalid value" not in said or case.message not in said:
                    wrong.append(f"{case}: {said}")
    assert wrong == []


async def try_to_break(case: Broken, kept: Prober, client: Client) -> None:
    if case.field.startswith("status"):
        await kept.set_status(case.body)
        return
    if case.before is None:
        await kept.create(case.body)
        return
    before = await replace(kept, client=client).create(case.before)
    try:
        await kept.client.replace(kind_of(case.resource), {**before, "spec": case.body}, reason="test")
    finally:
        await client.delete(kind_of(case.resource), key_of(before), reason="test")
