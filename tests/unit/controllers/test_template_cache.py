"""Which template a cache means, and what its end deletes. The store is the real one, filled by hand."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.reader import Reader
from aimd.controllers.relation import users_of
from aimd.controllers.relations import CACHE_ARTIFACTS
from aimd.controllers.template_cache import observe_template_cache, template_cache_controller
from aimd.planning.artifact.download_job import claim_names
from aimd.planning.kinds import AIM_ARTIFACT, AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE
from aimd.planning.labels import ARTIFACTS_OF_CACHE_FINALIZER
from aimd.planning.needs import NO_READS
from aimd.runtime.errors import ApiError, Forbidden, NotFound
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Key, Kind, Manifest, Request
from aimd.runtime.store import Cache

_versions = iter(range(1, 100_000))


class Server:
    """Instead of a client: answers about the namespace, and keeps what is deleted."""

    def __init__(self, namespace: Manifest | ApiError) -> None:
        self.namespace = namespace
        self.deleted: list[str] = []
        self.finalizers_removed = 0
        self.metrics = SimpleNamespace(count_status_write=lambda *_: None, count_event=lambda *_: None)

    async def get(self, kind: Kind, key: Key) -> Manifest:
        if isinstance(self.namespace, ApiError):
            raise self.namespace
        return self.namespace

    async def delete(self, kind: Kind, key: Key, **_: Any) -> None:
        self.deleted.append(str(key))

    async def patch(self, kind: Kind, key: Key, body: list[dict[str, Any]], **_: Any) -> Manifest:
        assert body[-1]["op"] == "remove"
        self.finalizers_removed += 1
        return {}


Build = Callable[..., KindReconciler[Any, Any]]


@pytest.fixture
def cache(build: Build) -> Cache:
    cache = Cache()
    build(template_cache_controller(), cache)
    return cache


def put(cache: Cache, kind: Kind, name: str, namespace: str = "", **fields: Any) -> None:
    metadata = {"name": name, "uid": f"{kind.name}-{name}", "resourceVersion": str(next(_versions))}
    metadata |= {"namespace": namespace} if namespace else {}
    metadata |= fields.pop("metadata", {})
    cache[kind].upsert({"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields})


def template_cache(scope: str = "Namespace") -> AIMTemplateCache:
    metadata = {"name": "c", "namespace": "ns", "uid": "cu"}
    return AIMTemplateCache.model_validate(
        {"metadata": metadata, "spec": {"templateName": "t", "templateScope": scope}}
    )


@pytest.mark.parametrize(
    ("scope", "namespaced", "cluster", "found"),
    [
        ("Namespace", True, True, "ns"),
        ("Namespace", False, True, None),
        ("Cluster", True, True, ""),
        ("Cluster", True, False, None),
        ("Unknown", True, True, "ns"),
        ("Unknown", False, True, ""),
    ],
)
def test_the_scope_says_where_the_template_is(
    cache: Cache, scope: str, namespaced: bool, cluster: bool, found: str | None
) -> None:
    """Prove TC-TPL-1."""
    if namespaced:
        put(cache, AIM_SERVICE_TEMPLATE, "t", "ns")
    if cluster:
        put(cache, AIM_CLUSTER_SERVICE_TEMPLATE, "t")
    template = observe_template_cache(template_cache(scope), Reader(cache)).template
    assert (template.metadata.namespace if template is not None else None) == found


@pytest.mark.parametrize(
    ("namespace", "deleted"),
    [
        ({"metadata": {"name": "ns"}}, ["ns/a"]),
        ({"metadata": {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, []),
        (NotFound("no namespace", status=404), []),
        (Forbidden("not yours", status=403), []),
    ],
)
async def test_an_ending_namespace_is_left_to_itself(
    build: Build, namespace: Manifest | ApiError, deleted: list[str]
) -> None:
    """Prove TC-DEL-2."""
    server, cache = Server(namespace), Cache()
    found = build(template_cache_controller(), cache, server)
    labels = {
        "aim.eai.amd.com/template-cache.name": "c",
        "app.kubernetes.io/managed-by": "aim-template-cache-controller",
    }
    made = {"labels": labels}
    put(cache, AIM_ARTIFACT, "a", "ns", metadata=made, spec={"sourceUri": "hf://o/w"}, status={"status": "Failed"})
    ending = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [ARTIFACTS_OF_CACHE_FINALIZER]}
    put(cache, AIM_TEMPLATE_CACHE, "c", "ns", metadata=ending, spec={"templateName": "t", "templateScope": "Namespace"})
    await found.reconcile(Request(Key("ns", "c")))
    assert server.deleted == deleted
    assert server.finalizers_removed == 1


def test_who_is_concerned_by_an_artifact(cache: Cache) -> None:
    """Prove TC-STA-5."""
    put(
        cache,
        AIM_SERVICE_TEMPLATE,
        "t",
        "ns",
        spec={"modelName": "m"},
        status={"modelSources": [{"modelId": "o/w", "sourceUri": "hf://o/w"}]},
    )
    spec = {"templateName": "t", "templateScope": "Namespace"}
    put(cache, AIM_TEMPLATE_CACHE, "wants", "ns", spec=spec)
    listed = {"artifacts": {"other": {"name": "other", "uid": "u", "model": "m"}}}
    put(cache, AIM_TEMPLATE_CACHE, "lists", "ns", spec={**spec, "templateName": "gone"}, status=listed)
    own = [{"modelId": "o/own", "sourceUri": "hf://o/own"}]
    put(cache, AIM_TEMPLATE_CACHE, "brings", "ns", spec={**spec, "modelSources": own})
    put(cache, AIM_TEMPLATE_CACHE, "wants", "elsewhere", spec={**spec, "modelSources": own})
    for name, uri, expected in (
        ("weights", "hf://o/w", {"ns/wants"}),
        ("other", "hf://x/y", {"ns/lists"}),
        ("own", "hf://o/own", {"ns/brings"}),
        ("stranger", "hf://x/y", set()),
    ):
        put(cache, AIM_ARTIFACT, name, "ns", spec={"sourceUri": uri})
        users = [users_of(tie, Reader(cache), AIM_ARTIFACT, Key("ns", name)).objects for tie in CACHE_ARTIFACTS]
        assert {f"{user.metadata.namespace}/{user.metadata.name}" for found in users for user in found} == expected


class CountingReader(Reader):
    """A reader that counts the objects it gives."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache)
        self.given = 0

    def read(self, kind: Kind, manifest: Manifest) -> Any:
        self.given += 1
        return super().read(kind, manifest)


CACHES, ARTIFACTS = 500, 5_000
BOUND = 2_000
"""Objects that one stretch of work may read: each costs up to 50 µs, parsed for the first time."""


def crowd(cache: Cache, uri: Callable[[int], str], *, status: str, listed: int, template: bool = False) -> None:
    """Put the caches `c0` to `c499`, which want or list what `c0` made, and all artifacts with its label."""
    made = {"labels": {"aim.eai.amd.com/template-cache.name": "c0", "template-created": "true"}}
    for n in range(ARTIFACTS):
        state = {"status": {"status": status}} if status else {}
        put(cache, AIM_ARTIFACT, f"a{n}", "ns", metadata=made, spec={"sourceUri": uri(n)}, **state)
    sources = [{"modelId": "o/w", "sourceUri": uri(n)} for n in range(64)]
    if template:
        put(cache, AIM_SERVICE_TEMPLATE, "t", "ns", spec={"modelName": "m"}, status={"modelSources": sources})
    spec = {"templateName": "t", "templateScope": "Namespace", **({} if template else {"modelSources": sources})}
    for n in range(CACHES):
        entries = {f"a{i}": {"name": f"a{i}", "uid": "u", "model": "m"} for i in range(listed)}
        mode = {"mode": "Dedicated"} if n % 2 else {}
        put(cache, AIM_TEMPLATE_CACHE, f"c{n}", "ns", spec={**spec, **mode}, status={"artifacts": entries})


@pytest.mark.parametrize(
    ("uri", "status", "template"),
    [
        (lambda _n: "hf://o/w", "Progressing", True),
        (lambda _n: "hf://o/w", "Failed", False),
        (lambda n: f"hf://o/w{n}", "", True),
        (lambda n: f"hf://o/w{n}", "Progressing", False),
    ],
)
def test_a_crowded_namespace_costs_a_cache_little(
    cache: Cache, uri: Callable[[int], str], status: str, template: bool
) -> None:
    """Prove OBJ-BND-1."""
    crowd(cache, uri, status=status, listed=20, template=template)
    definition = template_cache_controller()
    live = cache[AIM_TEMPLATE_CACHE].get(Key("ns", "c0"))
    assert live is not None
    obj = cache.parse(AIMTemplateCache, live)
    reader = CountingReader(cache)
    observed = definition.observe(obj, live, reader, NO_READS)
    definition.plan(observed, datetime(2026, 1, 1, tzinfo=UTC))
    assert reader.given <= BOUND * 2
    deleted = 0
    reader.given = 0
    for batch in definition.on_deletion(obj, reader):
        assert reader.given <= BOUND, "between two batches other work goes on"
        deleted += len(batch)
        reader.given = 0
    assert (deleted == ARTIFACTS) is (status == "Failed")


def test_a_claim_that_an_artifact_does_not_control_is_not_passed_on(cache: Cache) -> None:
    """Prove ART-CLM-7: services mount what the status of their cache names."""

    def shown(named: str, owner: str = "") -> str:
        reference = {"apiVersion": AIM_ARTIFACT.api_version, "kind": AIM_ARTIFACT.name, "name": "w", "uid": owner}
        owners = {"ownerReferences": [{**reference, "controller": True}]} if owner else {}
        put(cache, PERSISTENT_VOLUME_CLAIM, "postgres-data", "ns", metadata=owners)
        labels = {"labels": {"aim.eai.amd.com/template-cache.name": "c"}}
        status = {"status": "Ready", "persistentVolumeClaim": named}
        put(cache, AIM_ARTIFACT, "w", "ns", metadata=labels, spec={"sourceUri": "hf://o/w"}, status=status)
        (artifact,) = observe_template_cache(template_cache(), Reader(cache)).artifacts
        return artifact.status.persistent_volume_claim

    assert shown("postgres-data") == ""
    assert shown("postgres-data", "another") == ""
    assert shown("unknown") == ""
    assert shown("postgres-data", f"{AIM_ARTIFACT.name}-w") == "postgres-data"
    (artifact,) = observe_template_cache(template_cache(), Reader(cache)).artifacts
    derived = claim_names(artifact)[-1]
    assert shown(derived) == derived
