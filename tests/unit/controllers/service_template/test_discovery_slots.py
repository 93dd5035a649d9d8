"""Who may start a discovery Job. The cache is the real one, filled by hand."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    for kind in (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE):
        cache.add(Store(kind)).synced = True
    return cache


def slot(name: str, kind: Kind = AIM_SERVICE_TEMPLATE, namespace: str = "ns") -> DiscoverySlot:
    return DiscoverySlot(kind, Key(namespace if kind.namespaced else "", name))


def put_template(cache: Cache, name: str, namespace: str = "ns") -> None:
    metadata = {"name": name, "namespace": namespace, "uid": f"u-{namespace}-{name}"}
    cache[AIM_SERVICE_TEMPLATE].upsert({"metadata": {**metadata, "resourceVersion": str(next(_versions))}})


def put_job(
    cache: Cache, name: str, ended: str = "", namespace: str = "ns", owner: str = "", uid: str = "", **labels: str
) -> None:
    """Put a Job of the template `owner`, which is put as well unless the UID of another is given."""
    owner = owner or name
    if not uid:
        put_template(cache, owner, namespace)
    conditions = [{"type": ended, "status": "True"}] if ended else []
    reference = {
        "apiVersion": AIM_SERVICE_TEMPLATE.api_version,
        "kind": AIM_SERVICE_TEMPLATE.name,
        "name": owner,
        "uid": uid or f"u-{namespace}-{owner}",
        "controller": True,
    }
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": f"{namespace}/{name}",
        "labels": {**JOB_LABELS, **labels},
        "ownerReferences": [reference],
        "resourceVersion": str(next(_versions)),
    }
    cache[JOB].upsert({"metadata": metadata, "status": {"conditions": conditions}})


def test_running_jobs_and_granted_slots_fill_the_total(cache: Cache) -> None:
    """Prove TPL-DSC-2."""
    slots = DiscoverySlots(cache, 3)
    put_job(cache, "running", namespace="other")
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
    put_job(cache, "of-a", owner="a")
    slots.release(AIM_SERVICE_TEMPLATE, Key("ns", "a"))
    assert not slots.grant(slot("b"))
    put_job(cache, "of-a", "Complete", owner="a")
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


def test_only_jobs_of_existing_templates_count_and_one_for_each(cache: Cache) -> None:
    """Prove TPL-DSC-17."""
    slots = DiscoverySlots(cache, 10)
    for number in range(10):
        put_job(cache, f"strange-{number}", namespace="noisy", uid="of-no-template")
    assert slots.running == 0
    for number in range(10):
        put_job(cache, f"same-{number}", namespace="noisy", owner="t")
    assert slots.running == 1
    for number in range(10):
        put_job(cache, f"own-{number}", namespace="noisy")
    assert not slots.grant(slot("more", namespace="noisy"))
    assert all(slots.grant(slot(name, namespace="quiet")) for name in "abc")


def test_a_quiet_namespace_gets_the_next_slot_whatever_others_ask_for(cache: Cache) -> None:
    """Prove TPL-DSC-17."""
    slots = DiscoverySlots(cache, 10)
    noisy = [f"noisy-{number}" for number in range(20)]
    waiting = [(name, f"t{turn}") for turn in range(5) for name in noisy] + [("quiet", "t")]
    running: list[tuple[str, str]] = []

    def ask() -> None:
        for namespace, name in tuple(waiting):
            if slots.grant(slot(name, namespace=namespace)):
                put_job(cache, f"j-{name}", namespace=namespace, owner=name)
                slots.release(AIM_SERVICE_TEMPLATE, Key(namespace, name))
                waiting.remove((namespace, name))
                running.append((namespace, name))

    ask()
    assert sorted(namespace for namespace, _ in running) == sorted(noisy[:10])
    ended = 0
    while ("quiet", "t") in waiting:
        namespace, name = running.pop(0)
        put_job(cache, f"j-{name}", "Complete", namespace=namespace, owner=name)
        ended += 1
        ask()
    assert ended == 11, "it waits for those that have got nothing and asked before, not for all that others want"


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 8)), max_size=60),
    st.integers(1, 12),
)
def test_no_namespace_has_more_than_its_share_and_no_slot_is_dealt_out_twice(
    asked: list[tuple[str, int]], total: int
) -> None:
    """Prove TPL-DSC-17."""
    cache = Cache()
    for source in DISCOVERY_INFORMERS:
        cache.add(Store(source.kind, source.indexes, source.transform))
    for kind in (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE):
        cache.add(Store(kind))
    slots, held = DiscoverySlots(cache, total), Counter[str]()
    for namespace, number in asked:
        if (AIM_SERVICE_TEMPLATE, Key(namespace, str(number))) in slots._granted:
            continue
        held[namespace] += slots.grant(slot(str(number), namespace=namespace))
    assert held.total() <= total
    assert all(number <= max(1, (total + 1) // 2) for number in held.values())
    quiet = slots.grant(slot("x", namespace="quiet"))
    assert quiet or held.total() >= total or slots.waiting
