"""The page of all fields."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from aimd.api.kinds import RESOURCES
from aimd.cli.fields_page import fields_page
from tests.guides import ADD_A_FIELD

RULES = Path(__file__).parents[3] / "docs" / "rules"
UNREAD = {"AIMArtifact": {"spec.modelId"}}
"""Fields that are accepted and change nothing."""
TESTED = re.compile(r"\| `([a-z_]+): (\S+)` \|$")
"""The last cell of a row: folder and field of its test."""


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


@pytest.mark.parametrize("kind", [resource.kind for resource in RESOURCES])
def test_every_field_of_a_spec_is_read(page: str, kind: str) -> None:
    section = page.split(f"\n## {kind}\n", 1)[1].split("\n## ", 1)[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("| `spec.")]
    assert rows
    unread = {row[0].strip(" `") for row in rows if not row[4].strip()}
    assert unread - UNREAD.get(kind, set()) == set(), f"no decision reads these fields; {ADD_A_FIELD}"
    assert UNREAD.get(kind, set()) - unread == set(), "remove these fields from UNREAD: a decision reads them"


def tables_of(folder: str) -> set[str]:
    """Fields that have a row in a table of `tests/unit/planning/<folder>/test_fields.py`."""
    module = import_module(f"tests.unit.planning.{folder}.test_fields")
    tables = (getattr(module, name, {}) for name in ("FIELDS", "CACHING", "POLICIES", "WITHOUT_EFFECT"))
    return {path for table in tables for path in table}


def test_the_test_of_a_field_exists(page: str) -> None:
    """`pytest -k` finds a field by a part of the name of its test, and accepts no braces."""
    named = {(found[1], found[2]) for line in page.splitlines() if (found := TESTED.search(line))}
    rows = [line for line in page.splitlines() if line.startswith("| `spec.")]
    assert [line for line in rows if not TESTED.search(line)] == []
    tables = {folder: tables_of(folder) for folder, _ in named}
    assert {item for item in named if not any(item[1] in path for path in tables[item[0]])} == set(), (
        f"add rows to FIELDS in tests/unit/planning/<kind>/test_fields.py; {ADD_A_FIELD}"
    )
    assert [field for _, field in named if re.search(r"[{}]", field)] == []


def test_a_rule_about_another_field_of_the_same_name_is_not_linked(page: str) -> None:
    row = next(line for line in page.splitlines() if line.startswith("| `spec.routing.gatewayRef.name` |"))
    assert "#svc-rte-1)" in row
    assert "#svc-mdl-" not in row
