"""Which template a cache means, and what its end deletes. The store is the real one, filled by hand."""

from typing import Any, cast

import pytest

from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers.template_cache import TemplateCacheReconciler, observe_template_cache
from aimd.planning.kinds import AIM_ARTIFACT, AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE
from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, Forbidden, NotFound
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache, Store

_versions = iter(range(1, 100_000))


class Server:
    """Instead of a client: answers about the namespace, and keeps what is deleted."""

    def __init__(self, namespace: Manifest | ApiError) -> None:
        self.namespace = namespace
        self.deleted: list[str] = []

    async def get(self, kind: Kind, key: Key) -> Manifest:
        if isinstance(self.namespace, ApiError):
            raise self.namespace
        return self.namespace

    async def delete(self, kind: Kind, key: Key, **_: Any) -> None:
        self.deleted.append(str(key))


def reconciler(server: Server | None = None) -> TemplateCacheReconciler:
    found = TemplateCacheReconciler(cast(Client, server), Cache())
    for informer in found.informers:
        found.cache.add(Store(informer.kind, informer.indexes, informer.transform)).synced = True
    return found


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
def test_the_scope_says_where_the_template_is(scope: str, namespaced: bool, cluster: bool, found: str | None) -> None:
    """Prove TC-TPL-1."""
    cache = reconciler().cache
    if namespaced:
        put(cache, AIM_SERVICE_TEMPLATE, "t", "ns")
    if cluster:
        put(cache, AIM_CLUSTER_SERVICE_TEMPLATE, "t")
    template = observe_template_cache(cache, template_cache(scope)).template
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
async def test_an_ending_namespace_is_left_to_itself(namespace: Manifest | ApiError, deleted: list[str]) -> None:
    """Prove TC-DEL-2."""
    server = Server(namespace)
    found = reconciler(server)
    made = {"labels": {"aim.eai.amd.com/template-cache.name": "c"}}
    put(
        found.cache, AIM_ARTIFACT, "a", "ns", metadata=made, spec={"sourceUri": "hf://o/w"}, status={"status": "Failed"}
    )
    assert await found.finalize(template_cache())
    assert server.deleted == deleted
