"""Trimming: records of other field managers go, and equal parts of objects are stored once."""

from typing import Any

from aimd.runtime import trimming
from aimd.runtime.objects import Manifest
from aimd.runtime.trimming import Trimmer


def pod(name: str, *entries: dict[str, Any]) -> Manifest:
    metadata = {"name": name, "labels": {"app": "chat"}, "ownerReferences": [{"uid": "u"}]}
    return {"metadata": metadata | ({"managedFields": list(entries)} if entries else {}), "spec": {"nodeName": "n"}}


def applied(manager: str, **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {}}, "time": "t", **more}


def test_only_applies_of_our_managers_are_kept_without_their_time() -> None:
    trimmer = Trimmer()
    trimmer.keep_fields_of("aim-x")
    ours, status = applied("aim-x", apiVersion="v1"), applied("aim-x", subresource="status")
    trimmed = trimmer.trim(pod("a", applied("kubelet"), ours, status))
    assert trimmed["metadata"]["managedFields"] == [
        {"manager": "aim-x", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:spec": {}}}
    ]
    assert trimmed["spec"] == {"nodeName": "n"}


def test_an_object_without_records_of_ours_has_none() -> None:
    assert "managedFields" not in Trimmer().trim(pod("a", applied("kubelet")))["metadata"]
    assert "managedFields" not in Trimmer().trim(pod("a"))["metadata"]
    assert Trimmer().trim({}) == {}


def test_trimming_twice_changes_nothing() -> None:
    trimmer = Trimmer()
    trimmer.keep_fields_of("aim-x")
    once = trimmer.trim(pod("a", applied("aim-x")))
    before = {**once, "metadata": dict(once["metadata"])}
    assert trimmer.trim(once) == before


def test_equal_parts_are_one_object() -> None:
    trimmer = Trimmer()
    first, second = trimmer.trim(pod("a")), trimmer.trim(pod("b"))
    assert first["metadata"]["labels"] is second["metadata"]["labels"]
    assert first["metadata"]["ownerReferences"] is second["metadata"]["ownerReferences"]


def test_the_table_of_shared_parts_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(trimming, "_PARTS_SHARED", 10)
    trimmer = Trimmer()
    for number in range(100):
        thing = trimmer.trim({"metadata": {"labels": {"number": str(number)}}})
        assert thing["metadata"]["labels"] == {"number": str(number)}
    assert len(trimmer._parts) <= 10
