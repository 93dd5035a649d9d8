"""Health of one component: the state words, and the component that a plan reports."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from aimd.api.reasons import Reason
from aimd.api.shared import CommonCondition
from aimd.runtime.objects import Category, Failure

READY = CommonCondition.READY
_LONGEST_REASON = 1024
_REASON = re.compile(r"[A-Za-z](?:[A-Za-z0-9_,:]*[A-Za-z0-9_])?")


class State(StrEnum):
    """The state words, worst first."""

    FAILED = "Failed"
    NOT_AVAILABLE = "NotAvailable"
    DEGRADED = "Degraded"
    PENDING = "Pending"
    STARTING = "Starting"
    PROGRESSING = "Progressing"
    READY = "Ready"
    RUNNING = "Running"

    @property
    def rank(self) -> int:
        """0 is worst."""
        return _RANKS[self]

    @classmethod
    def of(cls, text: str | None) -> "State":
        """Return the state of a status word; an unknown or empty one is Failed."""
        try:
            return cls(text or "")
        except ValueError:
            return cls.FAILED


_RANKS = {state: rank for rank, state in enumerate(State)}


class Direction(StrEnum):
    """Upstream: provided by others. Downstream: created by this controller."""

    UPSTREAM = "Upstream"
    DOWNSTREAM = "Downstream"
    UNSPECIFIED = "Unspecified"


UPSTREAM, DOWNSTREAM = Direction.UPSTREAM, Direction.DOWNSTREAM


@dataclass(frozen=True, slots=True)
class Component:
    """Health of one thing an object depends on or makes, and its condition type, `<name>Ready`.

    `state` None derives it from `failures` (OBJ-STA-1). `blocks_apply` is for failures of inputs only:
    trouble in children must never stop a fix from rolling out (OBJ-APL-3). `counts_as` is set where the
    object's status must not follow the condition, as in the grace of a running service.

    Use `ready`, `waiting`, `pending`, `missing`, `failed` and `blocked` where the state is known, and the constructor
    where it is computed.
    """

    type: str
    state: State | None = None
    reason: str = ""
    message: str = ""
    direction: Direction = Direction.UNSPECIFIED
    failures: tuple[Failure, ...] = field(default=(), kw_only=True)
    blocks_apply: bool = field(default=False, kw_only=True)
    counts_as: State | None = field(default=None, kw_only=True)

    @classmethod
    def ready(cls, type_: str, reason: str, message: str = "", direction: Direction = Direction.UNSPECIFIED) -> Self:
        """Return a component that is ready."""
        return cls(type_, State.READY, reason, message, direction)

    @classmethod
    def waiting(cls, type_: str, reason: str, message: str, direction: Direction = Direction.UNSPECIFIED) -> Self:
        """Return a component that is on its way: Progressing."""
        return cls(type_, State.PROGRESSING, reason, message, direction)

    @classmethod
    def pending(cls, type_: str, reason: str, message: str, direction: Direction = Direction.UNSPECIFIED) -> Self:
        """Return a component that waits for something else before it can start: Pending."""
        return cls(type_, State.PENDING, reason, message, direction)

    @classmethod
    def missing(cls, type_: str, message: str) -> Self:
        """Return a child that does not exist yet and is about to be created."""
        failure = Failure(Category.MISSING_DOWNSTREAM, Reason.RESOURCE_NOT_READY, message)
        return cls.failed(type_, failure, Direction.DOWNSTREAM)

    @classmethod
    def failed(
        cls, type_: str, failure: Failure, direction: Direction = Direction.UNSPECIFIED, *, state: State | None = None
    ) -> Self:
        """Return a component in trouble; its state follows the category of the failure unless it is given."""
        return cls(type_, state, direction=direction, failures=(failure,))

    @classmethod
    def blocked(
        cls, type_: str, failure: Failure, direction: Direction = Direction.UPSTREAM, *, state: State | None = None
    ) -> Self:
        """Return an input in trouble, which nothing may be written before it is corrected."""
        return cls(type_, state, direction=direction, failures=(failure,), blocks_apply=True)

    @property
    def name(self) -> str:
        """The condition type without `Ready`, for messages."""
        return self.type.removesuffix(READY)

    @property
    def effective_state(self) -> State:
        """The state, given or derived from the failures."""
        return self.state or _state_of(self.failures)

    @property
    def effective_reason(self) -> str:
        """The reason, or a valid one in its place (OBJ-CND-5)."""
        reason = self.reason or (self.failures[0].reason if self.failures else Reason.READY)
        return reason if _REASON.fullmatch(reason) and len(reason) <= _LONGEST_REASON else f"{self.name}NotReady"

    @property
    def effective_message(self) -> str:
        """The message, else that of the first failure."""
        return self.message or (self.failures[0].message if self.failures else "")


def may_apply(components: Iterable[Component]) -> bool:
    """Return whether children may be written: no input is in trouble (OBJ-APL-3)."""
    return not any(component.blocks_apply for component in components)


def worst(states: Iterable[State]) -> State:
    """Return the worst state, Ready when there is none."""
    return min(states, key=lambda state: state.rank, default=State.READY)


def has_category(failures: Iterable[Failure], *categories: Category) -> bool:
    """Return whether one of the failures has one of the categories."""
    return any(failure.category in categories for failure in failures)


def _state_of(failures: Sequence[Failure]) -> State:
    if not failures:
        return State.READY
    if has_category(failures, Category.AUTH, Category.RESOURCE_EXHAUSTION, Category.INVALID_SPEC):
        return State.FAILED
    if has_category(failures, Category.MISSING_UPSTREAM, Category.INFRASTRUCTURE):
        return State.DEGRADED
    return State.PROGRESSING
