"""Run coroutines on a clock that jumps: waiting takes no time, and timers fire in order at the exact second."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as nothing else is left to do."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self.now


class _Jumping(selectors.SelectSelector):
    """Waits for no file: returns at once, after moving the loop's clock by the time to wait."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the files that are ready, and move the clock if there are none."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("the test waits for something that never happens")
            self._loop.now += timeout
        return ready


def virtually(scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `scenario` on a loop with virtual time and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario())


def now() -> float:
    """Return the virtual time inside a scenario."""
    return asyncio.get_running_loop().time()
