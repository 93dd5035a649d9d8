"""What every test is watched for: tasks that outlive it, and objects of the cache that somebody changed."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from aimd.runtime.mutation import SWITCH, MutationDetector
from tests.produced_conditions import ProducedConditions

os.environ[SWITCH] = "true"
# `make test` says the same of the same code every time; `make test-slow` looks for new examples.
# How long an example takes says more about the machine than about the code; pytest's limit holds for the whole test.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", unhurried, derandomize=True)
settings.register_profile("search", unhurried, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_configure(config: pytest.Config) -> None:
    """Compare the conditions that tests bring about with those that are declared."""
    config.pluginmanager.register(ProducedConditions(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`early` tests come first. Tasks that outlive a test fail it, but for the end-to-end tests: they share one loop
    with the whole sandbox."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and inspect.iscoroutinefunction(item.obj)
            and "tests/e2e" not in str(item.path)
        ):
            item.add_marker(pytest.mark.usefixtures("no_leaked_tasks"))


@pytest.fixture(autouse=True)
def no_mutations() -> Iterator[None]:
    """Fails a test during which an object was changed in the cache."""
    MutationDetector.found.clear()
    yield
    assert MutationDetector.found == []


@pytest_asyncio.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fails a test that leaves tasks behind; what is about to end gets a moment for it."""
    before = asyncio.all_tasks()
    yield
    left: set[asyncio.Task[object]] = set()
    for _ in range(50):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"tasks left behind: {left}")
