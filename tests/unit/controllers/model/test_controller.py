"""What the controllers of models observe. The cache is the real one, filled by hand."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from aimd.api.model import AIMModel
from aimd.controllers.image_inspections import ImageInspections
from aimd.controllers.model.controller import MODEL_TIES, model_controllers, observe_model
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.reader import Reader
from aimd.planning.kinds import AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.planning.model.observed import ObservedModel
from aimd.planning.needs import NO_READS
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.store import Cache

Build = Callable[..., KindReconciler[Any, Any]]
MANAGER = "aim-model-controller"
MODEL = AIMModel.model_validate(
    {"metadata": {"name": "m", "namespace": "a", "uid": "own"}, "spec": {"image": "registry/aim:1"}}
)


class Nothing:
    def forgetting(self, kind: object) -> None:
        """Nothing is kept."""


@pytest.fixture
def cache(build: Build) -> Cache:
    cache = Cache()
    for definition in model_controllers(cast(ImageInspections, Nothing())):
        build(definition, cache)
    return cache


def put(cache: Cache, kind: Kind, name: str, spec: Manifest, **fields: Any) -> None:
    metadata = {"name": name, "namespace": "a", "uid": f"{kind.name}/{name}", "resourceVersion": "1"}
    cache[kind].upsert({"metadata": {**metadata, **fields.pop("metadata", {})}, "spec": spec, **fields})


def observe(cache: Cache) -> ObservedModel:
    return observe_model(MODEL, Reader(cache), NO_READS, MODEL_TIES, MANAGER)


def test_templates_that_name_the_model_and_those_that_services_use(cache: Cache) -> None:
    written = [{"manager": MANAGER, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}]
    put(cache, AIM_SERVICE_TEMPLATE, "made", {"modelName": "m"}, metadata={"managedFields": written})
    put(cache, AIM_SERVICE_TEMPLATE, "copied", {"modelName": "m"})
    put(cache, AIM_SERVICE_TEMPLATE, "of-another", {"modelName": "x"})
    put(cache, AIM_SERVICE, "s", {"model": {"name": "m"}}, status={"resolvedTemplate": {"name": "copied"}})
    found = observe(cache)
    assert {item.metadata.name for item in found.templates} == {"made", "copied"}
    assert (set(found.applied), set(found.used)) == ({"made"}, {"copied"})


def test_users_share_their_pull_secrets_with_a_namespaced_model(cache: Cache) -> None:
    """Prove MDL-INS-5."""
    secret = {"imagePullSecrets": [{"name": "key"}]}
    put(cache, AIM_SERVICE, "user", {"model": {"name": "m"}, **secret})
    put(cache, AIM_SERVICE, "stranger", {"model": {"name": "x"}, "imagePullSecrets": [{"name": "other"}]})
    assert observe(cache).shared_pull_secrets == ("key",)
