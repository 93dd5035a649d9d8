"""Reasons, verdicts and condition types are declared once and documented."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from socket import gaierror

import pytest

import aimd
from aimd.api.condition_reasons import COMMON, CONDITIONS, MODEL, NETWORK, PODS, WRITING
from aimd.api.foreign_reasons import ForeignReason
from aimd.api.kinds import RESOURCES
from aimd.api.model import ModelCondition
from aimd.api.reasons import Reason, Verdict
from aimd.api.shared import CommonCondition, Status
from aimd.cli.conditions_page import docstrings_of
from aimd.registry.failures import Problem, failure
from aimd.registry.network import network_failure
from aimd.runtime.errors import connection_reason
from tests import guides

VALID_REASON = re.compile(r"[A-Z][A-Za-z]+")
CONDITION_TYPES = {type(condition) for conditions in CONDITIONS.values() for condition in conditions}
AIMD = Path(aimd.__file__).parent
MODULES = sorted(path for room in ("planning", "controllers", "metrics") for path in (AIMD / room).rglob("*.py"))
SHARED_WORDS = {"Pending", "Progressing", "Ready"}
"""Reasons that are also status words, phases of pods and condition types of other programs."""
REASON_ARGUMENTS = {"Component": 2, "Condition": 2, "Failure": 1, "PodHealth": 1, "ready": 1}
"""Functions that take a reason, and its position."""
WORDS: tuple[type[StrEnum], ...] = (
    *(Reason, ForeignReason, Verdict, Status, CommonCondition),
    *sorted(CONDITION_TYPES, key=lambda words: words.__name__),
)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.__name__)
def test_every_word_has_sentences(words: type[StrEnum]) -> None:
    texts = docstrings_of(words)
    assert {str(word) for word in words} - set(texts) == set(), (
        f"describe each in a docstring; {guides.ADD_A_CONDITION}"
    )
    assert set(texts) == {str(word) for word in words}
    assert [text for text in texts.values() if not text.endswith(".")] == [], "write sentences"
    assert [word for word in words if not VALID_REASON.fullmatch(word)] == [], "write words as in CamelCase"


def test_no_reason_is_declared_twice() -> None:
    assert {str(reason) for reason in Reason} & {str(reason) for reason in ForeignReason} == set()


def test_every_kind_has_its_conditions() -> None:
    assert set(CONDITIONS) == {resource.kind for resource in RESOURCES}, (
        f"declare the conditions of each kind in aimd/api/condition_reasons.py; {guides.ADD_A_KIND}"
    )
    for conditions in CONDITIONS.values():
        (words,) = {type(condition) for condition in conditions}
        assert set(conditions) == set(words)
        assert not set(conditions) & set(COMMON)
    assert set(COMMON) == set(CommonCondition)


def test_every_reason_belongs_to_a_condition() -> None:
    used = {
        reason for conditions in (COMMON, *CONDITIONS.values()) for reasons in conditions.values() for reason in reasons
    }
    declared = {*Reason, *ForeignReason}
    assert declared - {*used, *PODS, *WRITING} == set(), (
        f"say in aimd/api/condition_reasons.py which conditions can have these reasons; {guides.ADD_A_CONDITION}"
    )
    assert {*used, *PODS, *WRITING} == declared


def test_no_condition_has_a_reason_twice() -> None:
    for conditions in (COMMON, *CONDITIONS.values()):
        for type_, reasons in conditions.items():
            assert len(reasons) == len(set(reasons)), type_


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(AIMD)))
def test_reasons_and_types_are_given_by_their_constants(module: Path) -> None:
    tree = ast.parse(module.read_text())
    declared = {str(word) for words in WORDS for word in words if words is not Status} - SHARED_WORDS
    literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert literals & declared == set(), f"name these by their constants in aimd/api; {guides.ADD_A_CONDITION}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(AIMD)))
def test_no_reason_is_a_literal(module: Path) -> None:
    found = []
    for name, call in calls(ast.parse(module.read_text())):
        position = REASON_ARGUMENTS.get(name)
        if position is None:
            continue
        arguments = [
            *call.args[position : position + 1],
            *(item.value for item in call.keywords if item.arg == "reason"),
        ]
        found += [ast.unparse(call) for value in arguments if isinstance(value, ast.Constant | ast.JoinedStr)]
    assert found == [], f"declare these reasons in aimd/api/reasons.py; {guides.ADD_A_CONDITION}"


@pytest.mark.parametrize("problem", Problem)
def test_the_reasons_of_registries_are_declared(problem: Problem) -> None:
    """The registry room imports nothing of aimd, so it repeats the reasons that it gives."""
    assert failure(problem, "no").reason in MODEL[ModelCondition.IMAGE_METADATA_READY], guides.ADD_A_CONDITION


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(), ConnectionResetError(), BrokenPipeError(), gaierror(), TimeoutError(), OSError()],
    ids=lambda error: type(error).__name__,
)
def test_the_reasons_of_connections_are_declared(error: OSError) -> None:
    """The runtime and the registry room each have their own copy."""
    assert connection_reason(error) in NETWORK, guides.ADD_A_CONDITION
    assert network_failure("registry.example.com", error).failure.reason in NETWORK, guides.ADD_A_CONDITION
