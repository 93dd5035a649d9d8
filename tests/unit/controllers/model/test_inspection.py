"""When images are inspected, and how many at once."""

from typing import Any, cast

import anyio
import pytest

from aimd.controllers.model.inspection import (
    BUSY_SECONDS,
    MAX_CONCURRENT_PER_REGISTRY,
    ImageInspections,
)
from aimd.controllers.registry_access import Credentials, CredentialsMissing, PullSecrets
from aimd.planning.model.observed import Inspection
from aimd.planning.needs import InspectImage
from aimd.registry.credentials import Keyring
from aimd.registry.failures import Problem, RegistryFailure, failure
from aimd.runtime.objects import Category, Failure, Key


class World:
    """A registry that answers with a failure, pull secrets that may be missing, and a clock."""

    def __init__(self, problem: Problem = Problem.NETWORK) -> None:
        self.problem, self.now, self.asked = problem, 0.0, 0
        self.missing = False
        self.silence: anyio.Event | None = None
        secrets = cast(PullSecrets, self)
        self.inspections = ImageInspections(self, secrets, clock=lambda: self.now, jitter=lambda: 0.5)

    async def inspect(self, *_: Any) -> RegistryFailure:
        self.asked += 1
        if self.silence is not None:
            await self.silence.wait()
        return failure(self.problem, "no answer")

    async def credentials(self, *_: Any) -> Credentials:
        if self.missing:
            raise CredentialsMissing(Failure(Category.MISSING_UPSTREAM, "SecretNotFound", "no Secret"))
        return Credentials(Keyring())

    async def look(self, name: str = "m", image: str = "ghcr.io/org/image:1") -> Inspection:
        return await self.inspections.inspect(InspectImage(Key("ns", name), name, image))


@pytest.mark.parametrize(
    ("problem", "missing", "first", "longest"),
    [
        (Problem.NETWORK, False, 15.0, 300.0),
        (Problem.RATE_LIMIT, False, 15.0, 300.0),
        (Problem.AUTH, False, 300.0, 900.0),
        (Problem.NOT_FOUND, False, 300.0, 900.0),
        (Problem.NETWORK, True, 60.0, 600.0),
    ],
)
async def test_pauses_depend_on_what_can_cure_the_failure(
    problem: Problem, missing: bool, first: float, longest: float
) -> None:
    """Prove MDL-INS-4."""
    world = World(problem)
    world.missing = missing
    pauses = []
    for _ in range(8):
        pause = (await world.look()).again_after
        assert pause is not None
        pauses.append(pause)
        world.now += pause
    assert (pauses[0], pauses[1], pauses[-1]) == (first, 2 * first, longest)


async def test_within_the_pause_only_a_changed_question_is_asked() -> None:
    """Prove MDL-INS-4."""
    world = World()
    await world.look()
    world.now = 5.0
    again = await world.look()
    assert (world.asked, again.again_after) == (1, 10.0)
    assert again.failure is not None
    await world.look(image="ghcr.io/org/image:2")
    assert world.asked == 2


async def test_a_silent_registry_gets_few_questions_at_once() -> None:
    """Prove MDL-INS-6."""
    world = World()
    world.silence = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for number in range(MAX_CONCURRENT_PER_REGISTRY):
            tasks.start_soon(world.look, f"m{number}")
        await anyio.wait_all_tasks_blocked()
        turned_away = await world.look("late")
        assert (world.asked, turned_away.again_after) == (MAX_CONCURRENT_PER_REGISTRY, BUSY_SECONDS)
        assert turned_away.failure is None
        tasks.start_soon(world.look, "other", "quay.io/org/image:1")
        await anyio.wait_all_tasks_blocked()
        assert world.asked == MAX_CONCURRENT_PER_REGISTRY + 1
        world.silence.set()
