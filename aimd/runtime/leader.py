"""Leader election between replicas, using a Lease, with client-go's record and timings."""

import os
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
from aimd.runtime.jitter import jitter
from aimd.runtime.kinds import LEASE
from aimd.runtime.objects import Key, Manifest, metadata_of

_log = structlog.get_logger()


def boot_time() -> float:
    """Return the seconds since boot; on Linux, time that the machine was suspended counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def identity() -> str:
    """Return a name for this process: `<pod or host name>_<random UUID>`, as is usual with client-go."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4()}"


@dataclass(frozen=True)
class LeaderElection:
    """Which lease to hold, and for how long. The times are client-go's; all replicas should have the same."""

    name: str
    namespace: str
    identity: str = field(default_factory=identity)
    """Name of this process in the lease; must differ between replicas."""
    lease_duration: float = 15.0
    """Seconds after which a standby takes over from a silent leader."""
    renew_deadline: float = 10.0
    """Seconds after its last renewal for which a leader may write; must be below `lease_duration`."""
    retry_period: float = 2.0
    """Seconds between two renewals, or two attempts to acquire."""


class LeaseLost(Exception):
    """The lease could not be renewed in time. Exit and start again as a standby."""


class LeaderElector:
    """Acquires, renews and releases a lease.

    Expected flow:
    - `acquire`, then `keep` beside the work, then `release` when the work has ended.

    Guarantees:
    - `may_write` is True only within `renew_deadline` of a renewal, counted from before the renewal was sent. Others
      wait `lease_duration` from when they saw it. So no two processes may write at the same time, whatever was slow.
    - Clocks of machines are never compared; only the time since we saw the record change counts.

    Assumptions:
    - `clock` counts seconds, also while the machine is suspended. Clocks run at about the same speed.

    Caveats:
    - A request that was sent in time may arrive later; writes carry a resourceVersion for this reason.

    Errors:
    - LeaseLost from `keep`. Failed requests are retried and not raised.
    """

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
        """Return whether the lease is ours for certain."""
        return self._clock() < self._ours_until

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        _log.info("waiting for lease", lease=str(self._key), identity=self._options.identity)
        while True:
            if await self._attempt():
                break
            if not await self._until_free():
                await anyio.sleep(self._options.retry_period * jitter(1.0, 1.2))
        _log.info("became leader", lease=str(self._key), identity=self._options.identity)

    async def keep(self) -> None:
        """Renew the lease until canceled. Raises LeaseLost if that fails for `renew_deadline`."""
        while True:
            await anyio.sleep(self._options.retry_period)
            await self._attempt()
            if not self.may_write():
                raise LeaseLost(f"lease {self._key} was not renewed within {self._options.renew_deadline} s")

    async def release(self) -> None:
        """Release the lease if it is ours, so that a standby need not wait for it to expire."""
        if not self.may_write() or self._record is None:
            return
        self._ours_until = float("-inf")
        spec = {**self._record["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            await self._client.replace(LEASE, {**self._record, "spec": spec}, reason="leader-release")
        except ApiError as error:
            _log.warning("lease not released", error=str(error))

    async def _attempt(self) -> bool:
        """Try once to acquire or renew the lease; return whether it is ours."""
        asked_at = self._clock()
        try:
            if not self.may_write():
                await self._read()
            if self._record is not None and not self._is_free():
                return False
            with anyio.CancelScope(shield=True):  # Without the response the lease could not be released.
                if self._record is None:
                    record = await self._client.create(LEASE, self._new(), reason="leader-election")
                else:
                    renewed = self._renewed(self._record)
                    record = await self._client.replace(LEASE, renewed, reason="leader-election")
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
        """Watch the lease until it is released or expires; return False if it can't be watched."""
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
        """Return the seconds until the lease expires unless it is renewed."""
        spec = (self._record or {}).get("spec") or {}
        return self._seen_at + float(spec.get("leaseDurationSeconds") or 0) - self._clock()

    def _new(self) -> Manifest:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self._key.name, "namespace": self._key.namespace},
            "spec": self._spec(transitions=0, acquired=_now()),
        }

    def _renewed(self, record: Manifest) -> Manifest:
        spec = record.get("spec") or {}
        transitions = int(spec.get("leaseTransitions") or 0)
        if spec.get("holderIdentity") == self._options.identity:
            acquired = spec.get("acquireTime") or _now()
        else:
            transitions, acquired = transitions + 1, _now()
        return {**record, "spec": {**spec, **self._spec(transitions=transitions, acquired=acquired)}}

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
