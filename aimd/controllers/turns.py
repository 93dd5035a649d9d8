"""Whose turn it is where many wait for few places: dealt out by namespace (TPL-DSC-17, MDL-INS-6)."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import Generic, TypeVar

_REMEMBERED = 4096

TicketT = TypeVar("TicketT", bound=Hashable)


class Turns(Generic[TicketT]):
    """The queue of those that wait. They must ask again every few seconds; who stops loses its place.

    A namespace with fewer places goes first, and none has more than `share`. `kept` places are for namespaces that have
    none.
    """

    def __init__(self, share: int, kept: int, forget_seconds: float, namespace_of: Callable[[TicketT], str]) -> None:
        self._share = share
        self._kept = kept
        self._forget_seconds = forget_seconds
        self._namespace_of = namespace_of
        self._queue: dict[TicketT, float] = {}
        self._served: dict[str, int] = {}
        """The last namespaces that got a place, by number: the higher, the later."""
        self._numbers = count(1)

    def ask(self, ticket: TicketT, now: float) -> None:
        """Enter the queue; a ticket that is in it keeps its place."""
        self._queue[ticket] = now
        self._queue = {other: seen for other, seen in self._queue.items() if now - seen < self._forget_seconds}

    def take(self, ticket: TicketT) -> None:
        """Leave the queue with a place."""
        namespace = self._namespace_of(ticket)
        self._served.pop(namespace, None)
        self._served[namespace] = next(self._numbers)
        if len(self._served) > _REMEMBERED:
            del self._served[next(iter(self._served))]
        self.leave(ticket)

    def leave(self, ticket: TicketT) -> None:
        """Leave the queue."""
        self._queue.pop(ticket, None)

    def waiting(self, now: float) -> int:
        """Return how many wait."""
        return sum(1 for seen in self._queue.values() if now - seen < self._forget_seconds)

    def next(self, total: int, holders: Iterable[TicketT]) -> list[TicketT]:
        """Return those that would get one of `total` places now, of which `holders` have some, in their order.

        A turn is the number of places that the namespace has by then. Among equal turns the namespace goes first that
        has not been served for longest, then the first request. What a namespace holds beyond its share is not counted,
        so that it takes nothing from others.
        """
        held = Counter(self._namespace_of(ticket) for ticket in holders)
        free = total - sum(min(number, self._share) for number in held.values())
        turns: list[tuple[int, int, int, TicketT]] = []
        for place, ticket in enumerate(self._queue):
            namespace = self._namespace_of(ticket)
            if held[namespace] < self._share:
                turns.append((held[namespace], self._served.get(namespace, 0), place, ticket))
                held[namespace] += 1
        found: list[TicketT] = []
        for number, _, _, ticket in sorted(turns, key=lambda turn: turn[:3]):
            if len(found) < free - (self._kept if number else 0):
                found.append(ticket)
        return found
