"""When images are inspected, and how many at once."""

from dataclasses import replace
from typing import Any, cast

import anyio
import pytest

from aimd.controllers.image_inspections import (
    BUSY_SECONDS,
    KEPT_SECONDS,
    MAX_CONCURRENT,
    MAX_CONCURRENT_PER_NAMESPACE,
    MAX_CONCURRENT_PER_REGISTRY,
    ImageInspections,
)
from aimd.controllers.registry_access import Credentials, CredentialsMissing, PullSecrets
from aimd.planning.image_inspection import Inspection
from aimd.planning.kinds import AIM_MODEL
from aimd.planning.needs import InspectImage
from aimd.registry.credentials import Keyring
from aimd.registry.failures import Problem, RegistryFailure, failure
from aimd.registry.images import Inspection as ImageContent
from aimd.registry.profile_files import NO_PROFILES, ProfileFiles
from aimd.registry.reference import ImageReference, parse_reference
from aimd.runtime.objects import Category, Failure, Key
from tests.aim_profiles import profile_text

LABEL = "com.amd.aim.model.recommendedDeployments"


class World:
    """A registry that answers with a failure, pull secrets that may be missing, and a clock."""

    def __init__(self, problem: Problem = Problem.NETWORK) -> None:
        self.problem, self.now, self.asked = problem, 0.0, 0
        self.missing = False
        self.content: ImageContent | None = None
        self.silence: anyio.Event | None = None
        secrets = cast(PullSecrets, self)
        self.inspections = ImageInspections(self, secrets, clock=lambda: self.now, jitter=lambda: 0.5)

    async def inspect(self, *_: Any) -> RegistryFailure | ImageContent:
        self.asked += 1
        if self.silence is not None:
            await self.silence.wait()
        return self.content or failure(self.problem, "no answer")

    async def credentials(self, *_: Any) -> Credentials:
        if self.missing:
            raise CredentialsMissing(Failure(Category.MISSING_UPSTREAM, "SecretNotFound", "no Secret"))
        return Credentials(Keyring())

    async def look(self, name: str = "m", image: str = "ghcr.io/org/image:1", namespace: str = "ns") -> Inspection:
        return await self.inspections.inspect(InspectImage(AIM_MODEL, Key(namespace, name), name, image))


def content(profiles: ProfileFiles = NO_PROFILES, **labels: str) -> ImageContent:
    reference = parse_reference("ghcr.io/org/image:1")
    assert isinstance(reference, ImageReference)
    return ImageContent(reference, "sha256:1", labels, public=True, env={"AIM_ID": "acme/tiny"}, profiles=profiles)


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
            tasks.start_soon(world.look, f"m{number}", "ghcr.io/org/image:1", f"ns{number}")
        await anyio.wait_all_tasks_blocked()
        turned_away = await world.look("late")
        assert (world.asked, turned_away.again_after) == (MAX_CONCURRENT_PER_REGISTRY, BUSY_SECONDS)
        assert turned_away.failure is None
        tasks.start_soon(world.look, "other", "quay.io/org/image:1")
        await anyio.wait_all_tasks_blocked()
        assert world.asked == MAX_CONCURRENT_PER_REGISTRY + 1
        world.silence.set()


async def test_silent_registries_of_one_namespace_leave_places_to_others() -> None:
    """Prove MDL-INS-6."""
    world = World()
    world.silence = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(world.look, f"m{number}", f"r{number}.example.com/org/image:1", "noisy")
            tasks.start_soon(world.look, f"same{number}", "ghcr.io/org/image:1", "noisy")
        await anyio.wait_all_tasks_blocked()
        assert world.asked == MAX_CONCURRENT_PER_NAMESPACE
        for name in ("quiet-1", "quiet-2"):
            tasks.start_soon(world.look, "m", "ghcr.io/org/image:1", name)
            await anyio.wait_all_tasks_blocked()
        assert world.asked == MAX_CONCURRENT_PER_NAMESPACE + 2
        world.silence.set()


async def test_a_namespace_without_an_inspection_gets_the_next_place() -> None:
    """Prove MDL-INS-6."""
    world = World()
    world.silence = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            for model in range(5):
                image = f"r{number}-{model}.example.com/org/image:1"
                tasks.start_soon(world.look, f"m{model}", image, f"noisy-{number}")
        await anyio.wait_all_tasks_blocked()
        assert world.asked == MAX_CONCURRENT
        assert (await world.look("m", namespace="quiet")).again_after == BUSY_SECONDS
        world.silence.set()
        await anyio.wait_all_tasks_blocked()
        world.silence = anyio.Event()
        before = world.asked
        world.now += 10 * BUSY_SECONDS
        tasks.start_soon(world.look, "m", "ghcr.io/org/image:1", "quiet")
        await anyio.wait_all_tasks_blocked()
        assert world.asked == before + 1
        world.silence.set()


async def test_an_answer_has_the_profiles_of_the_image() -> None:
    """Prove MDL-PRF-1."""
    world = World()
    files = {"acme/tiny/a.yaml": profile_text(), "acme/tiny/b.yaml": ""}
    world.content = content(ProfileFiles(files, remarks=("acme/tiny/c.yaml: too long",)))
    first, second = await world.look("a"), await world.look("b")
    assert first.is_answered
    assert first.profiles.digest == "sha256:1"
    assert first.profiles.read is not None
    assert [profile.id for profile in first.profiles.read.profiles] == ["a"]
    assert first.profiles.read.rejected == (
        "acme/tiny/c.yaml: too long",
        "acme/tiny/b.yaml: the file has no fields",
    )
    assert second.profiles.read is first.profiles.read, "files of the same digest are parsed once"


@pytest.mark.parametrize(
    ("profiles", "labels", "unreadable"),
    [
        (NO_PROFILES, {}, ""),
        (ProfileFiles({}, "its layers are squashed"), {}, "its layers are squashed"),
        (ProfileFiles({}, "its layers are squashed"), {LABEL: "no"}, "its layers are squashed"),
    ],
)
async def test_an_image_without_readable_profiles(
    profiles: ProfileFiles, labels: dict[str, str], unreadable: str
) -> None:
    world = World()
    world.content = content(profiles, **labels)
    answer = await world.look()
    assert answer.is_answered
    assert (answer.profiles.read, answer.profiles.unreadable) == (None, unreadable)


async def test_failures_in_a_row_are_counted() -> None:
    world = World()
    assert [(await world.look()).attempts, (await world.look()).attempts] == [1, 1]
    world.now += 20.0
    assert (await world.look()).attempts == 2
    world.inspections.forgetting(AIM_MODEL)(Key("ns", "m"))
    assert (await world.look()).attempts == 1


async def test_an_image_without_readable_profiles_is_not_asked_while_a_template_waits_for_its_job() -> None:
    """Prove TPL-IMG-2."""
    world = World()
    world.content = content(ProfileFiles({}, "its layers are squashed"))
    first, second = await world.look(), await world.look()
    assert (world.asked, second, second.again_after) == (1, first, None)
    world.now += KEPT_SECONDS
    await world.look()
    assert world.asked == 2


async def test_an_image_whose_layer_the_registry_lacks_is_asked_again() -> None:
    """Prove MDL-INS-8."""
    world = World()
    world.content = replace(content(ProfileFiles({}, "its layer is missing")), settled=False)
    answer = await world.look()
    assert (answer.profiles.settled, answer.again_after) == (False, KEPT_SECONDS)
    world.now += KEPT_SECONDS - 10
    assert ((await world.look()).again_after, world.asked) == (10.0, 1)
    world.now += 10
    world.content = content(ProfileFiles({"acme/tiny/a.yaml": profile_text()}))
    assert (await world.look()).again_after is None
