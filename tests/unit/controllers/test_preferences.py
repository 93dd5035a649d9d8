"""Which neighbors come first where a lookup gives some of many."""

from typing import Any

from aimd.controllers.preferences import Choice, failed_first, usable_first


def artifact(name: str, status: str, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": {"status": status}}


ALL = [
    artifact("a", "Failed"),
    artifact("new", "Ready", "2026-01-02T00:00:00Z"),
    artifact("old", "Ready"),
    artifact("b", "Progressing"),
    {"metadata": {"name": "c"}},
]


def names(order: Any) -> list[str]:
    return [item["metadata"]["name"] for item in sorted(ALL, key=order)]


def test_ready_artifacts_come_first_and_the_oldest_of_them() -> None:
    """Prove OBJ-BND-1."""
    assert names(usable_first) == ["old", "new", "c", "a", "b"]


def test_failed_artifacts_come_first_where_they_are_to_be_replaced() -> None:
    assert names(failed_first) == ["a", "b", "c", "new", "old"]


def test_a_choice_gives_the_best_of_too_many_and_all_of_few() -> None:
    chosen = Choice(2, usable_first)
    assert [item["metadata"]["name"] for item in chosen.of(ALL)] == ["old", "new"]
    assert chosen.of(ALL[:2]) == ALL[:2]
