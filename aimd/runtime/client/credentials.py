"""The bearer token of our requests.

kr8s renews credentials only after a failed request, once for each failed request at the same time, and closes the
session that other requests use. So every request has its own `Authorization` header instead.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

_FILE_PERIOD = 60.0
"""Seconds between reads of a token file, as in client-go; kubelets rotate tokens long before they expire."""


class TokenSource:
    """Provides the token to send.

    `token_file` is a file that others keep fresh. Without one, `reload` gets a new token from the configuration
    (kubeconfig, exec plugin). With client certificates there is no token, and every header is empty.

    Guarantees:
    - However many requests are refused at the same time, the token is renewed once.

    Errors:
    - OSError from the constructor if the token file can't be read; later the last token is used.
    """

    def __init__(
        self,
        token: str | None,
        reload: Callable[[], Awaitable[str | None]],
        token_file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = (token or "").strip()
        self._reload = reload
        self._token_file = token_file
        self._clock = clock
        self._read_at = clock()
        self._lock = anyio.Lock()
        if token_file is not None:
            self._read(token_file)

    def header(self) -> dict[str, str]:
        """Return the headers that authenticate a request."""
        if self._token_file is not None and self._clock() - self._read_at >= _FILE_PERIOD:
            self._read(self._token_file)
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    async def refresh(self, rejected: dict[str, str]) -> bool:
        """Renew the token after a 401 for the headers `rejected`; return whether there are other headers to try."""
        async with self._lock:
            if self.header() != rejected:
                return True
            if self._token_file is not None:
                self._read(self._token_file)
            else:
                self._token = (await self._reload() or "").strip()
            return self.header() != rejected

    def _read(self, token_file: Path) -> None:
        self._read_at = self._clock()
        try:
            self._token = token_file.read_text().strip()
        except OSError:
            if not self._token:
                raise
