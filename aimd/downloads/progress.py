"""How far a download is: counted here, told to the terminal and to the artifact's status at a bounded rate."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from aimd.downloads.failures import DownloadFailure, Reason

Clock = Callable[[], float]


@dataclass(slots=True)
class Progress:
    """Bytes there are, bytes needed, bytes moved over the network, and when anything last moved (seconds)."""

    total: int = 0
    present: int = 0
    fetched: int = 0
    clock: Clock = time.monotonic
    last_active: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.active()

    def active(self) -> None:
        """Something moved: network bytes, or bytes hashed."""
        self.last_active = max(self.last_active, self.clock())

    def resting(self, seconds: float) -> None:
        """A pause on purpose, before a request is made again, is no stall."""
        self.last_active = max(self.last_active, self.clock() + seconds)

    def restart(self) -> None:
        """A new attempt counts what is there from nothing, and begins its time limit."""
        self.present = 0
        self.last_active = self.clock()

    def received(self, size: int) -> None:
        """Bytes came over the network and are on disk."""
        self.fetched += size
        self.present += size
        self.active()

    @property
    def percentage(self) -> int:
        """Whole percent, at most 99: 100 is said only of a finished download."""
        return min(99, self.present * 100 // self.total) if self.total > 0 else 0


async def watch_for_stall(progress: Progress, timeout: float) -> None:
    """Raises DownloadFailure when nothing has moved for `timeout` seconds."""
    progress.last_active = progress.clock()
    while True:
        idle = progress.clock() - progress.last_active
        if idle >= timeout:
            raise DownloadFailure(Reason.STALLED, f"no byte moved for {timeout:g} s; the source or the network hangs")
        await anyio.sleep(max(0.05, min(timeout - idle, 1.0)))


async def report_regularly(progress: Progress, interval: float, report: Callable[[], Awaitable[None]]) -> None:
    """Calls `report` every `interval` seconds while the number shown has changed, and every 10 s at least."""
    shown, shown_at = -1, progress.clock()
    while True:
        due = progress.clock() - shown_at >= max(10.0, interval)
        if progress.percentage != shown or due:
            shown, shown_at = progress.percentage, progress.clock()
            await report()
        await anyio.sleep(interval)
