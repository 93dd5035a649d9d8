"""Simulated containers; real ones are in tests/integration/test_standins.py."""

import anyio

from aimd.sandbox.kubelet.execution import TERMINATED, Simulation


async def test_a_simulation_succeeds_after_its_time() -> None:
    with anyio.fail_after(5):
        assert await Simulation(0.01).wait() == 0


async def test_a_simulation_runs_until_it_is_stopped() -> None:
    simulation = Simulation(None)
    with anyio.move_on_after(0.05) as scope:
        await simulation.wait()
    assert scope.cancelled_caught
    await simulation.stop(30)
    with anyio.fail_after(5):
        assert await simulation.wait() == TERMINATED == 143
