"""The detector of objects that were modified in place; every test runs with it (tests/conftest.py)."""

import pytest

from aimd.runtime.kinds import POD
from aimd.runtime.mutation import SWITCH, MutationDetector, mutation_detector
from aimd.runtime.objects import Key, Manifest, key_of
from aimd.runtime.store import Store

KEY = Key("ns", "a")


def pod() -> Manifest:
    return {"metadata": {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "1", "labels": {"a": "b"}}}


def found() -> list[str]:
    """Return what was found, and clear it, so that this test passes."""
    mutations = list(MutationDetector.found)
    MutationDetector.found.clear()
    return mutations


def test_an_object_that_stays_as_it_was_is_no_finding() -> None:
    detector = MutationDetector(POD)
    detector.capture(KEY, pod())
    detector.verify(KEY, pod())
    assert found() == []


def test_a_mutation_is_found_once() -> None:
    detector, shared = MutationDetector(POD), pod()
    detector.capture(KEY, shared)
    shared["metadata"]["labels"]["a"] = "changed"
    detector.verify(KEY, shared)
    detector.verify(KEY, shared)
    assert found() == ["Pod ns/a"]


def test_a_store_finds_mutations_when_it_is_read_and_when_objects_are_replaced() -> None:
    store = Store(POD)
    store.upsert(pod())
    shared = store.get(KEY)
    assert shared is not None
    shared["metadata"]["labels"]["a"] = "changed"
    store.get(key_of(shared))
    assert found() == ["Pod ns/a"]
    shared["metadata"]["labels"]["a"] = "again"
    newer = pod()
    newer["metadata"]["resourceVersion"] = "2"
    store.upsert(newer)
    assert found() == ["Pod ns/a"]


def test_the_environment_turns_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mutation_detector(POD) is not None, "in tests"
    for value in ("", "false", "0"):
        monkeypatch.setenv(SWITCH, value)
        assert mutation_detector(POD) is None
    monkeypatch.delenv(SWITCH)
    assert mutation_detector(POD) is None
