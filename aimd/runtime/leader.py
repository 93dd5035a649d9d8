"""Lease-based leader election with client-go's record and timings.

The lease is ours from the moment of a successful renewal, measured by our own clock *before* the request was sent, for
`renew_deadline`; others wait `lease_duration` after they saw the last renewal. So there is a gap in which nobody may
write, whatever was slow, and `may_write` (the client's fence) needs no second opinion. Clocks of machines are never
compared: only the time since we last *saw the record change* counts.
"""

import os
import random
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
import structlog

from aimd.runtime.client import Client, Selection
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.kinds import LEASE
from aimd.runtime.objects import Key, Manifest, metadata_of

_log = structlog.get_logger()


def boot_time() -> float:
    """Seconds that also count while the machine sleeps, where the system can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def identity() -> str:
    """`<host name>_<random UUID>`, as client-go's users name themselves."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4()}"


@dataclass(frozen=True)
class LeaderElection:
    """Which lease to hold; times in seconds."""

    name: str
    namespace: str
    identity: str = field(default_factory=identity)
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


class LeaseLost(Exception):
    """The lease could not be renewed in time; the process has to end and start again as a standby."""


class LeaderElector:
    """Acquires, renews and releases one lease."""

    def __init__(
        self,
        client: Client,
        options: LeaderElection,
        *,
        clock: Callable[[], float] = boot_time,
        on_slow_path: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._options = options
        self._clock = clock
        self._on_slow_path = on_slow_path
        self._key = Key(options.namespace, options.name)
        self._record: Manifest | None = None
        self._seen_at = 0.0
        self._ours_until = float("-inf")

    def may_write(self) -> bool:
        """Whether the lease is certainly ours now."""
        return self._clock() < self._ours_until

    async def acquire(self) -> None:
        """Returns when the lease is ours."""
        _log.info("waiting for the lease", lease=str(self._key), identity=self._options.identity)
        while True:
            if await self._attempt():
                break
            if not await self._until_free():
                await anyio.sleep(self._options.retry_period * random.uniform(1.0, 1.2))
        _log.info("became leader", lease=str(self._key), identity=self._options.identity)

    async def keep(self) -> None:
        """Renews until cancelled. Raises LeaseLost when that did not succeed for `renew_deadline`."""
        while True:
            await anyio.sleep(self._options.retry_period)
            await self._attempt()
            if not self.may_write():
                raise LeaseLost(f"lease {self._key} was not renewed within {self._options.renew_deadline} s")

    async def release(self) -> None:
        """Gives the lease up if it is ours, so that a standby need not wait for it to run out."""
        if not self.may_write() or self._record is None:
            return
        self._ours_until = float("-inf")
        spec = {**self._record["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            await self._client.replace(LEASE, {**self._record, "spec": spec}, reason="leader-release")
        except ApiError as error:
            _log.warning("lease not released", error=str(error))

    async def _attempt(self) -> bool:
        """Tries once to get or renew the lease; True if it is ours now."""
        asked_at = self._clock()
        try:
            if not self.may_write():
                await self._read()
            if self._record is not None and not self._is_free():
                return False
            with anyio.CancelScope(shield=True):  # Whose answer nobody hears is a lease that nobody can give up.
                if self._record is None:
                    record = await self._client.create(LEASE, self._new(), reason="leader-election")
                else:
                    record = await self._client.replace(LEASE, self._renewed(), reason="leader-election")
        except ApiError as error:
            _log.debug("lease not renewed", error=str(error))
            if self.may_write():
                self._on_slow_path()
            await self._refresh()
            return False
        self._observe(record)
        self._ours_until = asked_at + self._options.renew_deadline
        return True

    async def _until_free(self) -> bool:
        """Watches the lease until it is released or runs out, True; False when it cannot be watched."""
        if self._record is None or self._is_free():
            return False
        name = f"metadata.name={self._key.name}"
        selection = Selection(LEASE, self._key.namespace, field_selector=name)
        version = str(metadata_of(self._record).get("resourceVersion") or "")
        with anyio.CancelScope(deadline=anyio.current_time() + self._remaining()) as patience:
            try:
                async with self._client.watch(selection, version) as stream:
                    async for events in stream:
                        for event in events:
                            if event.type in ("ADDED", "MODIFIED"):
                                self._observe(event.object)
                            elif event.type != "BOOKMARK":
                                return False
                        if self._is_free():
                            return True
                        patience.deadline = anyio.current_time() + self._remaining()
            except ApiError as error:
                _log.debug("lease not watched", error=str(error))
        return patience.cancelled_caught

    async def _refresh(self) -> None:
        try:
            await self._read()
        except ApiError as error:
            _log.debug("lease not read", error=str(error))

    async def _read(self) -> None:
        try:
            self._observe(await self._client.get(LEASE, self._key))
        except NotFound:
            self._record = None

    def _observe(self, record: Manifest) -> None:
        if self._record is None or record.get("spec") != self._record.get("spec"):
            self._seen_at = self._clock()
        if (record.get("spec") or {}).get("holderIdentity") != self._options.identity:
            self._ours_until = float("-inf")
        self._record = record

    def _is_free(self) -> bool:
        spec = (self._record or {}).get("spec") or {}
        return (spec.get("holderIdentity") or "") in ("", self._options.identity) or self._remaining() <= 0

    def _remaining(self) -> float:
        """Seconds until the lease runs out unless it is renewed."""
        spec = (self._record or {}).get("spec") or {}
        return self._seen_at + float(spec.get("leaseDurationSeconds") or 0) - self._clock()

    def _new(self) -> Manifest:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self._key.name, "namespace": self._key.namespace},
            "spec": self._spec(transitions=0, acquired=_now()),
        }

    def _renewed(self) -> Manifest:
        assert self._record is not None
        spec = self._record.get("spec") or {}
        transitions = int(spec.get("leaseTransitions") or 0)
        if spec.get("holderIdentity") == self._options.identity:
            acquired = spec.get("acquireTime") or _now()
        else:
            transitions, acquired = transitions + 1, _now()
        return {**self._record, "spec": {**spec, **self._spec(transitions=transitions, acquired=acquired)}}

    def _spec(self, *, transitions: int, acquired: str) -> Manifest:
        return {
            "holderIdentity": self._options.identity,
            "leaseDurationSeconds": int(self._options.lease_duration),
            "acquireTime": acquired,
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
