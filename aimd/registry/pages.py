"""Lists that come in pages: followed to their end, bounded, and never to another host."""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import httpx

from aimd.registry.failures import Problem, RegistryError, RegistryFailure, failure, quoted
from aimd.registry.reply import Reply

MOST_PAGES = 100
PAGE_LIMIT = 8 * 1024 * 1024
"""Bytes of one page."""

_NEXT = re.compile(r'<([^<>]*)>[^,<]*?;\s*rel="?next\b', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and the path of the next page, empty at the end."""

    entries: tuple[str, ...]
    next_path: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """What the pages held, and the failure that ended them early, if one did."""

    names: tuple[str, ...] = field(default=())
    failure: RegistryFailure | None = None


async def collect(what: str, path: str, read: Callable[[str], Awaitable[Page]]) -> Entries:
    """All entries of a list, each once, in order. Raises RegistryError when the first page fails.

    A later failure leaves what was found until then.
    """
    found: dict[str, None] = {}
    seen: set[str] = set()
    while path:
        if path in seen or len(seen) >= MOST_PAGES:
            text = f"{what} does not end after {len(seen)} pages; what follows is left out: ask for less"
            return Entries(tuple(found), failure(Problem.UNAVAILABLE, text))
        seen.add(path)
        try:
            page = await read(path)
        except RegistryError as problem:
            if len(seen) == 1:
                raise
            return Entries(tuple(found), problem.failure)
        found.update(dict.fromkeys(page.entries))
        path = page.next_path
    return Entries(tuple(found))


def linked(reply: Reply, base: str) -> str:
    """The path of the next page in the `Link` header, below a base URL."""
    match = _NEXT.search(reply.headers.get("link", "")[:8192])
    return path_below(base, match[1]) if match else ""


def path_below(base: str, url: str) -> str:
    """Path and query of a URL, relative or not, below a base URL; of its host nothing is believed."""
    try:
        target = httpx.URL(f"{base}/").join(url)
    except httpx.InvalidURL:
        return ""
    return target.raw_path.decode("ascii", errors="replace").removeprefix(httpx.URL(base).path.rstrip("/"))


def texts(values: object, accepts: Callable[[str], bool]) -> tuple[str, ...]:
    """The acceptable texts of what should be a list of them."""
    entries: Iterable[object] = values if isinstance(values, list) else ()
    return tuple(entry for entry in entries if isinstance(entry, str) and accepts(entry))


def unexpected(reply: Reply, what: str, registry: str) -> RegistryError:
    """The failure for an answer of one of the listing APIs that is not 200."""
    said = f"{reply.host} answered {reply.status}{reply.own_words} for {what}"
    if reply.status in (401, 403):
        return RegistryError(failure(Problem.AUTH, f"{said}: give a pull secret for {registry} that may list it"))
    if reply.status == 404:
        return RegistryError(failure(Problem.NOT_FOUND, f"{said}: correct the first part of the filter"))
    return RegistryError(failure(Problem.CONTENT, f"{said}: check that {quoted(registry)}'s API answers there"))
