"""What the controller of model sources observes. The cache is the real one, filled by hand."""

from typing import cast

from aimd.api.model_source import AIMClusterModelSource
from aimd.controllers.model_source.controller import model_source_controller, observe_source
from aimd.controllers.model_source.image_lists import ImageLists
from aimd.controllers.reader import Reader
from aimd.planning.kinds import AIM_CLUSTER_MODEL
from aimd.planning.needs import NO_READS
from aimd.runtime.store import Cache, Store


def test_models_are_told_apart_by_their_source() -> None:
    cache = Cache()
    for informer in model_source_controller(cast(ImageLists, None), {}).informers:
        cache.add(Store(informer.kind, {})).synced = True
    for version, (name, labels) in enumerate((("mine", {"aim.eai.amd.com/model-source": "s"}), ("other", {}))):
        metadata = {"name": name, "uid": name, "labels": labels, "resourceVersion": str(version + 1)}
        cache[AIM_CLUSTER_MODEL].upsert({"metadata": metadata, "spec": {"image": f"{name}:1"}})
    source = AIMClusterModelSource.model_validate({"metadata": {"name": "s", "uid": "su"}, "spec": {"filters": []}})
    found = observe_source(source, {}, Reader(cache), NO_READS)
    assert [set(texts) for texts in (found.own, found.others, found.names)] == [
        {"mine:1"},
        {"other:1"},
        {"mine", "other"},
    ]
