"""A pytest plugin that compares the conditions that aimd gives with those that it declares, both ways.

Every component and condition that the code makes during a test is recorded. One that `aimd.api.condition_reasons` does
not declare fails the test in which it was given. Whether all that is declared is also given shows at the end of a run
of all unit tests: planning is pure, so there is no reason that only a cluster can bring about. What only generated
examples bring about doesn't count, because the examples differ between runs. Runs of single files or folders, and runs
in which a test failed, skip that part.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aimd.api.condition_reasons import COMMON, CONDITIONS, FAILED_JOBS, NETWORK, PASSES_ON, PODS, WRITING
from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason, Verdict
from aimd.planning import component, conditions, kinds
from aimd.planning.service.template_selection import Candidate
from aimd.runtime import kinds as core_kinds
from aimd.runtime import objects
from tests import guides

UNIT_TESTS = Path(__file__).parent / "unit"
EVERYTHING_BUT_SLOW = "not slow and not soak"

DECLARED: dict[str, set[str]] = {}
for _conditions in (COMMON, *CONDITIONS.values()):
    for _type, _reasons in _conditions.items():
        DECLARED.setdefault(_type, set()).update(_reasons)
VERDICTS = "templateCandidates"
DECLARED[VERDICTS] = set(Verdict)
_KINDS = {
    item.name for module in (kinds, core_kinds) for item in vars(module).values() if isinstance(item, objects.Kind)
}
WRITTEN = {f"{kind}Ready" for kind in _KINDS}
"""Conditions of children that cannot be written."""
GROUPS = {*NETWORK, *WRITING, *PODS, *FAILED_JOBS}
"""Reasons that many conditions share; it is enough that one has them."""

Pair = tuple[str, str]


def is_declared(type_: str, reason: str) -> bool:
    """Return whether a condition may have a reason."""
    if type_ in PASSES_ON or reason in DECLARED.get(type_, ()):
        return True
    return type_ in WRITTEN and reason in WRITING


def missing(seen: set[Pair]) -> list[str]:
    """Return what is declared and was not seen: reasons of a condition, and reasons of any condition."""
    pairs = {(type_, str(reason)) for type_, reasons in DECLARED.items() for reason in reasons if reason not in GROUPS}
    reasons = {str(reason) for words in (Reason, ForeignReason) for reason in words} - {reason for _, reason in seen}
    rare = reasons - {reason for _, reason in pairs - seen}
    return sorted(
        [*(f"{type_}: {reason}" for type_, reason in pairs - seen), *(f"anywhere: {reason}" for reason in rare)]
    )


class ProducedConditions:
    """Records conditions; the controller of a parallel run collects those of its workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seen: set[Pair] = set()
        self._undeclared: list[str] = []
        self._generated = False
        self._missing: list[str] = []
        _observe(component.Component, self._component)
        _observe(objects.Condition, self._condition)
        _observe(Candidate, self._candidate)

    @pytest.fixture(autouse=True)
    def undeclared(self, request: pytest.FixtureRequest) -> Iterator[list[str]]:
        """Fail a test during which aimd gave a condition or a reason that is not declared; yield what was given."""
        self._undeclared.clear()
        self._generated = request.node.get_closest_marker("hypothesis") is not None
        yield self._undeclared
        found = ", ".join(self._undeclared)
        assert not found, f"not declared in aimd/api/condition_reasons.py: {found}; {guides.ADD_A_CONDITION}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker has seen."""
        self._seen.update(tuple(pair) for pair in getattr(node, "workeroutput", {}).get("conditions", ()))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over what was seen, or check that nothing is missing."""
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["conditions"] = sorted(self._seen)
        elif session.exitstatus == pytest.ExitCode.OK and _is_complete(self._config):
            self._missing = missing(self._seen)
            if self._missing:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what is declared and was never given."""
        if self._missing:
            terminalreporter.section("conditions that no unit test produces", red=True)
            terminalreporter.write_line("\n".join(self._missing))
            terminalreporter.write_line(f"Declared in aimd/api/condition_reasons.py; {guides.ADD_A_CONDITION}")

    def _component(self, made: component.Component, maker: str) -> None:
        if maker.startswith("aimd."):
            self._record(made.type, made.effective_reason)

    def _condition(self, made: objects.Condition, maker: str) -> None:
        """Conditions of components are recorded with these, and stored ones are only read."""
        reads = maker in (objects.__name__, "aimd.planning.objects", "aimd.controllers.pipeline")
        repeats = maker == conditions.__name__ and made.type not in COMMON
        if maker.startswith("aimd.") and not reads and not repeats:
            self._record(made.type, made.reason)

    def _candidate(self, made: Candidate, maker: str) -> None:
        if maker.startswith("aimd."):
            self._record(VERDICTS, made.verdict)

    def _record(self, type_: str, reason: str) -> None:
        if not self._generated:
            self._seen.add((str(type_), str(reason)))
        if not is_declared(type_, reason):
            self._undeclared.append(f"{type_}: {reason}")


def _observe(made: type[Any], record: Callable[[Any, str], None]) -> None:
    """Call `record` with each new instance and the name of the module that made it."""
    original = made.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        frame = sys._getframe(1)
        while frame.f_globals["__name__"] in ("dataclasses", component.__name__) and frame.f_back is not None:
            frame = frame.f_back
        record(self, frame.f_globals["__name__"])

    made.__init__ = __init__


def _is_complete(config: pytest.Config) -> bool:
    """Return whether the run includes all unit tests but the slow ones."""
    options = config.option
    last_failed = getattr(options, "lf", False)  # Without pytest's cache there is no such option.
    selected = options.keyword or options.deselect or options.collectonly or last_failed or options.ignore
    folders = [Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args]
    all_units = any(folder == UNIT_TESTS or folder in UNIT_TESTS.parents for folder in folders)
    return all_units and not selected and options.markexpr in ("", EVERYTHING_BUT_SLOW)
