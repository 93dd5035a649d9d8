"""Paginated lists: followed to their end, within bounds, and never to another host."""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import httpx

from aimd.registry.failures import Problem, RegistryError, RegistryFailure, failure, quoted, registry_error
from aimd.registry.reply import Reply

MOST_PAGES = 100
PAGE_LIMIT = 8 * 1024 * 1024
"""Bytes of one page."""

_NEXT = re.compile(r'<([^<>]*)>[^,<]*?;\s*rel="?next\b', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of one page, and the path of the next one, empty at the end."""

    entries: tuple[str, ...]
    next_path: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """Names of all pages, and the failure that ended the list early, if any."""

    names: tuple[str, ...] = field(default=())
    failure: RegistryFailure | None = None


async def collect(what: str, path: str, read: Callable[[str], Awaitable[Page]]) -> Entries:
    """Return all distinct entries of a list in order; `what` names it in messages.

    Raises RegistryError if the first page fails. A failure of another page ends the list, and is part of the result.
    """
    found: dict[str, None] = {}
    seen: set[str] = set()
    while path:
        if path in seen or len(seen) >= MOST_PAGES:
            text = f"{what} does not end after {len(seen)} pages, and the rest is left out: use a narrower filter"
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


def next_path(reply: Reply, base: str) -> str:
    """Return the path of the next page from the `Link` header, below a base URL; empty at the end."""
    match = _NEXT.search(reply.headers.get("link", "")[:8192])
    return path_below(base, match[1]) if match else ""


def path_below(base: str, url: str) -> str:
    """Return path and query of a URL, absolute or relative, below a base URL. The URL's host is ignored."""
    try:
        target = httpx.URL(f"{base}/").join(url)
    except httpx.InvalidURL:
        return ""
    return target.raw_path.decode("ascii", errors="replace").removeprefix(httpx.URL(base).path.rstrip("/"))


def accepted_texts(values: object, accepts: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the accepted texts of an untrusted list."""
    entries: Iterable[object] = values if isinstance(values, list) else ()
    return tuple(entry for entry in entries if isinstance(entry, str) and accepts(entry))


def listing_error(reply: Reply, what: str, registry: str) -> RegistryError:
    """Return the error for a response of a listing API other than 200."""
    said = f"{reply.host} returned {reply.status}{reply.quoted_error} for {what}"
    if reply.status in (401, 403):
        return registry_error(Problem.AUTH, f"{said}: add a pull secret for {registry} that may list it")
    if reply.status == 404:
        return registry_error(Problem.NOT_FOUND, f"{said}: correct the first part of the filter")
    return registry_error(Problem.CONTENT, f"{said}: check the address of {quoted(registry)}'s API")
