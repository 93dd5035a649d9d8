"""The bearer token of our requests: read again while it is young, refreshed once however many requests need it.

kr8s reads credentials again only after a failed request, and then once per failed request at the same time, which
closes the session under everybody else. So we send our own `Authorization` header on each request.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

_FILE_PERIOD = 60.0
"""Kubelets rotate projected tokens long before they expire; client-go looks as often."""


class TokenSource:
    """Gives the token to send now.

    `reload` asks the configuration for a new token (kubeconfig, exec plugin); `token_file` overrides it with a file
    that somebody else keeps fresh. Client certificates need no token: then every header is empty.
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
            self._read_file()

    def header(self) -> dict[str, str]:
        """Headers that authenticate one request."""
        if self._token_file is not None and self._clock() - self._read_at >= _FILE_PERIOD:
            self._read_file()
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    async def refresh(self, rejected: dict[str, str]) -> bool:
        """After a 401 for the headers `rejected`: True when there are other ones to try now."""
        async with self._lock:
            if self.header() != rejected:
                return True
            if self._token_file is not None:
                self._read_file()
            else:
                self._token = (await self._reload() or "").strip()
            return self.header() != rejected

    def _read_file(self) -> None:
        assert self._token_file is not None
        self._read_at = self._clock()
        try:
            self._token = self._token_file.read_text().strip()
        except OSError:
            if not self._token:
                raise
