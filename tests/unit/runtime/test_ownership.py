"""Whose an object is, for every combination of controller and labels."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aimd.runtime.objects import Manifest
from aimd.runtime.ownership import Owner, belongs_to, holder_of, is_foreign, is_going

MARKS = {"managed-by": frozenset({"us", "engine"}), "for": frozenset({"chat"})}
OWNER = Owner("AIMService", "chat", "uid-1", marks=MARKS, shared={"managed-by": MARKS["managed-by"]})


def live(controller: dict[str, Any] | None = None, labels: dict[str, str] | None = None, **metadata: Any) -> Manifest:
    owners = [{"apiVersion": "v1", "controller": True, **controller}] if controller is not None else []
    return {"metadata": {"name": "a", "labels": labels or {}, "ownerReferences": owners, **metadata}}


uids = st.sampled_from(["", "uid-1", "uid-2"])
labels = st.dictionaries(st.sampled_from(["managed-by", "for", "team"]), st.sampled_from(["us", "engine", "chat", "x"]))


@given(uids, labels)
def test_a_controller_decides_alone(uid: str, found: dict[str, str]) -> None:
    """Prove OBJ-OWN-1: labels, which everybody can set, never win over a controller."""
    assert belongs_to(live({"uid": uid}, found), "uid-1", MARKS) == (uid == "uid-1")


@given(labels)
def test_without_a_controller_all_marks_count(found: dict[str, str]) -> None:
    """Prove OBJ-OWN-1 and OBJ-OWN-2."""
    ours = found.get("managed-by") in ("us", "engine")
    assert belongs_to(live(None, found), "uid-1", MARKS) == (ours and found.get("for") == "chat")
    assert is_foreign(live(None, found), OWNER, shared=True) == (not ours)


@given(labels)
def test_without_marks_what_nobody_controls_is_foreign(found: dict[str, str]) -> None:
    """Prove OBJ-OWN-1."""
    assert not belongs_to(live(None, found), "uid-1", {})
    assert not belongs_to(live({"uid": ""}, found), "", {})


def test_an_owner_that_does_not_control_is_no_owner() -> None:
    """Prove OBJ-OWN-1."""
    assert not belongs_to(live({"uid": "uid-1", "controller": False}), "uid-1", MARKS)


def test_what_is_deleted_with_a_former_owner_of_the_name_is_going() -> None:
    """Prove OBJ-OWN-1."""
    assert is_going(live({"kind": "AIMService", "name": "chat", "uid": "uid-0"}), OWNER)
    assert is_going(live({"kind": "AIMService", "name": "x"}, deletionTimestamp="2026-01-01T00:00:00Z"), OWNER)
    assert not is_going(live({"kind": "AIMService", "name": "cha-t", "uid": "uid-0"}), OWNER)
    assert not is_going(live(), OWNER)


def test_the_holder_is_named() -> None:
    """Prove OBJ-OWN-1."""
    assert holder_of(live({"kind": "AIMService", "name": "a-b"})) == "belongs to AIMService a-b"
    assert holder_of(live({})) == "belongs to an object without a name"
    assert holder_of(live()) == "was not created for this one"
