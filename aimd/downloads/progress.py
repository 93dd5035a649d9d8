"""How far a download is: counted here, told to the terminal and to the artifact's status at a bounded rate."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from aimd.downloads.failures import DownloadFailure, Reason

Clock = Callable[[], float]

# Less than this within the stall limit is a trickle that will never end, not a download.
_LEAST_BYTES = 64 * 2**10
_RATE_SECONDS = 30.0


@dataclass(slots=True)
class Progress:
    """Bytes there are, bytes needed, bytes moved over the network, and when anything last moved (seconds)."""

    total: int = 0
    present: int = 0
    fetched: int = 0
    clock: Clock = time.monotonic
    last_active: float = field(default=0.0)
    _trickle: int = 0
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    _shown: int = 0

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
        self.present = self._shown = 0
        self._samples.clear()
        self.last_active = self.clock()

    def received(self, size: int) -> None:
        """Bytes came over the network and are on disk."""
        self.fetched += size
        self.present += size
        self._trickle += size
        if self._trickle >= _LEAST_BYTES:
            self.finished()

    def finished(self) -> None:
        """A file is complete, or enough of one came to call it movement."""
        self._trickle = 0
        self.active()

    @property
    def shown(self) -> int:
        """Bytes to show: never fewer than before, never more than there are."""
        self._shown = max(self._shown, min(self.present, self.total or self.present))
        return self._shown

    def rate(self) -> float:
        """Bytes per second over the network, averaged over the last half minute of calls; 0 while unknown."""
        now = self.clock()
        self._samples.append((now, self.fetched))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        since, fetched = self._samples[0]
        return (self.fetched - fetched) / (now - since) if now > since else 0.0

    @property
    def percentage(self) -> int:
        """Whole percent, at most 99: 100 is said only of a finished download."""
        return min(99, self.shown * 100 // self.total) if self.total > 0 else 0


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


def in_words(progress: Progress) -> str:
    """Amount, rate and time left, for people: `1.2 of 65.0 GB, 310 MB/s, 3 min left`."""
    text = f"{_bytes(progress.shown)} of {_bytes(progress.total)}"
    rate = progress.rate()
    if rate < 1:
        return text
    return f"{text}, {_bytes(rate)}/s, {_duration((progress.total - progress.shown) / rate)} left"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
