"""Whose turn it is. See also tests/unit/controllers/service_template/test_discovery_slots.py."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aimd.controllers.turns import Turns

Ticket = tuple[str, int]


def turns(share: int = 3, kept: int = 1) -> Turns[Ticket]:
    return Turns(share, kept, 5.0, lambda ticket: ticket[0])


def test_namespaces_take_turns() -> None:
    """Prove TPL-DSC-17 and MDL-INS-6."""
    queue = turns(kept=0)
    for ticket in (("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1), ("b", 2)):
        queue.ask(ticket, 0.0)
    assert queue.next(5, ()) == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2)]
    assert queue.next(6, [("a", 0), ("b", 0)]) == [("c", 1), ("a", 1), ("b", 1), ("a", 2)]


def test_a_place_is_kept_for_those_that_have_none() -> None:
    queue = turns()
    for ticket in (("a", 1), ("a", 2), ("a", 3)):
        queue.ask(ticket, 0.0)
    assert queue.next(3, ()) == [("a", 1), ("a", 2)]
    queue.ask(("b", 1), 0.0)
    assert queue.next(3, [("a", 1), ("a", 2)]) == [("b", 1)]


def test_who_does_not_ask_any_more_loses_its_place() -> None:
    queue = turns()
    queue.ask(("gone", 1), 0.0)
    queue.ask(("a", 1), 6.0)
    assert queue.next(1, ()) == [("a", 1)]
    assert queue.waiting(6.0) == 1


@given(
    waiting=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), unique=True),
    holders=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(10, 19)), unique=True),
    total=st.integers(1, 10),
)
def test_a_namespace_without_a_place_is_next(waiting: list[Ticket], holders: list[Ticket], total: int) -> None:
    """Prove TPL-DSC-17 and MDL-INS-6."""
    queue = turns()
    for ticket in waiting:
        queue.ask(ticket, 0.0)
    granted = queue.next(total, holders)
    held = Counter(namespace for namespace, _ in holders)
    had_none = [namespace for namespace, _ in granted if not held[namespace]]
    first = dict.fromkeys(namespace for namespace, _ in waiting if not held[namespace])
    assert had_none[: len(first)] == list(first)[: len(had_none)]
    for namespace, _ in granted:
        held[namespace] += 1
    assert all(held[namespace] <= 3 for namespace, _ in granted)
