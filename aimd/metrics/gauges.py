"""How a gauge of the fleet is declared, and how it becomes a family of Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from prometheus_client.core import GaugeMetricFamily

from aimd.metrics.fleet import Fleet

Series: TypeAlias = Iterator[tuple[tuple[str, ...], float]]
"""Pairs of label values, in the order of the labels, and the value of the series."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge whose series are computed from the fleet at each scrape.

    `per_object` marks a gauge whose labels name single objects, so that it has as many series as there are objects.
    """

    name: str
    text: str
    labels: tuple[str, ...]
    series: Callable[[Fleet], Series]
    per_object: bool = False

    def family(self, fleet: Fleet, limit: int | None = None) -> GaugeMetricFamily | None:
        """Return the family as it is now; None if it would have more than `limit` series."""
        series = self.series(fleet)
        listed = list(series if limit is None else islice(series, limit + 1))
        if limit is not None and len(listed) > limit:
            return None
        family = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for labels, value in listed:
            family.add_metric(labels, value)
        return family


def counted(items: Iterable[tuple[str, ...]]) -> Series:
    """Yield how often each tuple of label values occurs, sorted by the labels."""
    yield from sorted(Counter(items).items())


def summed(amounts: Iterable[tuple[tuple[str, ...], int]]) -> Series:
    """Yield the sum of the amounts of each tuple of label values, sorted by the labels."""
    totals: Counter[tuple[str, ...]] = Counter()
    for labels, amount in amounts:
        totals[labels] += amount
    yield from sorted(totals.items())
