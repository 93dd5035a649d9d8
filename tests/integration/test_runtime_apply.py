"""Applying to a real API server: what is written, what is left alone, and that nothing is written twice."""

import string
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aimd.runtime.apply import Applier
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, JOB, NAMESPACE, PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Category, Deletion, Desired, Key, Kind, Manifest, uid_of
from aimd.runtime.store import Cache, Store

WIDGET = Kind("runtime-tests.example.com", "v1", "Widget", "widgets")
MANAGER = "runtime-tests"


class ApiServer(Protocol):
    kubeconfig: Path


def widget_definition() -> Manifest:
    """A kind with every way of merging: granular and atomic maps and lists, lists by key, sets, defaults."""
    text = {"type": "string"}
    strings = {"type": "array", "items": text}
    item: Manifest = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": text, "value": text, "protocol": {**text, "default": "TCP"}},
    }
    spec: Manifest = {
        "type": "object",
        "properties": {
            "text": text,
            "number": {"type": "integer"},
            "defaulted": {**text, "default": "filled in"},
            "granular": {"type": "object", "additionalProperties": text},
            "atomicMap": {"type": "object", "additionalProperties": text, "x-kubernetes-map-type": "atomic"},
            "atomicList": strings,
            "set": {**strings, "x-kubernetes-list-type": "set"},
            "env": {
                "type": "array",
                "items": item,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name", "protocol"],
            },
            "containers": {"type": "array", "items": item},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    for field in ("name", "protocol"):
        spec["properties"]["env"]["items"]["properties"][field] = item["properties"][field]
    schema = {
        "type": "object",
        "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITION.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITION.name,
        "metadata": {"name": f"{WIDGET.plural}.{WIDGET.group}"},
        "spec": {
            "group": WIDGET.group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
            "versions": [version],
        },
    }


class Bench:
    """A client, a cache filled by our own writes alone, an applier, and a namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.restart()

    def restart(self) -> None:
        """As a new process: nothing remembered, the cache read anew."""
        self.cache = Cache()
        for kind in (CONFIG_MAP, JOB, PERSISTENT_VOLUME_CLAIM, WIDGET):
            self.cache.add(Store(kind)).synced = True
        self.applier = Applier(self.client, self.cache, MANAGER)
        self.client.observers[:] = [self.cache]

    async def read(self, kind: Kind, name: str) -> Manifest:
        live = await self.client.get(kind, Key(self.namespace, name))
        self.cache.written(kind, live)
        return live

    def manifest(self, kind: Kind, name: str, **fields: Any) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace, **fields.pop("metadata", {})}
        return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}

    async def apply(self, kind: Kind, manifest: Manifest, *filled: str) -> int:
        applied = await self.applier.apply([Desired(kind, manifest, "test", filled)])
        assert applied.failures == ()
        return applied.written


@asynccontextmanager
async def bench_on(api_server: ApiServer) -> AsyncIterator[Bench]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        await client.apply(CUSTOM_RESOURCE_DEFINITION, widget_definition(), field_manager=MANAGER, reason="test")
        with anyio.fail_after(20):
            while True:
                try:
                    await client.list(WIDGET)
                    break
                except NotFound:
                    await anyio.sleep(0.1)
        namespace = f"apply-{uuid4().hex[:8]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await client.create(NAMESPACE, body, reason="test")
        yield Bench(client, namespace)


@pytest.fixture
async def bench(api_server: ApiServer) -> AsyncIterator[Bench]:
    async with bench_on(api_server) as opened:
        yield opened


async def test_once_is_enough_and_what_is_no_longer_rendered_goes(bench: Bench) -> None:
    """Prove OBJ-APL-1."""
    first = bench.manifest(CONFIG_MAP, "a", data={"x": "1", "y": "2"}, metadata={"labels": {"l": "1"}})
    assert await bench.apply(CONFIG_MAP, first) == 1
    assert await bench.apply(CONFIG_MAP, first) == 0
    second = bench.manifest(CONFIG_MAP, "a", data={"x": "1"}, metadata={"annotations": {"n": "1"}})
    assert await bench.apply(CONFIG_MAP, second) == 1
    assert await bench.apply(CONFIG_MAP, second) == 0
    live = await bench.read(CONFIG_MAP, "a")
    assert live["data"] == {"x": "1"}
    assert "labels" not in live["metadata"]
    bench.restart()
    await bench.read(CONFIG_MAP, "a")
    assert await bench.apply(CONFIG_MAP, second) == 0, "a restarted process writes nothing"
    bare = bench.manifest(CONFIG_MAP, "a")
    assert await bench.apply(CONFIG_MAP, bare) == 1
    assert await bench.apply(CONFIG_MAP, bare) == 0
    assert "data" not in await bench.read(CONFIG_MAP, "a")


async def test_foreign_edits_of_our_fields_are_put_right_and_other_fields_stay(bench: Bench) -> None:
    """Prove OBJ-APL-1."""
    rendered = bench.manifest(CONFIG_MAP, "a", data={"x": "1"}, metadata={"labels": {"ours": "1"}})
    await bench.apply(CONFIG_MAP, rendered)
    key = Key(bench.namespace, "a")
    edit = {"data": {"x": "edited", "theirs": "2"}, "metadata": {"labels": {"ours": None, "theirs": "3"}}}
    await bench.client.patch(CONFIG_MAP, key, edit, reason="test")
    assert await bench.apply(CONFIG_MAP, rendered) == 1
    live = await bench.read(CONFIG_MAP, "a")
    assert live["data"] == {"x": "1", "theirs": "2"}
    assert live["metadata"]["labels"] == {"ours": "1", "theirs": "3"}
    assert await bench.apply(CONFIG_MAP, rendered) == 0


def pod_template(env: list[Manifest], **container: Any) -> Manifest:
    containers = [
        {
            "name": "c",
            "image": "example.invalid/c",
            "args": ["a", "b"],
            "env": env,
            "ports": [{"containerPort": 8000}, {"containerPort": 8001, "name": "metrics"}],
            "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 1}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "t", "mountPath": "/tmp"}, {"name": "m", "mountPath": "/dev/shm"}],
            "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 5},
            **container,
        }
    ]
    volumes = [{"name": "t", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}]
    spec = {
        "restartPolicy": "Never",
        "containers": containers,
        "volumes": volumes,
        "nodeSelector": {"no": "such-node"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "pull"}],
        "automountServiceAccountToken": False,
    }
    return {"metadata": {"labels": {"x": "y"}, "annotations": {"a": ""}}, "spec": spec}


async def test_a_job_is_applied_once_whatever_the_server_fills_in(bench: Bench) -> None:
    owner = await bench.client.create(CONFIG_MAP, bench.manifest(CONFIG_MAP, "owner"), reason="test")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid_of(owner), "controller": True}
    env: list[Manifest] = [
        {"name": "A", "value": "1"},
        {"name": "EMPTY", "value": ""},
        {"name": "REF", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    spec = {"backoffLimit": 0, "suspend": True, "ttlSecondsAfterFinished": None, "template": pod_template(env)}
    rendered = bench.manifest(JOB, "j", spec=spec, metadata={"ownerReferences": [reference], "labels": {}})
    assert await bench.apply(JOB, rendered) == 1
    assert await bench.apply(JOB, rendered) == 0
    bench.restart()
    await bench.read(JOB, "j")
    assert await bench.apply(JOB, rendered) == 0
    tuned = {**rendered, "spec": {**spec, "template": pod_template(env[:1])}}
    failed = await bench.applier.apply([Desired(JOB, tuned, "test")])
    assert [failure.category for _, _, failure in failed.failures] == [Category.INVALID_SPEC]
    assert failed.failures[0][2].message.endswith("field is immutable")
    again = await bench.applier.apply([Desired(JOB, tuned, "test")])
    assert again.failures == failed.failures, "the same refusal, from memory"


async def test_a_claim_is_applied_once_and_a_refused_change_is_a_value(bench: Bench) -> None:
    def claim(size: str, mode: str = "ReadWriteMany") -> Manifest:
        spec = {"accessModes": [mode], "resources": {"requests": {"storage": size}}}
        return bench.manifest(PERSISTENT_VOLUME_CLAIM, "p", spec=spec)

    assert await bench.apply(PERSISTENT_VOLUME_CLAIM, claim("1024Mi")) == 1
    assert await bench.apply(PERSISTENT_VOLUME_CLAIM, claim("1024Mi")) == 0
    bench.restart()
    await bench.read(PERSISTENT_VOLUME_CLAIM, "p")
    assert await bench.apply(PERSISTENT_VOLUME_CLAIM, claim("1Gi")) == 0
    applied = await bench.applier.apply(
        [
            Desired(PERSISTENT_VOLUME_CLAIM, claim("1Gi", "ReadWriteOnce"), "test"),
            Desired(CONFIG_MAP, bench.manifest(CONFIG_MAP, "after"), "test"),
        ]
    )
    assert applied.written == 1, "what comes after a failure is applied all the same"
    assert [(kind.name, failure.reason) for kind, _, failure in applied.failures] == [
        ("PersistentVolumeClaim", "InvalidSpec")
    ]


async def test_defaults_inside_atomic_lists_are_declared_or_tolerated(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    rendered = bench.manifest(WIDGET, "w", spec={"containers": [{"name": "c"}]})
    declared = "spec.containers[].protocol"
    assert await bench.apply(WIDGET, rendered, declared) == 1
    assert await bench.apply(WIDGET, rendered, declared) == 0
    bench.restart()
    live = await bench.read(WIDGET, "w")
    assert live["spec"] == {"defaulted": "filled in", "containers": [{"name": "c", "protocol": "TCP"}]}
    assert await bench.apply(WIDGET, rendered, declared) == 0
    bench.restart()
    await bench.read(WIDGET, "w")
    writes = [await bench.apply(WIDGET, rendered) for _ in range(4)]
    assert writes == [0, 0, 0, 0], "one request that changes nothing, then remembered"
    changed = bench.manifest(WIDGET, "w", spec={"containers": [{"name": "d"}]})
    assert [await bench.apply(WIDGET, changed) for _ in range(3)] == [1, 0, 0]


async def test_what_changes_under_a_declared_path_is_applied_by_this_process(bench: Bench) -> None:
    def rendered(protocol: str) -> Manifest:
        return bench.manifest(WIDGET, "w", spec={"containers": [{"name": "c", "protocol": protocol}]})

    assert await bench.apply(WIDGET, rendered("UDP"), "spec.containers[].protocol") == 1
    without = bench.manifest(WIDGET, "w", spec={"containers": [{"name": "c"}]})
    assert await bench.apply(WIDGET, without, "spec.containers[].protocol") == 1
    assert (await bench.read(WIDGET, "w"))["spec"]["containers"] == [{"name": "c", "protocol": "TCP"}]


async def test_a_stale_copy_is_judged_again(bench: Bench) -> None:
    """Prove OBJ-APL-2."""
    rendered = bench.manifest(CONFIG_MAP, "a", data={"x": "1"})
    await bench.apply(CONFIG_MAP, rendered)
    bench.client.observers.clear()
    key = Key(bench.namespace, "a")
    await bench.client.patch(CONFIG_MAP, key, {"data": {"theirs": "1"}}, reason="test")
    assert await bench.apply(CONFIG_MAP, bench.manifest(CONFIG_MAP, "a", data={"x": "2"})) == 1
    assert (await bench.read(CONFIG_MAP, "a"))["data"] == {"x": "2", "theirs": "1"}


async def test_deletions_mean_one_object_and_are_known_at_once(bench: Bench) -> None:
    """Prove OBJ-APL-2."""
    await bench.apply(CONFIG_MAP, bench.manifest(CONFIG_MAP, "a"))
    live = await bench.read(CONFIG_MAP, "a")
    key = Key(bench.namespace, "a")
    other = await bench.applier.apply([], [Deletion(CONFIG_MAP, key, "another-uid", "test")])
    assert (other.written, other.failures) == (0, ())
    gone = await bench.applier.apply([], [Deletion(CONFIG_MAP, key, uid_of(live), "test")])
    assert (gone.written, gone.failures) == (1, ())
    assert bench.cache[CONFIG_MAP].get(key) is None
    again = await bench.applier.apply([], [Deletion(CONFIG_MAP, key, uid_of(live), "test")])
    assert (again.written, again.failures) == (0, ())


async def test_what_a_dry_run_would_make_is_not_taken_for_there(bench: Bench, api_server: ApiServer) -> None:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig, dry_run=True)) as client:
        trial = Bench(client, bench.namespace)
        rendered = bench.manifest(CONFIG_MAP, "a", data={"x": "1"})
        assert [await trial.apply(CONFIG_MAP, rendered) for _ in range(2)] == [1, 1]
        assert trial.cache[CONFIG_MAP].get(Key(bench.namespace, "a")) is None


async def test_a_kind_that_is_not_cached_is_read(bench: Bench) -> None:
    rendered = bench.manifest(CONFIG_MAP, "a", data={"x": "1"})
    bench.cache = Cache()
    bench.applier = Applier(bench.client, bench.cache, MANAGER)
    assert [await bench.apply(CONFIG_MAP, rendered) for _ in range(3)] == [1, 0, 0]


names = st.text(string.ascii_lowercase, min_size=1, max_size=3)
texts = st.text(string.ascii_letters + " é\u0085", max_size=5)
by_name = st.dictionaries(names, texts, max_size=3)


def entries(values: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in values.items()]


specs = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "number": st.integers(-5, 5) | st.none(),
        "granular": by_name,
        "atomicMap": by_name,
        "atomicList": st.lists(texts, max_size=3),
        "set": st.lists(names, unique=True, max_size=3),
        "env": by_name.map(entries),
        "free": st.recursive(
            st.integers(0, 3) | texts | st.booleans(),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
            max_leaves=5,
        ).map(lambda value: {"value": value}),
    },
)


def without_nulls(value: Manifest) -> Manifest:
    return {name: item for name, item in value.items() if item is not None}


def check_spec(live: Manifest, rendered: Manifest) -> None:
    """What the user sees is what was rendered, plus the defaults."""
    live = dict(live)
    assert live.pop("defaulted") == "filled in"
    live["env"] = [{**item} for item in live.get("env", [])]
    for item in live["env"]:
        assert item.pop("protocol") == "TCP"
    wanted = {"env": [], **without_nulls(rendered)}
    for name, value in wanted.items():
        if name in ("set",):
            assert sorted(live.get(name, [])) == sorted(value)
        elif name == "env":
            assert sorted(live[name], key=str) == sorted(value, key=str)
        else:
            assert without_empty(live.get(name, type(value)())) == without_empty(value), name
    assert {name for name, value in live.items() if value} <= set(wanted)


def without_empty(value: Any) -> Any:
    """Emptied maps and lists are as good as left out; that the server leaves null in their place is not."""
    if not isinstance(value, dict):
        return value
    kept = {name: without_empty(item) for name, item in value.items()}
    return {name: item for name, item in kept.items() if item not in ({}, [])}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(specs, min_size=1, max_size=4), restart=st.booleans())
@example(sequence=[{"free": {"value": {"a": 0}}}, {"number": None, "free": {"value": {}}}], restart=False)
@example(sequence=[{"free": {"value": {"a": {"b": 1}}}}, {"free": {"value": {"a": {}}}}], restart=True)
@example(sequence=[{"free": {"value": {"a": 0}}}, {"text": "", "free": {"value": {}}}], restart=True)
def test_any_sequence_of_renderings_arrives_and_is_then_left_alone(
    api_server: ApiServer, sequence: list[Manifest], restart: bool
) -> None:
    async def run() -> None:
        async with bench_on(api_server) as bench:
            for rendered in sequence:
                manifest = bench.manifest(WIDGET, "w", spec=rendered)
                await bench.apply(WIDGET, manifest)
                live = await bench.read(WIDGET, "w")
                check_spec(live.get("spec", {"defaulted": "filled in"}), rendered)
                if restart:
                    bench.restart()
                    await bench.read(WIDGET, "w")
                before = live["metadata"]["resourceVersion"]
                assert await bench.apply(WIDGET, manifest) == 0
                requests = writes(bench.client)
                assert await bench.apply(WIDGET, manifest) == 0
                assert writes(bench.client) == requests, "settled: not even asked"
                assert (await bench.read(WIDGET, "w"))["metadata"]["resourceVersion"] == before

    anyio.run(run)


def writes(client: Client) -> float:
    return sum(sample.value for family in client.metrics.writes.collect() for sample in family.samples)


RESOURCE_QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")


async def test_what_came_of_each_object_is_counted(bench: Bench) -> None:
    rendered = bench.manifest(CONFIG_MAP, "a", data={"x": "1"})
    for manifest in (rendered, rendered, {**rendered, "data": {"x": "2"}}):
        await bench.apply(CONFIG_MAP, manifest)
    await bench.applier.apply([Desired(CONFIG_MAP, bench.manifest(CONFIG_MAP, "Not a name"), "test")])
    none = {"configmaps": "0"}
    await bench.client.create(RESOURCE_QUOTA, bench.manifest(RESOURCE_QUOTA, "q", spec={"hard": none}), reason="test")
    status = {"status": {"hard": none, "used": none}}
    await bench.client.patch(RESOURCE_QUOTA, Key(bench.namespace, "q"), status, reason="test", subresource="status")

    async def refused() -> bool:
        desired = Desired(CONFIG_MAP, bench.manifest(CONFIG_MAP, f"b{uuid4().hex}"), "test")
        return bool((await bench.applier.apply([desired])).failures)

    with anyio.fail_after(20):
        while True:
            if await refused():
                break
            await anyio.sleep(0.1)
    families = (family for collector in bench.client.metrics.collectors for family in collector.collect())
    samples = (sample for family in families if family.name == "aimd_apply" for sample in family.samples)
    found = {sample.labels["result"]: sample.value for sample in samples if sample.labels["kind"] == "ConfigMap"}
    created = found.pop("created")
    assert created >= 1
    assert found == {"unchanged": 1, "updated": 1, "invalid": 1, "quota": 1}
