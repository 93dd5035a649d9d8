"""Retries of failed requests: how long to wait between them, and when to give up."""

import email.utils
import random
import time

import anyio
import structlog

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.progress import Progress

DEFAULT_SECONDS = 180.0
"""Time without a byte after which retries end."""
_LONGEST_WAIT = 30.0
_LONGEST_RETRY_AFTER = 300.0  # the hub counts requests in windows of five minutes

_log = structlog.get_logger()


class Retryable(Exception):
    """A failure that another request may not meet; `wait` in seconds if the server said how long to wait."""

    def __init__(self, detail: str, wait: float | None = None) -> None:
        super().__init__(detail)
        self.wait = wait


class Backoff:
    """Waits between the attempts of one request or file, and gives up after `seconds` of failures.

    The time counts from the first failure, or from the first one after `reset`.
    """

    def __init__(self, progress: Progress, seconds: float = DEFAULT_SECONDS) -> None:
        self._progress = progress
        self._seconds = seconds
        self._failures = 0
        self._since = progress.clock()

    def reset(self) -> None:
        """Forget earlier failures, because bytes have arrived."""
        self._failures = 0

    async def wait(self, failure: Retryable) -> None:
        """Sleep before the next attempt. Raises DownloadFailure if the failures have lasted too long."""
        if not self._failures:
            self._since = self._progress.clock()
        self._failures += 1
        tried = self._progress.clock() - self._since
        if tried >= self._seconds:
            text = f"{failure}; gave up after {tried:.0f} s. Check the endpoint, the network and proxies"
            raise DownloadFailure(Reason.NETWORK, text) from failure
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, not a secret
        seconds = min(2.0 ** min(self._failures, 10) / 2, _LONGEST_WAIT) * jitter
        if failure.wait is not None:
            seconds = min(failure.wait, _LONGEST_RETRY_AFTER)
        _log.warning("request failed, retrying", error=str(failure), seconds=round(seconds, 1))
        self._progress.pausing(seconds)
        await anyio.sleep(seconds)


def is_transient(status: int) -> bool:
    """Return whether an HTTP status is a temporary problem: a timeout, too many requests, a server error."""
    return status in (408, 425, 429) or status >= 500


def retry_after(text: str) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; None if it is empty or cannot be parsed."""
    if text.strip().isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0.0, moment.timestamp() - time.time())
