"""Who may start a discovery Job. The cache is the real one, filled by hand."""

from typing import Any

import pytest

from aimd.controllers.service_template.controller import DISCOVERY_INFORMERS
from aimd.controllers.service_template.discovery_slots import DiscoverySlots
from aimd.planning.kinds import AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE
from aimd.planning.needs import DiscoverySlot
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


def slot(name: str, kind: Kind = AIM_SERVICE_TEMPLATE) -> DiscoverySlot:
    return DiscoverySlot(kind, Key("ns", name))


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


def test_running_jobs_and_granted_slots_fill_the_total(cache: Cache) -> None:
    """Prove TPL-DSC-2."""
    slots = DiscoverySlots(cache, 3)
    put_job(cache, "running")
    put_job(cache, "done", "Complete")
    put_job(cache, "broken", "Failed")
    put_job(cache, "download", **{"app.kubernetes.io/component": "download"})
    assert slots.grant(slot("a"))
    assert slots.grant(slot("b", AIM_CLUSTER_SERVICE_TEMPLATE))
    assert not slots.grant(slot("c"))
    slots.release(AIM_SERVICE_TEMPLATE, Key("ns", "a"))
    assert slots.grant(slot("c"))


def test_a_job_that_was_made_keeps_the_slot_that_was_granted(cache: Cache) -> None:
    slots = DiscoverySlots(cache, 1)
    assert slots.grant(slot("a"))
    put_job(cache, "of-a")
    slots.release(AIM_SERVICE_TEMPLATE, Key("ns", "a"))
    assert not slots.grant(slot("b"))
    put_job(cache, "of-a", "Complete")
    assert slots.next_in_line(AIM_SERVICE_TEMPLATE) == [Key("ns", "b")]
    assert slots.next_in_line(AIM_CLUSTER_SERVICE_TEMPLATE) == []
    assert slots.grant(slot("b"))


def test_who_came_first_is_first(cache: Cache) -> None:
    """Prove TPL-DSC-2."""
    slots = DiscoverySlots(cache, 1)
    put_job(cache, "running")
    assert not any(slots.grant(slot(name)) for name in "abc")
    put_job(cache, "running", "Complete")
    assert not slots.grant(slot("c"))
    assert not slots.grant(slot("b"))
    assert slots.grant(slot("a"))
    slots.release(AIM_SERVICE_TEMPLATE, Key("ns", "a"))
    assert slots.grant(slot("b"))


def test_who_does_not_ask_any_more_holds_nobody_up(cache: Cache) -> None:
    """Prove TPL-DSC-2."""
    clock = Clock()
    slots = DiscoverySlots(cache, 1, clock)
    put_job(cache, "running")
    assert not slots.grant(slot("deleted"))
    clock.now = 15
    assert not slots.grant(slot("b"))
    put_job(cache, "running", "Complete")
    clock.now = 25
    assert slots.grant(slot("b"))
