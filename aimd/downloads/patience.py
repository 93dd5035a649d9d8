"""How long to ask again, and how late: bounded, and renewed by every byte that arrives."""

import email.utils
import random
import time

import anyio
import structlog

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.progress import Progress

DEFAULT_SECONDS = 180.0
_LONGEST_BACKOFF = 30.0
_LONGEST_RETRY_AFTER = 300.0  # the hub counts requests in windows of five minutes

_log = structlog.get_logger()


class Retryable(Exception):
    """A failure that another request may not meet; `wait` in seconds when the server said how long."""

    def __init__(self, detail: str, wait: float | None = None) -> None:
        super().__init__(detail)
        self.wait = wait


class Patience:
    """Bears the failures of one request or file for some `seconds` since it last moved."""

    def __init__(self, progress: Progress, seconds: float = DEFAULT_SECONDS) -> None:
        self._progress = progress
        self._seconds = seconds
        self._failures = 0
        self._since = progress.clock()

    def renew(self) -> None:
        """Bytes arrived."""
        self._failures = 0

    async def wait(self, failure: Retryable) -> None:
        """Sleeps before the next request. Raises DownloadFailure once that has gone on for too long."""
        if not self._failures:
            self._since = self._progress.clock()
        self._failures += 1
        tried = self._progress.clock() - self._since
        if tried >= self._seconds:
            text = f"{failure}; tried for {tried:.0f} s: check the endpoint, the network and proxies"
            raise DownloadFailure(Reason.NETWORK, text) from failure
        seconds = min(2.0 ** min(self._failures, 10) / 2, _LONGEST_BACKOFF) * random.uniform(0.5, 1.0)
        if failure.wait is not None:
            seconds = min(failure.wait, _LONGEST_RETRY_AFTER)
        _log.warning("request failed, trying again", error=str(failure), seconds=round(seconds, 1))
        self._progress.resting(seconds)
        await anyio.sleep(seconds)


def is_passing(status: int) -> bool:
    """Whether an HTTP status speaks of a moment's trouble: a timeout, too many requests, a broken server."""
    return status in (408, 425, 429) or status >= 500


def retry_after(text: str) -> float | None:
    """Seconds a `Retry-After` header asks for; None for no header or one that cannot be read."""
    if text.strip().isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0.0, moment.timestamp() - time.time())
