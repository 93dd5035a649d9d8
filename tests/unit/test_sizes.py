"""A module stays short enough to be read in one sitting, and a function short enough for a screen."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import aimd

AIMD = Path(aimd.__file__).parent
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
LARGEST_RUNTIME = 4000
"""Lines of code of `aimd/runtime`: blank lines, comments and docstrings do not count, so that a class can state its
whole contract."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTIONS)

TOO_LONG: dict[str, str] = {}
"""Modules that may be longer for now: since when, and what is done about it."""


def modules(folder: Path = AIMD) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(AIMD))


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Name and number of lines of each function, decorators not counted."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, FUNCTIONS):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def test_modules_are_short() -> None:
    long = {name_of(path): lines_of(path) for path in modules() if lines_of(path) > LONGEST_MODULE}
    assert {name: lines for name, lines in long.items() if name not in TOO_LONG} == {}, (
        f"split what has over {LONGEST_MODULE} lines by what its parts are about; each part gets a name of its own"
    )
    assert set(TOO_LONG) - set(long) == set(), "short enough by now: delete the exception"


@pytest.mark.parametrize("room", sorted(path.parent.name for path in AIMD.glob("*/__init__.py")))
def test_functions_fit_a_screen(room: str) -> None:
    long = {
        f"{name_of(path)}: {name}": lines
        for path in modules(AIMD / room)
        for name, lines in functions_of(path)
        if lines > LONGEST_FUNCTION
    }
    assert long == {}, f"split what has over {LONGEST_FUNCTION} lines into steps with names"


def documentation_of(path: Path) -> set[int]:
    """Numbers of the lines that belong to docstrings, those of attributes included."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for child in node.body if isinstance(node, DOCUMENTED) else ():
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                found.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    return found


def code_lines(path: Path) -> int:
    documentation = documentation_of(path)
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    code = [line.strip() for number, line in lines if number not in documentation]
    return sum(1 for line in code if line and not line.startswith("#"))


def test_the_runtime_is_small() -> None:
    count = sum(code_lines(path) for path in modules(AIMD / "runtime"))
    assert count > LARGEST_RUNTIME / 2, "this is not the runtime"
    assert count <= LARGEST_RUNTIME, "whoever maintains the runtime has to read all of it: simplify before you add"
