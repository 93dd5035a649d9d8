# tests: tests/faults/test_registry_faults.py
"""Lists of the repositories and tags of a registry.

Repositories are listed with the API of Docker Hub, with that of GitHub for ghcr.io, and with the catalog of the
distribution protocol elsewhere; tags always with the protocol (SRC-SYN-4).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio

from aimd.registry.access import Access, Document, Target, repository_target
from aimd.registry.catalogs import DockerHub, GitHub
from aimd.registry.credentials import Credential, Keyring
from aimd.registry.failures import Problem, RegistryError, RegistryFailure, failure
from aimd.registry.options import RegistryOptions
from aimd.registry.pages import PAGE_LIMIT, Entries, Page, accepted_texts, collect, next_path
from aimd.registry.reference import DOCKER_HUB, is_repository, is_tag
from aimd.registry.reply import Reply, parse_json
from aimd.registry.transport import Transport

GITHUB: Final = "ghcr.io"
_PAGE_SIZE = 1000
_CONCURRENT_LISTS = 8
_SHOWN_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and its tags, in the registry's order."""

    name: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Repositories sorted by name, and failures; there may be both."""

    repositories: tuple[Repository, ...] = ()
    failures: tuple[RegistryFailure, ...] = ()


class Listings:
    """Lists repositories and tags. Failures are part of the result."""

    def __init__(self, access: Access, transport: Transport, options: RegistryOptions) -> None:
        self._access = access
        self._transport = transport
        self._hub = DockerHub(transport, options)
        self._github = GitHub(transport, options)
        self._options = options

    async def tags(self, registry: str, repository: str, keyring: Keyring) -> Listing:
        """Return the tags of one repository."""
        try:
            entries = await self._tags(registry, repository, keyring)
        except RegistryError as problem:
            return Listing(failures=(problem.failure,))
        return Listing((Repository(repository, entries.names),), (entries.failure,) if entries.failure else ())

    async def images(self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring) -> Listing:
        """Return the tags of all accepted repositories, as many as were found before the deadline."""
        found: dict[str, Listing] = {}
        try:
            with self._transport.deadline(registry, self._options.listing_timeout):
                failures = await self._gather(registry, pattern, accepts, keyring, found)
        except RegistryError as problem:
            failures = [problem.failure]
        listings = [found[name] for name in sorted(found)]
        failures += [failure for listing in listings for failure in listing.failures]
        repositories = tuple(repository for listing in listings for repository in listing.repositories)
        return Listing(repositories, _shown(failures))

    async def _gather(
        self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring, found: dict[str, Listing]
    ) -> list[RegistryFailure]:
        entries = await self._repositories(registry, pattern, keyring)
        slots = anyio.CapacityLimiter(_CONCURRENT_LISTS)

        async def list_tags(name: str) -> None:
            async with slots:
                found[name] = await self.tags(registry, name, keyring)

        async with anyio.create_task_group() as group:
            for name in filter(accepts, entries.names):
                group.start_soon(list_tags, name)
        return [entries.failure] if entries.failure else []

    async def _repositories(self, registry: str, pattern: str, keyring: Keyring) -> Entries:
        namespace = pattern.partition("/")[0].rstrip("*")
        if registry == DOCKER_HUB:
            return await self._hub.repositories(namespace, keyring)
        if registry == GITHUB:
            return await self._github.repositories(namespace, keyring)
        target = Target(registry, namespace, f"the catalog of {registry}", "registry:catalog:*")
        try:
            return await self._listed(target, f"/v2/_catalog?n={_PAGE_SIZE}", "repositories", is_repository, keyring)
        except RegistryError as problem:
            if problem.failure.problem in (Problem.NOT_FOUND, Problem.AUTH):
                advice = "filters without * need no catalog"
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
        """Return a list of the distribution protocol; all pages use the credential of the first one."""
        base = self._options.endpoint(target.registry)
        known: list[Credential] = []

        async def read(path: str) -> Page:
            with self._transport.deadline(target.registry):
                if known:
                    reply = await self._access.get(target, Document(path, key, PAGE_LIMIT), known[0])
                else:
                    reply, credential = await self._first_page(target, Document(path, key, PAGE_LIMIT), keyring)
                    known.append(credential)
            document: Any = parse_json(reply, f"a list of {key}")
            values = document.get(key) if isinstance(document, Mapping) else None
            return Page(accepted_texts(values, accepts), next_path(reply, base))

        return await collect(f"{target.what}, list of {key},", path, read)

    async def _first_page(self, target: Target, page: Document, keyring: Keyring) -> tuple[Reply, Credential]:
        """Return the first page, without a page size if the registry refuses ours."""
        try:
            return await self._access.get_first(target, page, keyring)
        except RegistryError as problem:
            if problem.failure.problem is not Problem.CONTENT:
                raise
            return await self._access.get_first(target, replace(page, path=page.path.partition("?")[0]), keyring)


def _shown(failures: Sequence[RegistryFailure]) -> tuple[RegistryFailure, ...]:
    """Return the failures with distinct messages, and the number of those that exceed the limit."""
    distinct = list({failure.message: failure for failure in failures}.values())
    left_out = len(distinct) - _SHOWN_FAILURES
    if left_out <= 0:
        return tuple(distinct)
    return (*distinct[:_SHOWN_FAILURES], failure(distinct[-1].problem, f"and {left_out} more repositories"))
