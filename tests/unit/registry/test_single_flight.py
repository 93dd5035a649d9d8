"""Callers of the same thing share a call, and none waits in vain."""

import anyio
import pytest

from aimd.registry.single_flight import SingleFlight


class Calls:
    """A call that takes a moment, and what came of earlier ones."""

    def __init__(self) -> None:
        self.flight: SingleFlight[str, int] = SingleFlight()
        self.made = 0
        self.broken = False

    async def run(self, key: str = "a") -> int:
        return await self.flight.run(key, lambda: None, self._call)

    async def _call(self) -> int:
        self.made += 1
        made = self.made
        await anyio.sleep(0.001)
        if self.broken:
            raise ValueError("broken")
        return made


async def test_concurrent_callers_share_one_call() -> None:
    calls, results = Calls(), list[int]()

    async def caller(key: str) -> None:
        results.append(await calls.run(key))

    async with anyio.create_task_group() as group:
        for key in ("a", "a", "b", "a"):
            group.start_soon(caller, key)
    assert sorted(results) == [1, 1, 1, 2]
    assert await calls.run() == 3


async def test_what_is_known_needs_no_call() -> None:
    calls = Calls()
    assert await calls.flight.run("a", lambda: 7, calls._call) == 7
    assert calls.made == 0


async def test_those_who_wait_call_again_after_a_canceled_caller() -> None:
    calls, results = Calls(), list[int]()

    async def caller() -> None:
        results.append(await calls.run())

    async with anyio.create_task_group() as group, anyio.create_task_group() as first:
        first.start_soon(caller)
        await anyio.lowlevel.checkpoint()
        group.start_soon(caller)
        group.start_soon(caller)
        await anyio.lowlevel.checkpoint()
        first.cancel_scope.cancel()
    assert results == [2, 2]


async def test_an_exception_is_that_of_its_own_caller() -> None:
    calls = Calls()
    calls.broken = True
    with pytest.raises(ValueError, match="broken"):
        await calls.run()
    calls.broken = False
    assert await calls.run() == 2
