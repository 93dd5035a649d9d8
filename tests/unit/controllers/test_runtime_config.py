"""How controllers read runtime configs. The cache is the real one, filled by hand."""

import pytest

from aimd.controllers.reader import Reader
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.planning.kinds import AIM_CLUSTER_RUNTIME_CONFIG, AIM_RUNTIME_CONFIG
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.store import Cache, Store


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    for informer in CONFIG_INFORMERS:
        cache.add(Store(informer.kind, {})).synced = True
    return cache


def put(cache: Cache, kind: Kind, namespace: str, name: str, spec: Manifest) -> None:
    metadata = {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}", "resourceVersion": "1"}
    cache[kind].upsert({"metadata": metadata, "spec": spec})


def test_a_cluster_scoped_object_sees_no_config_of_a_namespace(cache: Cache) -> None:
    put(cache, AIM_RUNTIME_CONFIG, "a", "default", {"defaultStorageClassName": "of-a"})
    put(cache, AIM_CLUSTER_RUNTIME_CONFIG, "", "default", {"defaultStorageClassName": "of-cluster"})
    reader = Reader(cache)
    assert observe_config(reader, "", "a").storage_class_name == "of-a"
    assert observe_config(reader, "", "b").storage_class_name == "of-cluster"
    assert observe_config(reader, "", "").storage_class_name == "of-cluster"


def test_a_config_that_does_not_parse_is_a_failure_and_not_the_other_scope(cache: Cache) -> None:
    put(cache, AIM_RUNTIME_CONFIG, "a", "team", {"routing": "none"})
    put(cache, AIM_CLUSTER_RUNTIME_CONFIG, "", "team", {"defaultStorageClassName": "of-cluster"})
    found = observe_config(Reader(cache), "team", "a")
    assert found.failure is not None
    assert "spec.routing" in found.failure.message
