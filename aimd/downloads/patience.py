"""How often and how late to ask again: bounded, and renewed by every byte that arrives."""

import email.utils
import random
import time

import anyio
import structlog

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.progress import Progress

ATTEMPTS_WITHOUT_PROGRESS = 5
_LONGEST_BACKOFF = 30.0
_LONGEST_RETRY_AFTER = 300.0  # the hub counts requests in windows of five minutes

_log = structlog.get_logger()


class Retryable(Exception):
    """A failure that another request may not meet; `wait` in seconds when the server said how long."""

    def __init__(self, detail: str, wait: float | None = None) -> None:
        super().__init__(detail)
        self.wait = wait


class Patience:
    """Counts the failures of one request or file since it last moved."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._failures = 0

    def renew(self) -> None:
        """Bytes arrived."""
        self._failures = 0

    async def wait(self, failure: Retryable) -> None:
        """Sleeps before the next request. Raises DownloadFailure once there were too many in a row."""
        self._failures += 1
        if self._failures > ATTEMPTS_WITHOUT_PROGRESS:
            raise DownloadFailure(Reason.NETWORK, str(failure)) from failure
        seconds = min(2.0**self._failures / 2, _LONGEST_BACKOFF) * random.uniform(0.5, 1.0)
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
