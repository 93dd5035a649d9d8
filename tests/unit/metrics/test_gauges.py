"""How gauges are declared."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from aimd.metrics.fleet import Fleet
from aimd.metrics.gauges import Gauge, counted, summed
from tests.unit.metrics.fleet import FleetWorld


def gauge(count: int) -> Gauge:
    def series(_fleet: Fleet) -> Iterator[tuple[tuple[str, ...], float]]:
        yield from (((str(number),), number) for number in range(count))

    return Gauge("some_things", "Some things.", ("name",), series)


@given(st.integers(0, 9), st.integers(0, 9) | st.none())
def test_a_family_has_all_of_its_series_or_there_is_none(count: int, limit: int | None) -> None:
    world = FleetWorld()
    family = gauge(count).family(Fleet(world.cache, world.slots), limit)
    if limit is not None and count > limit:
        assert family is None
    else:
        assert family is not None
        assert [(sample.labels["name"], sample.value) for sample in family.samples] == [
            (str(number), number) for number in range(count)
        ]


def test_series_beyond_the_limit_are_not_computed() -> None:
    def series(_fleet: Fleet) -> Iterator[tuple[tuple[str, ...], float]]:
        yield from (((str(number),), 1.0) for number in range(3))
        raise AssertionError

    world = FleetWorld()
    assert Gauge("things", "Things.", ("name",), series).family(Fleet(world.cache, world.slots), limit=2) is None


def test_labels_are_counted_and_summed_in_order() -> None:
    assert list(counted([("b",), ("a",), ("b",)])) == [(("a",), 1), (("b",), 2)]
    assert list(summed([(("b",), 5), (("a",), 0), (("b",), 2)])) == [(("a",), 0), (("b",), 7)]
