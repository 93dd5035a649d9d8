"""Which functions read a field, found from syntax trees."""

import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from aimd.api.model import AIMModelSpec
from aimd.api.shared import GpuHardware
from aimd.cli.field_readers import WHOLE, Readers, find_readers


class Inner(BaseModel):
    """Something with fields."""

    size: int = 0
    name: str = ""
    parts: tuple["Inner", ...] = ()


class Outer(BaseModel):
    """Something around it."""

    inner: Inner | None = None
    by_name: dict[str, Inner] = {}


@dataclass(frozen=True)
class Seen:
    """What a rule gets."""

    outer: Outer
    others: Sequence[Outer] = ()


CODE = """
def through_a_dataclass(seen: Seen) -> int:
    inner = seen.outer.inner
    return inner.size if inner is not None else 0

def in_a_loop(seen: Seen) -> list[int]:
    return [part.size for other in seen.others if other.inner is not None for part in other.inner.parts]

def by_a_call(seen: Seen) -> str:
    return first(seen).name

def first(seen: Seen) -> Inner:
    return next(iter(seen.outer.by_name.values()))

def with_a_key(items: Sequence[Inner]) -> Inner:
    return min(items, key=lambda item: item.size)

def as_a_whole(outer: Outer) -> dict[str, object]:
    return outer.model_dump()

def nothing(size: int) -> int:
    return size
"""


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Readers:
    package, module = types.ModuleType("aimd.fake"), types.ModuleType("aimd.fake.rules")
    vars(module).update(Inner=Inner, Outer=Outer, Seen=Seen, Sequence=Sequence)
    exec(compile(CODE, "rules.py", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "aimd.fake", package)
    monkeypatch.setitem(sys.modules, "aimd.fake.rules", module)
    monkeypatch.setattr("aimd.cli.field_readers.inspect.getsource", lambda module: CODE)
    monkeypatch.setattr("aimd.cli.field_readers._modules", lambda packages: iter([module]))
    return find_readers("aimd.fake")


@pytest.mark.parametrize(
    ("field", "functions"),
    [
        ((Inner, "size"), {"through_a_dataclass", "in_a_loop", "with_a_key"}),
        ((Inner, "name"), {"by_a_call"}),
        ((Inner, "parts"), {"in_a_loop"}),
        ((Outer, "inner"), {"through_a_dataclass", "in_a_loop"}),
        ((Outer, "by_name"), {"first"}),
        ((Outer, WHOLE), {"as_a_whole"}),
    ],
)
def test_reads_are_found(readers: Readers, field: tuple[type[BaseModel], str], functions: set[str]) -> None:
    assert set(readers[field]) == {f"fake.rules.{name}" for name in functions}


def test_the_real_rooms() -> None:
    readers = find_readers("aimd.planning.model")
    assert any(name.startswith("planning.model.") for name in readers[AIMModelSpec, "custom_templates"])
    readers = find_readers("aimd.planning")
    assert "planning.gpus.minimum_vram" in readers[GpuHardware, "min_vram"]
