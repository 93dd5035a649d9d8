"""The hooks before a commit run what `make lint types layers` runs, and need nothing from elsewhere."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TARGETS = ("lint", "types", "layers")


@pytest.fixture
def hooks() -> list[dict[str, Any]]:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local", "hooks of other repositories can't be fetched everywhere"
    return list(repo["hooks"])


def test_hooks_run_what_make_runs(hooks: list[dict[str, Any]]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipes = [recipe for target in TARGETS for recipe in re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.M)]
    wanted = set(re.findall(r"\$\(BIN\)/([\w-]+)", "".join(recipes)))
    run = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks if "stages" not in hook}
    assert (run, len(recipes)) == (wanted, len(TARGETS)), f"change {TARGETS} and .pre-commit-config.yaml together"


def test_hooks_use_the_virtual_environment(hooks: list[dict[str, Any]]) -> None:
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["id"] for hook in hooks if not hook["entry"].startswith(".venv/bin/")] == []
