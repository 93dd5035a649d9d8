"""Every module has its tests where a reader looks for them.

The tests of `aimd/<room>/<module>.py` are `tests/unit/<room>/test_<module>.py`. A module that is tested with
others, or by processes and servers, has a line `# tests: <file>, …` below its docstring instead.
"""

import re
from pathlib import Path

import pytest

import aimd

AIMD = Path(aimd.__file__).parent
ROOT = AIMD.parent
ROOMS = sorted(path.parent.name for path in AIMD.glob("*/__init__.py"))
ELSEWHERE = re.compile(r"^# tests: (.+)$", re.MULTILINE)


def modules(room: str) -> list[Path]:
    return sorted(path for path in (AIMD / room).rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def unit_test_of(module: Path) -> Path:
    return ROOT / "tests" / "unit" / module.relative_to(AIMD).parent / f"test_{module.name}"


def named_in(module: Path) -> list[str]:
    lines = ELSEWHERE.findall(module.read_text(encoding="utf-8"))
    return [name.strip() for line in lines for name in line.split(",")]


def without_tests(room: str) -> list[str]:
    return [
        str(module.relative_to(ROOT))
        for module in modules(room)
        if not unit_test_of(module).exists() and not named_in(module)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_has_tests(room: str) -> None:
    assert without_tests(room) == [], (
        "add tests/unit/<room>/test_<module>.py, or `# tests: <file>` below the module's docstring"
    )


@pytest.mark.parametrize("room", ROOMS)
def test_files_of_tests_exist(room: str) -> None:
    named = {name: module for module in modules(room) for name in named_in(module)}
    assert {name: str(module) for name, module in named.items() if not (ROOT / name).is_file()} == {}
