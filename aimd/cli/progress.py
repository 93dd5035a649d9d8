"""One line on the terminal that shows what a long command is doing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

_INTERVAL = 20.0  # seconds between two lines about one step in a log


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a step, written as `step` or `step: detail`, on standard error."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        with console.status("") as status:
            yield lambda line: status.update(line)
    else:
        yield _Lines(console)


class _Lines:
    """Print a line for each new step, and from time to time one for its detail; for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""
        self._last = 0.0

    def __call__(self, line: str) -> None:
        step = line.partition(":")[0]
        if step != self._step or time.monotonic() - self._last > _INTERVAL:
            self._step, self._last = step, time.monotonic()
            self._console.print(line, soft_wrap=True)
