"""Limits per host: concurrency, and pauses after failures and rate limits."""

import anyio
import pytest

from aimd.registry.failures import Problem, RegistryError, failure
from aimd.registry.gate import FAILURES_BEFORE_PAUSE, PAUSE, Gate


async def test_a_host_pauses_after_failures_in_a_row_and_only_it() -> None:
    """Prove REG-NET-4."""
    now = 0.0
    gate = Gate(1, lambda: now)
    trouble = failure(Problem.NETWORK, "silent")
    for _ in range(FAILURES_BEFORE_PAUSE - 1):
        gate.failed("r.io", trouble)
    gate.succeeded("r.io")
    for _ in range(FAILURES_BEFORE_PAUSE):
        gate.check("r.io", "")
        gate.failed("r.io", trouble)
    now = 10.0
    with pytest.raises(RegistryError) as refused:
        gate.check("r.io", "credential")
    assert refused.value.failure == trouble.after(PAUSE - 10.0)
    gate.check("other.io", "")
    now = PAUSE
    gate.check("r.io", "")
    gate.failed("r.io", trouble)  # still silent: one attempt, then another pause
    with pytest.raises(RegistryError):
        gate.check("r.io", "")


async def test_a_rate_limit_is_for_whoever_used_it_up() -> None:
    """Prove REG-NET-4."""
    now = 0.0
    gate = Gate(1, lambda: now)
    gate.limited("r.io", "", failure(Problem.RATE_LIMIT, "enough", retry_after=60.0))
    with pytest.raises(RegistryError):
        gate.check("r.io", "")
    gate.check("r.io", "credential")
    now = 60.0
    gate.check("r.io", "")


async def test_no_more_at_once_than_allowed() -> None:
    gate, most, running = Gate(3, lambda: 0.0), 0, 0

    async def work() -> None:
        nonlocal most, running
        async with gate.slot("r.io"):
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(work)
    assert most == 3
