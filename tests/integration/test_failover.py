"""Replicas of `aimd run`: one writes, and when it ends, dies or freezes the next one goes on; never do two write."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from uuid import uuid4

import pytest

from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import LEASE, NAMESPACE
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.manifests import apply_manifests
from tests.integration.stand_ins import install_own_crds

LEASE_NAME = "3be10d2f.eai.amd.com"
SERVICES = 10
LATE = 1.0
"""What a busy machine may add, in seconds."""


@dataclass
class Replica:
    """A process of its own under a user of its own, so that the audit log tells who wrote."""

    user: str
    kubeconfig: Path
    namespace: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        self.starts += 1
        flags = ["--leader-elect", "--health-probe-bind-address=0", f"--watch-namespaces={self.namespace}"]
        environment = {**os.environ, "AIM_SYSTEM_NAMESPACE": self.namespace, "POD_NAME": self.user}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aimd", "run", f"--kubeconfig={self.kubeconfig}", *flags],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass
class Fleet:
    """Replicas that take turns over the services of one namespace, which somebody edits all the time."""

    admin: Client
    plane: ControlPlane
    namespace: str
    folder: Path
    replicas: list[Replica] = field(default_factory=list)
    edits: int = 0
    _writes: list[tuple[str, str]] = field(default_factory=list)
    _read: int = 0

    def __post_init__(self) -> None:
        self._read = self.plane.audit_log.stat().st_size

    def add(self) -> Replica:
        user = f"{self.namespace}-{len(self.replicas)}"
        kubeconfig = self.plane.add_user(user, groups=["system:masters"])
        replica = Replica(user, kubeconfig, self.namespace, self.folder / f"{user}.log")
        replica.start()
        self.replicas.append(replica)
        return replica

    async def leader(self) -> Replica | None:
        """Who the lease names, if that is one of the replicas."""
        try:
            lease = await self.admin.get(LEASE, Key(self.namespace, LEASE_NAME))
        except NotFound:
            return None
        holder = str(lease["spec"].get("holderIdentity") or "").rpartition("_")[0]
        return next((replica for replica in self.replicas if replica.user == holder), None)

    async def wait_leader(self, *, other_than: Replica | None = None, seconds: float = 40.0) -> tuple[Replica, float]:
        """The next leader and after how many seconds it was one."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            leader = await self.leader()
            if leader is not None and leader is not other_than:
                return leader, time.monotonic() - started
            await asyncio.sleep(0.05)
        raise AssertionError(
            "nobody leads:\n" + "\n".join(replica.log.read_text()[-2000:] for replica in self.replicas)
        )

    async def wait_ready(self, replica: Replica) -> None:
        """Wait until its caches are synced, so that it can take over at once."""
        for _ in range(600):
            if replica.log.read_text().count("caches synced") == replica.starts:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(replica.log.read_text()[-3000:])

    async def edit_forever(self) -> None:
        """Changes of specs, each of which has its status written."""
        for index in range(SERVICES):
            body = {
                "apiVersion": AIM_SERVICE.api_version,
                "kind": AIM_SERVICE.name,
                "metadata": {"name": f"s{index}", "namespace": self.namespace},
                "spec": {"model": {"name": "missing"}, "replicas": 1},
            }
            await self.admin.create(AIM_SERVICE, body, reason="test")
        while True:
            self.edits += 1
            key = Key(self.namespace, f"s{self.edits % SERVICES}")
            await self.admin.patch(AIM_SERVICE, key, {"spec": {"replicas": 1 + self.edits % 7}}, reason="test")
            await asyncio.sleep(0.05)

    def writers(self) -> list[str]:
        """Who wrote statuses, in the order in which the API server received the writes."""
        users = {replica.user for replica in self.replicas}
        self._writes += [
            (event["requestReceivedTimestamp"], event["user"]["username"])
            for event in self._new_events()
            if event["user"]["username"] in users
            and event["verb"] in ("patch", "update", "create", "delete")
            and event["objectRef"]["resource"] == AIM_SERVICE.plural
            and event["responseStatus"]["code"] < 300
        ]
        return [user for _, user in sorted(self._writes)]

    def _new_events(self) -> list[Manifest]:
        """What has come to the audit log; read once, as other tests may have made it long."""
        with self.plane.audit_log.open("rb") as log:
            log.seek(self._read)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]


@pytest.fixture
async def admin(api_server: ControlPlane) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        yield client


@asynccontextmanager
async def fleet_of(replicas: int, admin: Client, plane: ControlPlane, folder: Path) -> AsyncIterator[Fleet]:
    await install_own_crds(admin)
    name = f"ha-{uuid4().hex[:8]}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await apply_manifests(admin, [namespace])
    fleet = Fleet(admin, plane, name, folder)
    editing = asyncio.create_task(fleet.edit_forever())
    try:
        for _ in range(replicas):
            fleet.add()
        await fleet.wait_leader()
        for replica in fleet.replicas:
            await fleet.wait_ready(replica)
        yield fleet
        assert not editing.done(), editing
    finally:
        editing.cancel()
        for replica in fleet.replicas:
            replica.end()
        await asyncio.gather(editing, return_exceptions=True)
    await admin.delete(NAMESPACE, Key("", name), reason="test")


async def until_written(fleet: Fleet, leader: Replica) -> None:
    """Until the leader has written something since."""
    for _ in range(200):
        if leader.user in fleet.writers()[-3:]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(leader.log.read_text()[-3000:])


def turns(writers: list[str]) -> list[str]:
    """Writers without repetition: a late write of an earlier one would show as one turn more."""
    return [user for user, _ in groupby(writers)]


async def test_sigterm_hands_over_within_two_seconds(admin: Client, api_server: ControlPlane, tmp_path: Path) -> None:
    async with fleet_of(2, admin, api_server, tmp_path) as fleet:
        first = await fleet.leader()
        assert first is not None
        await until_written(fleet, first)
        first.send(signal.SIGTERM)
        second, seconds = await fleet.wait_leader(other_than=first)
        assert first.process is not None
        assert first.process.wait(10) == 0
        await until_written(fleet, second)
        print(f"\nSIGTERM to the next leader: {seconds:.2f} s")
        assert seconds <= 2.0
        assert turns(fleet.writers()) == [first.user, second.user]
        log = second.log.read_text()
        assert log.count("caches synced") == 1, "the standby's caches were warm"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.early
async def test_fifty_failovers_and_never_two_writers(admin: Client, api_server: ControlPlane, tmp_path: Path) -> None:
    dice = random.Random(7)
    ways = [terminate] * 44 + [kill] * 3 + [freeze] * 3
    dice.shuffle(ways)
    took: dict[str, list[float]] = {"terminate": [], "kill": [], "freeze": []}
    async with fleet_of(3, admin, api_server, tmp_path) as fleet:
        leader, _ = await fleet.wait_leader()
        for way in ways:
            await until_written(fleet, leader)
            way(fleet, leader)
            following, seconds = await fleet.wait_leader(other_than=leader)
            took[way.__name__].append(seconds)
            await until_written(fleet, following)
            if way is freeze:
                await asyncio.sleep(max(0.0, 30.0 - seconds))
                leader.send(signal.SIGCONT)  # It wakes up as the leader it no longer is.
                await asyncio.sleep(2)
                leader.end()
            else:
                assert leader.process is not None
                await asyncio.to_thread(leader.process.wait)
            leader.start()
            await fleet.wait_ready(leader)
            leader = following
        writers = fleet.writers()
    print({way: f"{len(times)} failovers, {min(times):.2f} to {max(times):.2f} s" for way, times in took.items()})
    print(f"{fleet.edits} edits, {len(writers)} writes of statuses, {len(turns(writers))} turns")
    assert max(took["terminate"]) <= 2.0
    assert max(took["kill"] + took["freeze"]) <= 20.0 + LATE
    assert len(turns(writers)) <= len(ways) + 1


def terminate(fleet: Fleet, leader: Replica) -> None:
    leader.send(signal.SIGTERM)


def kill(fleet: Fleet, leader: Replica) -> None:
    leader.send(signal.SIGKILL)


def freeze(fleet: Fleet, leader: Replica) -> None:
    leader.send(signal.SIGSTOP)
