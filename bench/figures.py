"""What a benchmark states: figures, each against a peer or a floor measured in the same run, and limits for them."""

from dataclasses import dataclass
from enum import StrEnum


class Bound(StrEnum):
    """Which side of a limit is the good one."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a figure: of its ratio to the reference, or, `absolute`, of its value."""

    bound: Bound
    value: float
    absolute: bool = False

    def met(self, measured: float) -> bool:
        """Whether a ratio (or value) keeps the limit."""
        return measured <= self.value if self.bound is Bound.AT_MOST else measured >= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `reference` is what the peer or floor came to in the same run, in the same unit.

    `name` identifies it between runs. A figure without limits is there for the reader.
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
        """Value to reference."""
        return self.value / self.reference if self.reference else None

    def measured(self, limit: Limit) -> float:
        """What the limit is about. Raises ValueError for a limit of the ratio where there is no reference."""
        if limit.absolute:
            return self.value
        if self.ratio is None:
            raise ValueError(f"{self.name} has a limit of its ratio, but no reference")
        return self.ratio

    @property
    def met(self) -> bool | None:
        """Whether all limits are kept; None without limits."""
        return all(limit.met(self.measured(limit)) for limit in self.limits) if self.limits else None


@dataclass(frozen=True, slots=True)
class Figures:
    """What one benchmark measured."""

    benchmark: str
    figures: tuple[Figure, ...]


def at_most(value: float) -> Limit:
    """The ratio is at most this."""
    return Limit(Bound.AT_MOST, value)


def at_least(value: float) -> Limit:
    """The ratio is at least this."""
    return Limit(Bound.AT_LEAST, value)


def no_more_than(value: float) -> Limit:
    """The value itself is at most this."""
    return Limit(Bound.AT_MOST, value, absolute=True)


def no_less_than(value: float) -> Limit:
    """The value itself is at least this."""
    return Limit(Bound.AT_LEAST, value, absolute=True)
