"""A thousand models of fifty images cost fifty inspections, and no caller sees the results of other credentials."""

import base64
import json
from collections import Counter
from dataclasses import dataclass, field

import anyio
import pytest

from aimd.registry.cache import FAILURE_LIFE, TAG_LIFE, InspectionCache
from aimd.registry.contents import Content, Contents
from aimd.registry.credentials import DOCKER_CONFIG_JSON, Keyring, parse_pull_secret
from aimd.registry.failures import Problem, RegistryFailure, failure
from aimd.registry.images import Inspection, inspection_of
from aimd.registry.profile_files import NO_PROFILES
from aimd.registry.reference import ImageReference, parse_reference


def image(text: str) -> ImageReference:
    reference = parse_reference(text)
    assert isinstance(reference, ImageReference)
    return reference


def keyring(user: str) -> Keyring:
    document = {"auths": {"r.io": {"username": user, "password": "p"}}}
    text = base64.b64encode(json.dumps(document).encode()).decode()
    found = parse_pull_secret("s", DOCKER_CONFIG_JSON, {".dockerconfigjson": text})
    assert isinstance(found, Keyring)
    return found


def digest_of(word: str) -> str:
    return "sha256:" + word.encode().hex().ljust(64, "0")[:64]


@dataclass
class Registry:
    """A registry with a moment's delay; private images for those who are in `allowed`."""

    contents: dict[str, str] = field(default_factory=dict)
    private: bool = False
    allowed: set[str] = field(default_factory=set)
    broken: RegistryFailure | None = None
    asked: Counter[str] = field(default_factory=Counter)
    now: float = 0.0

    async def inspect(
        self, reference: ImageReference, keyring: Keyring, contents: Contents
    ) -> Inspection | RegistryFailure:
        self.asked["inspect"] += 1
        await anyio.sleep(0.001)
        refused = self._refused(keyring)
        if refused:
            return refused
        content = self.contents.get(str(reference), str(reference))
        digest = reference.digest or digest_of(content)
        found = Content({"content": content}, {}, NO_PROFILES)
        contents.put(self.credentials_id(reference, keyring) if self.private else "", [digest], found)
        return inspection_of(reference, digest, found, public=not self.private)

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str | RegistryFailure:
        self.asked["digest"] += 1
        await anyio.sleep(0.001)
        return self._refused(keyring) or digest_of(self.contents.get(str(reference), str(reference)))

    def credentials_id(self, reference: ImageReference, keyring: Keyring) -> str:
        return keyring.fingerprint(reference.name)

    def _refused(self, keyring: Keyring) -> RegistryFailure | None:
        if self.broken:
            return self.broken
        users = {credential.username for credential in keyring.candidates("r.io/x")}
        return failure(Problem.AUTH, "refused") if self.private and not users & self.allowed else None

    def cache(self) -> InspectionCache:
        return InspectionCache(self, lambda: self.now)


async def test_a_thousand_models_of_fifty_images_are_fifty_inspections() -> None:
    registry = Registry(private=True, allowed={"u"})
    cache, answers = registry.cache(), list[Inspection | RegistryFailure]()

    async def model(number: int) -> None:
        answers.append(await cache.inspect(image(f"r.io/o/x{number % 50}:1"), keyring("u")))

    async with anyio.create_task_group() as group:
        for number in range(1000):
            group.start_soon(model, number)
    assert len(answers) == 1000
    assert all(isinstance(answer, Inspection) for answer in answers)
    assert registry.asked == {"inspect": 50}
    for number in range(1000):
        await model(number)
    assert registry.asked == {"inspect": 50}


async def test_private_images_are_known_to_their_own_credentials_only() -> None:
    """Prove REG-CRD-4."""
    registry = Registry(private=True, allowed={"u"})
    cache, reference = registry.cache(), image("r.io/o/x:1")
    assert isinstance(await cache.inspect(reference, keyring("u")), Inspection)
    for other in (Keyring(), keyring("v")):
        answer = await cache.inspect(reference, other)
        assert isinstance(answer, RegistryFailure)
    by_digest = image(f"r.io/o/x@{digest_of(str(reference))}")
    assert isinstance(await cache.inspect(by_digest, keyring("u")), Inspection)
    assert isinstance(await cache.inspect(by_digest, Keyring()), RegistryFailure)
    assert registry.asked["inspect"] == 4


async def test_public_images_are_known_to_all() -> None:
    """Prove REG-CRD-4."""
    registry = Registry()
    cache, reference = registry.cache(), image("r.io/o/x:1")
    for ring in (keyring("u"), Keyring(), keyring("v")):
        assert isinstance(await cache.inspect(reference, ring), Inspection)
    assert registry.asked == {"inspect": 1}


async def test_a_tag_is_believed_for_a_while_then_asked_for_without_fetching() -> None:
    registry = Registry()
    cache, reference = registry.cache(), image("r.io/o/x:1")
    await cache.inspect(reference, Keyring())
    registry.now = TAG_LIFE + 1
    await cache.inspect(reference, Keyring())
    await cache.inspect(reference, Keyring())
    assert registry.asked == {"inspect": 1, "digest": 1}
    registry.contents[str(reference)] = "new"
    registry.now += TAG_LIFE + 1
    answer = await cache.inspect(reference, Keyring())
    assert isinstance(answer, Inspection)
    assert answer.labels == {"content": "new"}
    assert registry.asked == {"inspect": 2, "digest": 2}


async def test_a_registry_that_is_away_does_not_make_an_image_unknown() -> None:
    registry = Registry()
    cache, reference = registry.cache(), image("r.io/o/x:1")
    known = await cache.inspect(reference, Keyring())
    registry.now, registry.broken = TAG_LIFE + 1, failure(Problem.NETWORK, "away")
    assert await cache.inspect(reference, Keyring()) == known
    registry.broken = failure(Problem.NOT_FOUND, "gone")
    assert await cache.inspect(reference, Keyring()) == registry.broken


async def test_a_failure_is_met_once_by_many_and_forgotten_soon() -> None:
    registry = Registry(broken=failure(Problem.NETWORK, "away"))
    cache, reference = registry.cache(), image("r.io/o/x:1")
    for _ in range(20):
        assert await cache.inspect(reference, Keyring()) == registry.broken
    assert registry.asked == {"inspect": 1}
    assert await cache.inspect(reference, keyring("u")) == registry.broken  # a new secret is tried at once
    assert registry.asked == {"inspect": 2}
    registry.now, registry.broken = FAILURE_LIFE, None
    assert isinstance(await cache.inspect(reference, Keyring()), Inspection)


async def test_a_rate_limit_lasts_as_long_as_the_registry_says() -> None:
    registry = Registry(broken=failure(Problem.RATE_LIMIT, "enough", retry_after=100.0))
    cache, reference = registry.cache(), image("r.io/o/x:1")
    await cache.inspect(reference, Keyring())
    registry.now = 60.0
    answer = await cache.inspect(reference, Keyring())
    assert isinstance(answer, RegistryFailure)
    assert (answer.message, answer.retry_after) == ("enough", 40.0)
    registry.now = 100.0
    await cache.inspect(reference, Keyring())
    assert registry.asked == {"inspect": 2}


async def test_who_waits_gets_an_answer_though_the_one_who_asked_is_cancelled() -> None:
    registry = Registry()
    cache, reference = registry.cache(), image("r.io/o/x:1")
    answers: list[Inspection | RegistryFailure] = []

    async def model() -> None:
        answers.append(await cache.inspect(reference, Keyring()))

    async with anyio.create_task_group() as group, anyio.create_task_group() as first:
        first.start_soon(model)
        await anyio.lowlevel.checkpoint()
        group.start_soon(model)
        group.start_soon(model)
        await anyio.lowlevel.checkpoint()
        first.cancel_scope.cancel()
    assert len(answers) == 2
    assert all(isinstance(answer, Inspection) for answer in answers)
    assert registry.asked == {"inspect": 2}


@pytest.mark.parametrize("count", [5000])
async def test_memory_is_bounded(count: int) -> None:
    registry = Registry()
    cache = registry.cache()
    for number in range(count):
        await cache.inspect(image(f"r.io/o/x:{number}"), Keyring())
    assert await cache.inspect(image("r.io/o/x:0"), Keyring())
    assert registry.asked["inspect"] == count + 1
    assert len(cache._images._entries) == 2048
