"""R10: the runtime stays small enough to be read, and every function fits a screen."""

import ast
from pathlib import Path

import pytest

import aimd

AIMD = Path(aimd.__file__).parent
MOST_LINES = 4000
"""Lines of the runtime that are not blank, comments and docstrings included."""
LONGEST_FUNCTION = 60
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTIONS)]


def test_the_runtime_is_small() -> None:
    lines = [line for path in (AIMD / "runtime").rglob("*.py") for line in path.read_text().splitlines()]
    assert len(lines) > MOST_LINES / 2, "this is not the runtime"
    assert sum(1 for line in lines if line.strip()) <= MOST_LINES


@pytest.mark.parametrize("folder", sorted(path.name for path in AIMD.iterdir() if (path / "__init__.py").exists()))
def test_functions_fit_a_screen(folder: str) -> None:
    long = [
        f"{path.relative_to(AIMD)}: {function.name}"
        for path in (AIMD / folder).rglob("*.py")
        for function in functions_of(path)
        if (function.end_lineno or 0) - function.lineno >= LONGEST_FUNCTION
    ]
    assert long == []
