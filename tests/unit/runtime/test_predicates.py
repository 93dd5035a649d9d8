"""Predicates: which changes wake a controller."""

from typing import Any

import pytest

from aimd.runtime.objects import Manifest
from aimd.runtime.predicates import always, generation_changed


def thing(generation: int, **more: Any) -> Manifest:
    return {"metadata": {"name": "a", "generation": generation, **more}}


@pytest.mark.parametrize(
    ("before", "after", "matters"),
    [
        (None, thing(1), True),
        (thing(1), None, True),
        (thing(1), thing(2), True),
        (thing(1), thing(1, labels={"a": "b"}), False),
        (thing(1), {**thing(1), "status": {"phase": "Running"}}, False),
        ({"metadata": {}}, {"metadata": {}}, False),
    ],
)
def test_generation_changed(before: Manifest | None, after: Manifest | None, matters: bool) -> None:
    assert generation_changed(before, after) is matters
    assert always(before, after)
