"""Reasons, verdicts and condition types are declared once and documented."""

import re
from enum import StrEnum

import pytest

from aimd.api.condition_reasons import COMMON, CONDITIONS, PODS, WRITING
from aimd.api.foreign_reasons import ForeignReason
from aimd.api.kinds import RESOURCES
from aimd.api.reasons import Reason, Verdict
from aimd.api.shared import CommonCondition, Status
from aimd.cli.conditions_page import docstrings_of

VALID_REASON = re.compile(r"[A-Z][A-Za-z]+")
CONDITION_TYPES = {type(condition) for conditions in CONDITIONS.values() for condition in conditions}
WORDS: tuple[type[StrEnum], ...] = (Reason, ForeignReason, Verdict, Status, CommonCondition, *CONDITION_TYPES)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.__name__)
def test_every_word_has_sentences(words: type[StrEnum]) -> None:
    texts = docstrings_of(words)
    assert set(texts) == {str(word) for word in words}
    assert [text for text in texts.values() if not text.endswith(".")] == []
    assert [word for word in words if not VALID_REASON.fullmatch(word)] == []


def test_no_reason_is_declared_twice() -> None:
    assert {str(reason) for reason in Reason} & {str(reason) for reason in ForeignReason} == set()


def test_every_kind_has_its_conditions() -> None:
    assert set(CONDITIONS) == {resource.kind for resource in RESOURCES}
    for conditions in CONDITIONS.values():
        (words,) = {type(condition) for condition in conditions}
        assert set(conditions) == set(words)
        assert not set(conditions) & set(COMMON)
    assert set(COMMON) == set(CommonCondition)


def test_every_reason_belongs_to_a_condition() -> None:
    used = {
        reason for conditions in (COMMON, *CONDITIONS.values()) for reasons in conditions.values() for reason in reasons
    }
    assert {*used, *PODS, *WRITING} == {*Reason, *ForeignReason}


def test_no_condition_has_a_reason_twice() -> None:
    for conditions in (COMMON, *CONDITIONS.values()):
        for type_, reasons in conditions.items():
            assert len(reasons) == len(set(reasons)), type_
