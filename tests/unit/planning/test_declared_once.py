"""Keys of labels and annotations, finalizers and environment variables are declared once, each with a sentence."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimd.planning import environment, labels
from aimd.planning.gpus import GPU_MODELS

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("aimd/planning", "aimd/controllers", "aimd/metrics")
KEY = re.compile(r"([a-z0-9.-]+\.)?(amd\.com|kserve\.io|kubernetes\.io|opentelemetry\.io)/[A-Za-z.-]*")
VARIABLE = re.compile(r"(AIM|HF|AWS|VLLM|S3)_[A-Z0-9_]+")


GPU = re.compile("|".join(model.name for model in GPU_MODELS))


def modules() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def literals(path: Path) -> Iterator[str]:
    """Yield every string of a module that is not documentation."""
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def undocumented(path: Path) -> list[str]:
    """Return the constants of a module that no sentence follows."""
    body = ast.parse(path.read_text()).body
    return [
        node.targets[0].id
        for node, after in zip(body, [*body[1:], None], strict=True)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and not node.targets[0].id.startswith("_")
        and "MAXIMUM" not in node.targets[0].id
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]


def declared(module: object, pattern: str) -> dict[str, str]:
    return {name: value for name, value in vars(module).items() if re.fullmatch(pattern, name)}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_keys_and_variables_are_declared_in_one_module(path: Path) -> None:
    spelled = list(literals(path))
    if path not in (ROOT / "aimd/planning/labels.py", ROOT / "aimd/planning/gpus.py"):
        keys = [text for text in spelled if KEY.fullmatch(text)]
        assert not keys, f"{path}: declare {keys} in aimd/planning/labels.py and import the constant"
    if path != ROOT / "aimd/planning/environment.py":
        variables = [text for text in spelled if VARIABLE.fullmatch(text)]
        assert not variables, f"{path}: declare {variables} in aimd/planning/environment.py and import the constant"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_gpu_models_are_listed_in_one_module(path: Path) -> None:
    if path != ROOT / "aimd/planning/gpus.py":
        assert [text for text in literals(path) if GPU.fullmatch(text)] == [], "take it from aimd/planning/gpus.py"


def test_no_key_has_two_names() -> None:
    keys = declared(labels, r"[A-Z_]+_(LABEL|ANNOTATION|FINALIZER)")
    assert len(keys) >= 40
    assert not [key for key, count in Counter(keys.values()).items() if count > 1]


@pytest.mark.parametrize("module", [labels, environment], ids=["labels", "environment"])
def test_every_declaration_has_a_sentence(module: object) -> None:
    path = Path(str(vars(module)["__file__"]))
    assert not undocumented(path), "write what the constant means in a string below it"


def test_variables_have_their_own_name() -> None:
    variables = declared(environment, r"[A-Z][A-Z0-9_]+")
    assert len(variables) > 20
    assert all(name == value for name, value in variables.items())
