"""`RegistryClient`: one question, one deadline, one answer, a value whatever happens."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aimd.registry.access import Access
from aimd.registry.credentials import Keyring
from aimd.registry.failures import RegistryError, RegistryFailure
from aimd.registry.gate import Gate
from aimd.registry.images import Images, Inspection
from aimd.registry.listing import Listing, Listings
from aimd.registry.options import RegistryOptions
from aimd.registry.reference import ImageReference
from aimd.registry.tokens import Tokens
from aimd.registry.transport import Transport

_T = TypeVar("_T")


class RegistryClient:
    """Asks registries; made by `connect_registries`. Nothing here raises for what a registry does or does not."""

    def __init__(self, options: RegistryOptions, transport: Transport, clock: Callable[[], float]) -> None:
        access = Access(transport, Tokens(transport, clock), options)
        self._transport = transport
        self._images = Images(access)
        self._listings = Listings(access, transport, options)

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> Inspection | RegistryFailure:
        """What the image says about itself. Several requests, one deadline (`timeout`)."""
        return await self._answered(reference.registry, lambda: self._images.inspect(reference, keyring))

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str | RegistryFailure:
        """The digest that the reference stands for now; empty when the registry does not say. Fetches no image."""
        return await self._answered(reference.registry, lambda: self._images.digest(reference, keyring))

    async def list_tags(self, registry: str, repository: str, keyring: Keyring) -> Listing:
        """The tags of one repository."""
        return await self._listings.tags(registry, repository, keyring)

    async def list_images(
        self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring
    ) -> Listing:
        """The tags of each repository that is accepted, within `listing_timeout`.

        The part of `pattern` before its first slash tells where to look, where a registry has no list of everything.
        """
        return await self._listings.images(registry, pattern, accepts, keyring)

    async def _answered(self, registry: str, ask: Callable[[], Awaitable[_T]]) -> _T | RegistryFailure:
        try:
            with self._transport.deadline(registry):
                return await ask()
        except RegistryError as problem:
            return problem.failure


@asynccontextmanager
async def connect_registries(
    options: RegistryOptions | None = None, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[RegistryClient]:
    """A client, until the block ends; no connection is opened before the first question."""
    settings = options or RegistryOptions()
    transport = Transport(settings, Gate(settings.concurrency, clock))
    try:
        yield RegistryClient(settings, transport, clock)
    finally:
        await transport.aclose()
