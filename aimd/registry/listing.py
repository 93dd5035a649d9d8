"""Which repositories and tags a registry has.

Repositories are listed by Docker Hub's own API, by GitHub's for ghcr.io, and by the distribution protocol's catalogue
elsewhere; tags always by the protocol (SRC-SYN-4).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio

from aimd.registry.access import Access, Target, Wanted, repository_target
from aimd.registry.catalogues import DockerHub, GitHub
from aimd.registry.credentials import Credential, Keyring
from aimd.registry.failures import Problem, RegistryError, RegistryFailure, failure
from aimd.registry.options import RegistryOptions
from aimd.registry.pages import PAGE_LIMIT, Entries, Page, collect, linked, texts
from aimd.registry.reference import DOCKER_HUB, is_repository, is_tag
from aimd.registry.reply import Reply, json_of
from aimd.registry.transport import Transport

GITHUB: Final = "ghcr.io"
_PAGE_SIZE = 1000
_AT_ONCE = 8
_SHOWN_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and its tags, in the registry's order."""

    name: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found, repositories by name, and what could not be asked; there may be both."""

    repositories: tuple[Repository, ...] = ()
    failures: tuple[RegistryFailure, ...] = ()


class Listings:
    """Lists repositories and tags; a failure is part of the listing."""

    def __init__(self, access: Access, transport: Transport, options: RegistryOptions) -> None:
        self._access = access
        self._transport = transport
        self._hub = DockerHub(transport, options)
        self._github = GitHub(transport, options)
        self._options = options

    async def tags(self, registry: str, repository: str, keyring: Keyring) -> Listing:
        """The tags of one repository."""
        try:
            entries = await self._tags(registry, repository, keyring)
        except RegistryError as problem:
            return Listing(failures=(problem.failure,))
        return Listing((Repository(repository, entries.names),), (entries.failure,) if entries.failure else ())

    async def images(self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring) -> Listing:
        """The tags of all repositories that are accepted; what was found until the deadline, when it passes."""
        found: dict[str, Listing] = {}
        try:
            with self._transport.deadline(registry, self._options.listing_timeout):
                failures = await self._gather(registry, pattern, accepts, keyring, found)
        except RegistryError as problem:
            failures = [problem.failure]
        listings = [found[name] for name in sorted(found)]
        failures += [failure for listing in listings for failure in listing.failures]
        repositories = tuple(repository for listing in listings for repository in listing.repositories)
        return Listing(repositories, _summed_up(failures))

    async def _gather(
        self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring, found: dict[str, Listing]
    ) -> list[RegistryFailure]:
        entries = await self._repositories(registry, pattern, keyring)
        places = anyio.CapacityLimiter(_AT_ONCE)

        async def ask(name: str) -> None:
            async with places:
                found[name] = await self.tags(registry, name, keyring)

        async with anyio.create_task_group() as group:
            for name in filter(accepts, entries.names):
                group.start_soon(ask, name)
        return [entries.failure] if entries.failure else []

    async def _repositories(self, registry: str, pattern: str, keyring: Keyring) -> Entries:
        namespace = pattern.partition("/")[0].rstrip("*")
        if registry == DOCKER_HUB:
            return await self._hub.repositories(namespace, keyring)
        if registry == GITHUB:
            return await self._github.repositories(namespace, keyring)
        target = Target(registry, namespace, f"the catalogue of {registry}", "registry:catalog:*")
        try:
            return await self._listed(target, f"/v2/_catalog?n={_PAGE_SIZE}", "repositories", is_repository, keyring)
        except RegistryError as problem:
            if problem.failure.problem in (Problem.NOT_FOUND, Problem.AUTH):
                advice = "filters without * need no catalogue"
                raise RegistryError(
                    failure(problem.failure.problem, f"{problem.failure.message}; {advice}")
                ) from problem
            raise

    async def _tags(self, registry: str, repository: str, keyring: Keyring) -> Entries:
        target = repository_target(registry, repository)
        path = f"/v2/{repository}/tags/list?n={_PAGE_SIZE}"
        return await self._listed(target, path, "tags", is_tag, keyring)

    async def _listed(
        self, target: Target, path: str, key: str, accepts: Callable[[str], bool], keyring: Keyring
    ) -> Entries:
        """A list of the distribution protocol; who got the first page asks for the others."""
        base = self._options.endpoint(target.registry)
        known: list[Credential] = []

        async def read(path: str) -> Page:
            with self._transport.deadline(target.registry):
                if known:
                    reply = await self._access.get(target, Wanted(path, key, PAGE_LIMIT), known[0])
                else:
                    reply, credential = await self._first_page(target, Wanted(path, key, PAGE_LIMIT), keyring)
                    known.append(credential)
            document: Any = json_of(reply, f"a list of {key}")
            values = document.get(key) if isinstance(document, Mapping) else None
            return Page(texts(values, accepts), linked(reply, base))

        return await collect(f"{target.what}, list of {key},", path, read)

    async def _first_page(self, target: Target, wanted: Wanted, keyring: Keyring) -> tuple[Reply, Credential]:
        """Asked for in the size we like; some registries refuse a number that is more than theirs."""
        try:
            return await self._access.first(target, wanted, keyring)
        except RegistryError as problem:
            if problem.failure.problem is not Problem.CONTENT:
                raise
            return await self._access.first(target, replace(wanted, path=wanted.path.partition("?")[0]), keyring)


def _summed_up(failures: Sequence[RegistryFailure]) -> tuple[RegistryFailure, ...]:
    """Each message once, and not more than anybody reads."""
    distinct = list({failure.message: failure for failure in failures}.values())
    left_out = len(distinct) - _SHOWN_FAILURES
    if left_out <= 0:
        return tuple(distinct)
    return (*distinct[:_SHOWN_FAILURES], failure(distinct[-1].problem, f"and {left_out} more repositories"))
