"""The page of all fields."""

from pathlib import Path

import pytest

from aimd.api.kinds import RESOURCES
from aimd.cli.fields_page import fields_page

RULES = Path(__file__).parents[3] / "docs" / "rules"


@pytest.fixture(scope="module")
def page() -> str:
    return fields_page("<!-- generated -->", RULES)


def test_every_kind_has_a_section(page: str) -> None:
    assert [line for line in page.splitlines() if line.startswith("## ")] == [f"## {kind.kind}" for kind in RESOURCES]


@pytest.mark.parametrize(
    ("field", "cells"),
    [
        ("spec.routing.pathTemplate", ("planning.service.routing.", "rules/service.md#svc-rte-")),
        ("spec.overrides.hardware.gpu.requests", ("`0`", "minimum `0`", "immutable")),
        ("status.status", ("`Pending`", "set by aimd")),
    ],
)
def test_a_field_has_its_facts(page: str, field: str, cells: tuple[str, ...]) -> None:
    service = page.partition("## AIMService\n")[2].partition("\n## ")[0]
    row = next(line for line in service.splitlines() if line.startswith(f"| `{field}` |"))
    assert [cell for cell in cells if cell not in row] == []
