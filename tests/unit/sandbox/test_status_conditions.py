"""Conditions of the stand-ins."""

from datetime import UTC, datetime

from aimd.sandbox.status_conditions import condition, merged, timestamp

EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def test_a_time_has_whole_seconds() -> None:
    assert timestamp(datetime(2026, 1, 1, 0, 1, 0, 999_999, tzinfo=UTC)) == NOW


def test_a_condition_names_its_generation_only_if_it_has_one() -> None:
    assert condition("Ready", "True") == {"type": "Ready", "status": "True", "reason": "", "message": ""}
    assert condition("Ready", "False", "Why", "text", 3)["observedGeneration"] == 3


def test_a_transition_time_moves_only_with_the_status() -> None:
    stored = merged([], [condition("Accepted", "True"), condition("Programmed", "False")], EARLIER)
    again = merged(stored, [condition("Accepted", "True", "Other"), condition("Programmed", "True")], NOW)
    assert {item["type"]: (item["reason"], item["lastTransitionTime"]) for item in again} == {
        "Accepted": ("Other", EARLIER),
        "Programmed": ("", NOW),
    }


def test_conditions_of_others_are_kept() -> None:
    foreign = {"type": "PodScheduled", "status": "True"}
    assert merged([foreign], [condition("Ready", "True")], NOW)[0] == foreign
