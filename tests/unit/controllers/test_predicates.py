"""Which changes of an artifact wake its caches."""

from typing import Any

import pytest

from aimd.controllers.predicates import artifact_state_changed

COMING = {"status": "Progressing", "progress": {"percentage": 3}, "download": {"message": "3 of 100 MB"}}


@pytest.mark.parametrize(
    ("before", "after", "wakes"),
    [
        ({}, {"status": "Progressing"}, True),
        ({"status": "Progressing"}, COMING, True),
        (COMING, {**COMING, "progress": {"percentage": 4}}, False),
        (COMING, {**COMING, "download": {"message": "4 of 100 MB"}}, False),
        (COMING, {**COMING, "status": "Ready"}, True),
    ],
)
def test_progress_wakes_when_it_begins_and_not_while_it_goes_on(
    before: dict[str, Any], after: dict[str, Any], wakes: bool
) -> None:
    """Prove TC-STA-4."""
    assert artifact_state_changed({"status": before}, {"status": after}) is wakes
