"""The machinery of relations: reach, lookups and wake-ups of one relation, on a real cache that is filled by hand."""

from collections.abc import Iterable

import pytest

from aimd.controllers.reach import Reach
from aimd.controllers.reader import Reader
from aimd.controllers.relation import Relation, Through, informers_of, watches_of
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import CONFIG_MAP, JOB, POD
from aimd.runtime.objects import Key, Manifest, labels_of
from aimd.runtime.store import Cache, Store


def color(item: Manifest) -> Iterable[str]:
    return tuple(filter(None, labels_of(item).get("color", "").split("-")))


PODS_OF = Relation[Manifest, Manifest]("pods of a map", CONFIG_MAP, (POD,), color, color, Reach.NAMESPACE)
JOBS_OF = Through[Manifest, Manifest, Manifest]("jobs of a map", PODS_OF, (JOB,), color, color, Reach.USERS)
INFORMERS = (Informer(CONFIG_MAP), Informer(POD, label_selector="color"))


def live(name: str, namespace: str, colors: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}", "labels": {"color": colors}}
    return {"kind": "Any", "metadata": {**metadata, "resourceVersion": "1"}}


@pytest.fixture
def reader() -> Reader:
    cache = Cache()
    reader = Reader(cache)
    for informer in informers_of((PODS_OF,), reader, INFORMERS):
        store = cache.add(Store(informer.kind, {}))
        for name, function in informer.indexes.items():
            store.add_index(name, function)
    return reader


def test_a_neighbor_is_found_and_wakes_once_however_many_tokens_meet(reader: Reader) -> None:
    """Prove SVC-ORD-5."""
    subject, neighbor = live("m", "a", "red-blue"), live("p", "a", "blue-red")
    reader.cache[CONFIG_MAP].upsert(subject)
    for pod in (neighbor, live("p", "b", "red"), live("q", "a", "green")):
        reader.cache[POD].upsert(pod)
    assert PODS_OF.find(reader, subject).objects == (neighbor,)
    (watch,) = watches_of((PODS_OF,))
    assert watch.kind == POD
    assert list(watch.handler(neighbor, reader.cache)) == [Key("a", "m")]
    assert list(watch.handler(live("p", "b", "red"), reader.cache)) == []


def test_the_selection_of_an_informer_is_kept_when_indexes_are_added(reader: Reader) -> None:
    maps, pods = informers_of((PODS_OF,), reader, INFORMERS)
    assert (maps.label_selector, set(maps.indexes)) == ("", {"pods of a map: wants"})
    assert (pods.label_selector, set(pods.indexes)) == ("color", {"pods of a map: offers"})


def test_a_relation_to_a_kind_without_an_informer_is_a_mistake(reader: Reader) -> None:
    with pytest.raises(KeyError):
        informers_of((PODS_OF,), reader, (Informer(CONFIG_MAP),))


@pytest.mark.parametrize(
    ("token", "namespace", "met"),
    [("red", "a", True), ("red", "b", False), ("red", "", True), ("green", "a", False), ("", "a", False)],
)
def test_a_token_meets_a_neighbor_in_reach(token: str, namespace: str, met: bool) -> None:
    cache = Cache()
    reader = Reader(cache)
    cache.add(Store(JOB, JOBS_OF.indexes(reader)[JOB]))
    cache[JOB].upsert(live("j", "a", "red-blue"))
    assert JOBS_OF.meets(reader, token, namespace) is met
