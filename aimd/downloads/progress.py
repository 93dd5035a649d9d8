"""Progress of a download: counts bytes, notices a stall, and calls for reports at a limited rate."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from aimd.downloads.failures import DownloadFailure, Reason

Clock = Callable[[], float]

_LEAST_BYTES = 64 * 2**10
"""Bytes within the stall timeout that count as progress; less is a trickle that would never end."""
_RATE_SECONDS = 30.0
_LONGEST_SILENCE = 10.0
"""Seconds after which progress is reported again even if it is unchanged."""


@dataclass(slots=True)
class Progress:
    """Counters in bytes, and the time of the last activity in seconds of `clock`.

    `total` is needed, `present` is on the volume, `fetched` came over the network.
    """

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
        """Record activity: bytes were received or hashed."""
        self.last_active = max(self.last_active, self.clock())

    def pausing(self, seconds: float) -> None:
        """Record an intended pause before a retry, which is not a stall."""
        self.last_active = max(self.last_active, self.clock() + seconds)

    def restart(self) -> None:
        """Start a new attempt: count the present bytes from zero, and start its stall timeout."""
        self.present = self._shown = 0
        self._samples.clear()
        self.last_active = self.clock()

    def received(self, size: int) -> None:
        """Count bytes that came over the network and are on the volume."""
        self.fetched += size
        self.present += size
        self._trickle += size
        if self._trickle >= _LEAST_BYTES:
            self.finished()

    def finished(self) -> None:
        """Record that a file is complete, or that enough of one arrived to count as activity."""
        self._trickle = 0
        self.active()

    @property
    def shown(self) -> int:
        """Bytes to show: never fewer than before, never more than the total."""
        self._shown = max(self._shown, min(self.present, self.total or self.present))
        return self._shown

    def rate(self) -> float:
        """Return bytes per second over the network, averaged over the last 30 s of calls; 0 while unknown."""
        now = self.clock()
        self._samples.append((now, self.fetched))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        since, fetched = self._samples[0]
        return (self.fetched - fetched) / (now - since) if now > since else 0.0

    @property
    def percentage(self) -> int:
        """Whole percent, at most 99: only a finished download has 100."""
        return min(99, self.shown * 100 // self.total) if self.total > 0 else 0


async def watch_for_stall(progress: Progress, timeout: float) -> None:
    """Raise DownloadFailure as soon as nothing has moved for `timeout` seconds."""
    progress.last_active = progress.clock()
    while True:
        idle = progress.clock() - progress.last_active
        if idle >= timeout:
            raise DownloadFailure(
                Reason.STALLED, f"no byte moved for {timeout:g} s: the server, the network or the volume hangs"
            )
        await anyio.sleep(max(0.05, min(timeout - idle, 1.0)))


async def report_regularly(progress: Progress, interval: float, report: Callable[[], Awaitable[None]]) -> None:
    """Call `report` every `interval` seconds if the percentage has changed, and at least every 10 s."""
    reported, reported_at = -1, progress.clock()
    while True:
        due = progress.clock() - reported_at >= max(_LONGEST_SILENCE, interval)
        if progress.percentage != reported or due:
            reported, reported_at = progress.percentage, progress.clock()
            await report()
        await anyio.sleep(interval)


def describe(progress: Progress) -> str:
    """Return amount, rate and remaining time for people: `1.2 of 65.0 GB, 310 MB/s, 3 min left`."""
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
