"""Leader election in virtual time; against a real API server in tests/integration/test_runtime_manager.py."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from aimd.runtime.errors import ApiError, Unavailable
from aimd.runtime.kinds import LEASE
from aimd.runtime.leader import LeaderElection, LeaderElector, LeaseLost, identity
from aimd.runtime.objects import Key, Manifest
from tests.unit.runtime.fake_api import FakeApi
from tests.unit.runtime.virtual_time import now, virtually

KEY = Key("ns", "lease")


@dataclass
class Scene:
    """An API server, and electors that share its clock."""

    api: FakeApi = field(default_factory=FakeApi)
    slow: list[str] = field(default_factory=list)

    def elector(self, name: str) -> LeaderElector:
        options = LeaderElection("lease", "ns", identity=name)
        return LeaderElector(self.api.client, options, clock=now, on_slow_path=lambda: self.slow.append(name))

    @property
    def lease(self) -> Manifest:
        spec: Manifest = self.api.objects[LEASE, KEY]["spec"]
        return spec

    @property
    def holder(self) -> str:
        return str(self.lease["holderIdentity"])


def played(scenario: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    async def play() -> Scene:
        scene = Scene()
        await scenario(scene)
        return scene

    return virtually(play)


def test_the_first_acquires_at_once_and_records_itself() -> None:
    async def scenario(scene: Scene) -> None:
        first = scene.elector("first")
        assert not first.may_write()
        await first.acquire()
        assert (first.may_write(), now()) == (True, 0)

    lease = played(scenario).lease
    assert (lease["holderIdentity"], lease["leaseDurationSeconds"], lease["leaseTransitions"]) == ("first", 15, 0)
    assert lease["acquireTime"] <= lease["renewTime"]


def test_a_leader_renews_and_a_standby_waits() -> None:
    async def scenario(scene: Scene) -> None:
        first, second = scene.elector("first"), scene.elector("second")
        await first.acquire()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.keep)
            tasks.start_soon(second.acquire)
            for _ in range(60):
                await anyio.sleep(1)
                assert (first.may_write(), second.may_write()) == (True, False)
            tasks.cancel_scope.cancel()

    assert played(scenario).holder == "first"


def test_a_released_lease_is_taken_over_at_once() -> None:
    async def scenario(scene: Scene) -> None:
        first, second = scene.elector("first"), scene.elector("second")
        await first.acquire()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second.acquire)
            await anyio.sleep(7)
            await first.release()
            assert not first.may_write()
        assert (second.may_write(), now()) == (True, 7)

    scene = played(scenario)
    assert (scene.holder, scene.lease["leaseTransitions"]) == ("second", 1)


def test_a_silent_leader_is_replaced_only_after_it_may_no_longer_write() -> None:
    async def scenario(scene: Scene) -> None:
        first, second = scene.elector("first"), scene.elector("second")
        await first.acquire()
        stopped_at: list[float] = []

        async def watch_both() -> None:
            while not second.may_write():
                await anyio.sleep(0.1)
                assert not (first.may_write() and second.may_write())
                if not first.may_write() and not stopped_at:
                    stopped_at.append(now())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_both)
            tasks.start_soon(second.acquire)
        assert stopped_at[0] == pytest.approx(10, abs=0.2)
        assert now() == pytest.approx(15, abs=2.5)

    assert played(scenario).holder == "second"


def test_a_slow_renewal_counts_from_when_it_was_sent() -> None:
    async def scenario(scene: Scene) -> None:
        scene.api.latency = 4.0
        first = scene.elector("first")
        await first.acquire()  # A read, then the creation: 8 s.
        assert first.may_write()
        await anyio.sleep(9.9 - 8)
        assert first.may_write()
        await anyio.sleep(0.2)
        assert not first.may_write()

    played(scenario)


def test_a_leader_that_cannot_renew_gives_up_in_time_and_retries_before() -> None:
    async def scenario(scene: Scene) -> None:
        first = scene.elector("first")
        await first.acquire()
        scene.api.faults = [Unavailable("down", status=503)] * 100
        with pytest.raises(LeaseLost, match="not renewed within"):
            await first.keep()
        assert 10 <= now() <= 12
        await first.release()

    scene = played(scenario)
    assert scene.slow == ["first"] * 4, "each failed renewal reads the lease again"
    assert scene.holder == "first", "a lease that is not ours for certain is not released"


@pytest.mark.parametrize("fault", [Unavailable("down", status=503), ApiError("bad gateway", status=502)])
def test_a_failed_renewal_in_between_does_no_harm(fault: ApiError) -> None:
    async def scenario(scene: Scene) -> None:
        first = scene.elector("first")
        await first.acquire()
        scene.api.faults = [fault, fault]
        with anyio.move_on_after(30):
            await first.keep()
        assert first.may_write()

    played(scenario)


def test_a_lease_that_was_taken_away_ends_writing_at_once() -> None:
    async def scenario(scene: Scene) -> None:
        first = scene.elector("first")
        await first.acquire()
        taken = scene.api.objects[LEASE, KEY]
        scene.api.put(LEASE, {**taken, "spec": {**taken["spec"], "holderIdentity": "another"}})
        with pytest.raises(LeaseLost):
            await first.keep()
        assert now() <= 2.1, "the first renewal got a conflict"

    assert played(scenario).holder == "another"


def test_identities_differ_and_name_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "aimd-0")
    assert identity() != identity()
    assert identity().startswith("aimd-0_")
