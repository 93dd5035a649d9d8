# tests: tests/faults/test_registry_faults.py
"""`RegistryClient`: calls with one deadline each, whose result is a value even if they fail."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aimd.registry.access import Access
from aimd.registry.connections import Network
from aimd.registry.contents import Contents
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
    """Client of all registries; create it with `connect_registries`. No method raises for a failure of a registry."""

    def __init__(self, options: RegistryOptions, transport: Transport, clock: Callable[[], float]) -> None:
        access = Access(transport, Tokens(transport, clock), options)
        self._transport = transport
        self._images = Images(access)
        self._listings = Listings(access, transport, options)

    async def inspect(
        self, reference: ImageReference, keyring: Keyring, contents: Contents | None = None
    ) -> Inspection | RegistryFailure:
        """Return what is in an image, from several requests within one deadline (`timeout`).

        What is in `contents` is not requested again, and what is requested is put there.
        """
        known = Contents() if contents is None else contents
        return await self._within_deadline(reference.registry, lambda: self._images.inspect(reference, keyring, known))

    def credentials_id(self, reference: ImageReference, keyring: Keyring) -> str:
        """Return a hash of the credentials that are tried for the reference; empty if there are none."""
        return self._images.credentials_id(reference, keyring)

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str | RegistryFailure:
        """Return the current digest of a reference, empty if the registry does not say. Does not count as a pull."""
        return await self._within_deadline(reference.registry, lambda: self._images.digest(reference, keyring))

    async def list_tags(self, registry: str, repository: str, keyring: Keyring) -> Listing:
        """Return the tags of one repository."""
        return await self._listings.tags(registry, repository, keyring)

    async def list_images(
        self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring
    ) -> Listing:
        """Return the tags of each accepted repository, within `listing_timeout`.

        For a registry without a list of all repositories, the part of `pattern` before its first slash is the
        namespace to list.
        """
        return await self._listings.images(registry, pattern, accepts, keyring)

    async def _within_deadline(self, registry: str, call: Callable[[], Awaitable[_T]]) -> _T | RegistryFailure:
        try:
            with self._transport.deadline(registry):
                return await call()
        except RegistryError as problem:
            return problem.failure


@asynccontextmanager
async def connect_registries(
    options: RegistryOptions | None = None,
    clock: Callable[[], float] = time.monotonic,
    network: Network | None = None,
) -> AsyncIterator[RegistryClient]:
    """Provide a client for the block. Connections are opened as needed and closed at its end."""
    settings = options or RegistryOptions()
    transport = Transport(settings, Gate(settings.concurrency, clock), network)
    try:
        yield RegistryClient(settings, transport, clock)
    finally:
        await transport.aclose()
