"""The results of a benchmark: figures, each with a peer or floor from the same run, and limits."""

from dataclasses import dataclass
from enum import StrEnum


class Bound(StrEnum):
    """The side of a limit on which values are good."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a figure: of its ratio to the reference or, if `absolute`, of its value."""

    bound: Bound
    value: float
    absolute: bool = False

    def met(self, measured: float) -> bool:
        """Return whether a ratio (or value) is within the limit."""
        return measured <= self.value if self.bound is Bound.AT_MOST else measured >= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    `reference` is the value of the peer or floor in the same run, in the same unit. `name` identifies the figure
    between runs. A figure without limits is informational.
    """

    name: str
    title: str
    value: float
    unit: str
    reference_name: str = ""
    reference: float | None = None
    limits: tuple[Limit, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Return the value divided by the reference."""
        return self.value / self.reference if self.reference else None

    def measured(self, limit: Limit) -> float:
        """Return the number that a limit is about. Raises ValueError for a ratio without a reference."""
        if limit.absolute:
            return self.value
        if self.ratio is None:
            raise ValueError(f"{self.name} has a limit of its ratio, but no reference")
        return self.ratio

    @property
    def met(self) -> bool | None:
        """Return whether all limits are met; None without limits."""
        return all(limit.met(self.measured(limit)) for limit in self.limits) if self.limits else None


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one benchmark."""

    benchmark: str
    figures: tuple[Figure, ...]


def at_most(value: float) -> Limit:
    """Return a limit: the ratio is at most this."""
    return Limit(Bound.AT_MOST, value)


def at_least(value: float) -> Limit:
    """Return a limit: the ratio is at least this."""
    return Limit(Bound.AT_LEAST, value)


def no_more_than(value: float) -> Limit:
    """Return a limit: the value is at most this."""
    return Limit(Bound.AT_MOST, value, absolute=True)


def no_less_than(value: float) -> Limit:
    """Return a limit: the value is at least this."""
    return Limit(Bound.AT_LEAST, value, absolute=True)
