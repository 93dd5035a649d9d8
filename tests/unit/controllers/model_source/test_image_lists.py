"""When a model source lists its registry. The cache is the real one, filled by hand."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from aimd.api.model_source import AIMClusterModelSource
from aimd.controllers.model_source.controller import model_source_controller
from aimd.controllers.model_source.image_lists import ImageLists
from aimd.controllers.reader import Reader
from aimd.controllers.registry_access import Credentials, CredentialsMissing, PullSecrets
from aimd.planning.model_source.plan import ImageCounts, ObservedSource
from aimd.planning.needs import ListImages, Reads
from aimd.registry.credentials import Keyring
from aimd.registry.failures import Problem, failure
from aimd.registry.listing import Listing, Repository
from aimd.runtime.objects import Category, Failure, Key
from aimd.runtime.store import Cache, Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Registry:
    """A registry with two repositories, which counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: set[str] = set()

    async def list_tags(self, registry: str, repository: str, keyring: Keyring) -> Listing:
        return self._answer(repository, [repository])

    async def list_images(
        self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring
    ) -> Listing:
        return self._answer(pattern, [name for name in ("org/aim-a", "org/aim-b") if accepts(name)])

    def _answer(self, asked: str, repositories: list[str]) -> Listing:
        self.asked.append(asked)
        if asked in self.broken:
            return Listing(failures=(failure(Problem.NETWORK, "silence"),))
        return Listing(tuple(Repository(name, ("1.0.0", "latest")) for name in repositories))


class Secrets:
    def __init__(self) -> None:
        self.missing = False

    async def credentials(
        self, namespace: str, names: tuple[str, ...], account: str = "", shared: tuple[str, ...] = ()
    ) -> Credentials:
        if self.missing:
            raise CredentialsMissing(Failure(Category.MISSING_UPSTREAM, "SecretNotFound", "no Secret"))
        return Credentials(Keyring())


class World:
    def __init__(self) -> None:
        self.registry, self.secrets, self.now = Registry(), Secrets(), 0.0
        self.cache = Cache()
        self.counts: dict[Key, ImageCounts] = {}
        self.lists = ImageLists(
            self.registry,
            cast(PullSecrets, self.secrets),
            lambda: NOW,
            monotonic=lambda: self.now,
            jitter=lambda: 0.5,
        )
        self.controller = model_source_controller(self.lists, self.counts)
        for informer in self.controller.informers:
            self.cache.add(Store(informer.kind, {})).synced = True

    async def look(self, *filters: str, **spec: Any) -> ObservedSource:
        """Observe a source with what the registry lists, and plan it."""
        wanted = [{"image": text} for text in filters or ("org/aim-*",)]
        obj = {"metadata": {"name": "s", "uid": "su"}, "spec": {"filters": wanted, "versions": [">=1.0.0"], **spec}}
        source = AIMClusterModelSource.model_validate(obj)
        reads = Reads({ListImages(Key("", "s")): await self.lists.read(source)})
        observed = self.controller.observe(source, obj, Reader(self.cache), reads)
        self.controller.plan(observed, NOW)
        return observed


@pytest.fixture
def world() -> World:
    return World()


async def test_a_listing_is_good_for_the_interval(world: World) -> None:
    """Prove SRC-SYN-1."""
    first = await world.look(syncInterval="10m")
    assert [image.uri for image in first.results[0].images] == ["org/aim-a:1.0.0", "org/aim-b:1.0.0"]
    assert (first.listed_at, first.again_after) == (NOW, 606)
    world.now = 600
    second = await world.look(syncInterval="10m")
    assert (second.listed_at, second.again_after) == (None, 6)
    assert second.results == first.results
    world.now = 606
    assert (await world.look(syncInterval="10m")).listed_at == NOW
    assert world.registry.asked == ["org/aim-*"] * 2


async def test_changed_filters_are_listed_at_once(world: World) -> None:
    """Prove SRC-SYN-1."""
    await world.look("org/aim-*")
    assert (await world.look("org/aim-a")).listed_at == NOW
    assert world.registry.asked == ["org/aim-*", "org/aim-a"]


async def test_an_exact_image_is_taken_unseen(world: World) -> None:
    """Prove SRC-FLT-1."""
    found = await world.look("org/aim-x:2.0.0")
    assert [image.uri for image in found.results[0].images] == ["org/aim-x:2.0.0"]
    assert world.registry.asked == []


async def test_trouble_that_passes_is_asked_about_sooner_and_sooner_less(world: World) -> None:
    """Prove SRC-SYN-3."""
    world.registry.broken = {"org/aim-*"}
    found = await world.look("org/aim-*", "org/aim-a")
    assert [bool(result.failures) for result in found.results] == [True, False]
    waits = [found.again_after]
    for _ in range(8):
        world.now += waits[-1]
        waits.append((await world.look("org/aim-*", "org/aim-a")).again_after)
    assert waits[:3] == [60, 120, 240]
    assert waits[-1] == 3600


async def test_a_filter_that_cannot_be_used_is_in_error_alone(world: World) -> None:
    """Prove SRC-FLT-3."""
    found = await world.look("org/aim-*:@", "org/aim-a")
    assert [bool(result.failures) for result in found.results] == [True, False]


async def test_a_missing_secret_is_asked_for_again(world: World) -> None:
    world.secrets.missing = True
    found = await world.look()
    assert found.secret is not None
    assert (found.again_after, found.listed_at) == (60, None)
    world.secrets.missing = False
    world.now = 60
    assert (await world.look()).secret is None


async def test_what_was_seen_and_what_is_over_the_limit_is_counted(world: World) -> None:
    await world.look("org/aim-*", "org/aim-x:2.0.0", maxModels=2)
    assert world.counts == {Key("", "s"): ImageCounts(seen=4 + 1, over_limit=1)}
    assert world.controller.forget is not None
    world.controller.forget(Key("", "s"))
    assert world.counts == {}
