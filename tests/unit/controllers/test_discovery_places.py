"""Who may start a discovery Job. The cache is the real one, filled by hand."""

from typing import Any

import pytest

from aimd.controllers.discovery import DISCOVERY_INFORMERS, DiscoverySlots
from aimd.planning.kinds import AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE
from aimd.planning.service_template.discovery_job import JOB_LABELS
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Key, Kind
from aimd.runtime.store import Cache, Store

_versions = iter(range(1, 100_000))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    for source in DISCOVERY_INFORMERS:
        cache.add(Store(source.kind, source.indexes, source.transform)).synced = True
    return cache


def ticket(name: str, kind: Kind = AIM_SERVICE_TEMPLATE) -> tuple[Kind, Key]:
    return kind, Key("ns", name)


def put_job(cache: Cache, name: str, ended: str = "", **labels: str) -> None:
    conditions = [{"type": ended, "status": "True"}] if ended else []
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "ns",
        "uid": name,
        "labels": {**JOB_LABELS, **labels},
        "resourceVersion": str(next(_versions)),
    }
    cache[JOB].upsert({"metadata": metadata, "status": {"conditions": conditions}})


def test_running_jobs_and_promises_fill_the_places(cache: Cache) -> None:
    """Prove TPL-DSC-2."""
    places = DiscoverySlots(cache, 3)
    put_job(cache, "running")
    put_job(cache, "done", "Complete")
    put_job(cache, "broken", "Failed")
    put_job(cache, "download", **{"app.kubernetes.io/component": "download"})
    assert places.ask(ticket("a"))
    assert places.ask(ticket("b", AIM_CLUSTER_SERVICE_TEMPLATE))
    assert not places.ask(ticket("c"))
    places.settle(ticket("a"))
    assert places.ask(ticket("c"))


def test_a_job_that_was_made_keeps_the_place_of_its_promise(cache: Cache) -> None:
    places = DiscoverySlots(cache, 1)
    assert places.ask(ticket("a"))
    put_job(cache, "of-a")
    places.settle(ticket("a"))
    assert not places.ask(ticket("b"))
    put_job(cache, "of-a", "Complete")
    assert places.next_in_line(AIM_SERVICE_TEMPLATE) == [Key("ns", "b")]
    assert places.next_in_line(AIM_CLUSTER_SERVICE_TEMPLATE) == []
    assert places.ask(ticket("b"))


def test_who_came_first_is_first(cache: Cache) -> None:
    """Prove TPL-DSC-2."""
    places = DiscoverySlots(cache, 1)
    put_job(cache, "running")
    assert not any(places.ask(ticket(name)) for name in "abc")
    put_job(cache, "running", "Complete")
    assert not places.ask(ticket("c"))
    assert not places.ask(ticket("b"))
    assert places.ask(ticket("a"))
    places.settle(ticket("a"))
    assert places.ask(ticket("b"))


def test_who_does_not_ask_any_more_holds_nobody_up(cache: Cache) -> None:
    """Prove TPL-DSC-2."""
    clock = Clock()
    places = DiscoverySlots(cache, 1, clock)
    put_job(cache, "running")
    assert not places.ask(ticket("deleted"))
    clock.now = 15
    assert not places.ask(ticket("b"))
    put_job(cache, "running", "Complete")
    clock.now = 25
    assert places.ask(ticket("b"))
