"""Every example renders the objects and reaches the status in `tests/data/golden/`.

Each example runs in a namespace of its own, together with the catalog and the other objects of its folder. After an
intended change, run `pytest tests/e2e/test_golden.py --update-golden` and commit the files that it writes.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from difflib import unified_diff
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

from aimd.runtime.client import Client
from aimd.runtime.objects import Key
from aimd.sandbox.chart import NAMESPACE as SYSTEM_NAMESPACE
from aimd.sandbox.cluster import Sandbox
from aimd.sandbox.hub import make_repository
from aimd.sandbox.manifests import apply_manifests, kind_of, read_manifests
from tests.e2e.test_examples import EXAMPLES, reachable
from tests.e2e.world import REPOSITORY_BYTES, Operator
from tests.golden import golden, owners_of, read, write

Manifest: TypeAlias = dict[str, Any]

DATA = Path(__file__).parents[1] / "data" / "golden"
AIM = "aim.eai.amd.com/v1alpha1"
NAMESPACED = (
    (AIM, "AIMService"),
    (AIM, "AIMModel"),
    (AIM, "AIMServiceTemplate"),
    (AIM, "AIMTemplateCache"),
    (AIM, "AIMArtifact"),
    (AIM, "AIMRuntimeConfig"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("batch/v1", "Job"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
)
CLUSTER = (
    (AIM, "AIMClusterModel"),
    (AIM, "AIMClusterServiceTemplate"),
    (AIM, "AIMClusterModelSource"),
    (AIM, "AIMClusterRuntimeConfig"),
)
EVERY_NAMESPACE_HAS = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}

CATALOG = "catalog"
MODEL_SOURCE = "model-source"
SERVICES = [
    str(path.relative_to(EXAMPLES).with_suffix(""))
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    if read_manifests(path)[-1]["kind"] == "AIMService"
]
PREPARED = ("catalog/model", "catalog/template", "authentication/secrets", "runtime-config/team-config")
"""Manifests that are applied before the example of a service."""
TOGETHER = 4
"""Number of examples that run at a time: any four of them fit on the GPUs of one node."""
LOOK_SECONDS = 1.0
SETTLED_SECONDS = 15.0
TIMEOUT = 200.0


class Example:
    """One example in a namespace of its own: its manifests, and all objects that aimd makes for it."""

    def __init__(self, name: str, client: Client) -> None:
        self._client = client
        self.name = name
        self.namespace = f"golden-{name.replace('/', '-')}"
        self.manifests = self._placed(self._own())
        self._jobs: dict[str, Manifest] = {}

    def _own(self) -> list[Manifest]:
        """Return all manifests of a folder, or a service after the other manifests of its folder."""
        path = EXAMPLES / self.name
        if path.is_dir():
            return read_manifests(path)
        beside = [item for item in read_manifests(path.parent) if item["kind"] not in ("AIMService", "Namespace")]
        return [*beside, *read_manifests(path.with_suffix(".yaml"))]

    def _placed(self, manifests: list[Manifest]) -> list[Manifest]:
        kept = [reachable(item) for item in manifests if item["kind"] != "Namespace"]
        for item in kept:
            if not is_cluster_scoped(item):
                item["metadata"]["namespace"] = self.namespace
        return kept

    @asynccontextmanager
    async def applied(self) -> AsyncIterator[None]:
        """Apply everything. On exit, delete the namespace and the model source, without waiting."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        files = PREPARED if self.name in SERVICES else ()
        prepared = [item for file in files for item in read_manifests(EXAMPLES / f"{file}.yaml")]
        await apply_manifests(self._client, [namespace, *self._placed(prepared), *self.manifests])
        try:
            yield
        finally:
            sources = [item for item in self.manifests if item["kind"] == "AIMClusterModelSource"]
            for item in (namespace, *sources):
                await self._client.delete(kind_of(item), Key("", item["metadata"]["name"]), reason="test")

    async def settle(self, wanted: list[Manifest]) -> list[Manifest]:
        """Return what is there once it equals `wanted`, has not changed for `SETTLED_SECONDS`, or after `TIMEOUT`."""
        seen: list[Manifest] = []
        since, deadline = time.monotonic(), time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            objects = await self.objects()
            before, seen = seen, golden(objects)
            if seen == wanted:
                break
            if seen != before or not is_running(objects):
                since = time.monotonic()
            elif time.monotonic() - since > SETTLED_SECONDS:
                break
            await asyncio.sleep(LOOK_SECONDS)
        return seen

    async def objects(self) -> list[Manifest]:
        """Return all objects of the example. A Job that its time to live has removed is in the result as last seen."""
        found = [item for resource in NAMESPACED for item in await self._list(*resource, self.namespace)]
        found = [item for item in found if (item["kind"], item["metadata"]["name"]) not in EVERY_NAMESPACE_HAS]
        found += await self._cluster_scoped()
        jobs = [item for item in found if item["kind"] == "Job" and "deletionTimestamp" not in item["metadata"]]
        self._jobs |= {item["metadata"]["uid"]: item for item in jobs}
        return [*(item for item in found if item["kind"] != "Job"), *self._jobs.values()]

    async def _cluster_scoped(self) -> list[Manifest]:
        """Return the cluster-scoped objects of the example and everything that they own, directly or not."""
        applied = [(item["kind"], item["metadata"]["name"]) for item in self.manifests if is_cluster_scoped(item)]
        if not applied:
            return []
        there = [item for resource in CLUSTER for item in await self._list(*resource)]
        there += [item for resource in NAMESPACED for item in await self._list(*resource, SYSTEM_NAMESPACE)]
        found = [
            item for item in there if is_cluster_scoped(item) and (item["kind"], item["metadata"]["name"]) in applied
        ]
        for owner in found:
            uid = owner["metadata"]["uid"]
            found += [item for item in there if uid in (each["uid"] for each in owners_of(item))]
        return found

    async def _list(self, api_version: str, kind: str, namespace: str = "") -> list[Manifest]:
        listed = kind_of({"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}})
        return await self._client.list(listed, namespace=namespace)


def is_cluster_scoped(item: Manifest) -> bool:
    """Return whether an object is cluster-scoped."""
    return "namespace" not in item["metadata"]


def is_running(objects: list[Manifest]) -> bool:
    """Return whether all AIMServices among the objects are Running."""
    services = [item for item in objects if item["kind"] == "AIMService"]
    return all(item.get("status", {}).get("status") == "Running" for item in services)


class Golden:
    """The golden files: compares what an example renders with its file, or writes the file."""

    def __init__(self, client: Client, *, update: bool) -> None:
        self._client = client
        self._update = update

    @staticmethod
    def file(name: str) -> Path:
        """Return the path of the golden file of an example."""
        return DATA / f"{name.replace('/', '-')}.yaml"

    async def difference(self, name: str) -> str:
        """Run an example and return its difference from the golden file; when updating, write the file instead."""
        file = self.file(name)
        wanted = "" if self._update else file.read_text()
        example = Example(name, self._client)
        async with example.applied():
            seen = write(await example.settle(read(wanted)))
        if self._update:
            file.parent.mkdir(exist_ok=True)
            file.write_text(seen)
            return ""
        return "".join(unified_diff(wanted.splitlines(True), seen.splitlines(True), file.name, "seen"))


@pytest.fixture(scope="module")
def comparison(sandbox: Sandbox, client: Client, operator: Operator, pytestconfig: pytest.Config) -> Golden:
    """Return the golden files, after adding the weights of the examples to the hub."""
    for repository in ("Qwen/Qwen3-32B", "meta-llama/Llama-3-8B"):
        make_repository(sandbox.hub_root, repository, REPOSITORY_BYTES)
    return Golden(client, update=bool(pytestconfig.getoption("--update-golden", default=False)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def differences(
    comparison: Golden, request: pytest.FixtureRequest
) -> AsyncIterator[dict[str, asyncio.Task[str]]]:
    """Run the selected examples, `TOGETHER` at a time, and yield their comparisons."""
    places = asyncio.Semaphore(TOGETHER)

    async def compare(name: str) -> str:
        async with places:
            return await comparison.difference(name)

    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    names = [str(item.callspec.params["example"]) for item in items if hasattr(item, "callspec")]
    tasks = {name: asyncio.create_task(compare(name)) for name in names}
    yield tasks
    for task in tasks.values():
        task.cancel()


def expect_none(difference: str) -> None:
    """Fail with the difference, unless it is empty."""
    if difference:
        pytest.fail(difference, pytrace=False)


@pytest.mark.parametrize("example", [CATALOG, *SERVICES])
async def test_an_example_is_rendered_as_before(differences: dict[str, asyncio.Task[str]], example: str) -> None:
    expect_none(await differences[example])


async def test_a_model_source_is_rendered_as_before(comparison: Golden) -> None:
    """Run last: the models of the source are cluster-scoped, and other examples would resolve to them."""
    expect_none(await comparison.difference(MODEL_SOURCE))


async def test_every_example_has_a_golden_file() -> None:
    assert set(DATA.glob("*.yaml")) == {Golden.file(name) for name in (CATALOG, MODEL_SOURCE, *SERVICES)}
