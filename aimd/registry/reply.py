"""A response of a registry, read up to a size limit (REG-NET-3)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from aimd.registry.failures import Problem, RegistryError, quoted, registry_error

MOST_VALUES = 300_000
"""Values of a JSON document: parsing is not interrupted for anything else, and this many take a tenth of a second."""
_LONGEST_ERROR_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response; `url` is its URL after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def host(self) -> str:
        """Host that sent the response."""
        return httpx.URL(self.url).host

    @property
    def media_type(self) -> str:
        """Content type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def quoted_error(self) -> str:
        """The registry's own error message in quotes, to be inserted into a message; empty without one."""
        code, message = self.first_error
        text = quoted(message or code)
        return f' ("{text}")' if text else ""

    @property
    def first_error(self) -> tuple[str, str]:
        """Code and message of the first of the body's `errors`, empty without one."""
        try:
            first = json.loads(self.body)["errors"][0]
            code, message = first.get("code"), first.get("message")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            return "", ""
        return code if isinstance(code, str) else "", message if isinstance(message, str) else ""


async def read_reply(response: httpx.Response, limit: int) -> Reply:
    """Read a response, up to `limit` bytes. Raises RegistryError if it is longer.

    The body of an error response is only used in messages, so it is truncated instead.
    """
    success = response.is_success and response.request.method != "HEAD"
    allowed = limit if success else _LONGEST_ERROR_BODY
    if success:
        _refuse_encoded(response)
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:18]) > allowed:
            raise too_long(response.url.host, limit)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) <= allowed:
            continue
        if success:
            raise too_long(response.url.host, limit)
        break
    return Reply(response.status_code, response.headers, bytes(body[:allowed]), str(response.url))


def parse_json(reply: Reply, what: str) -> Any:
    """Parse the body as JSON; `what` names the expected document in messages. Raises RegistryError.

    A body of many small values is refused, because it takes a hundred times as long as a text of the same size.
    """
    if sum(reply.body.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise registry_error(
            Problem.CONTENT, f"{reply.host} sent JSON with more than {MOST_VALUES} values instead of {what}"
        )
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        kind = quoted(reply.media_type) or "content of unknown type"
        raise registry_error(
            Problem.CONTENT,
            f"{reply.host} sent {kind} instead of {what} as JSON: check that the address is that of an image registry, "
            "and that no proxy replaces its responses",
        ) from None


def check_digest(reply: Reply, wanted: str, what: str) -> str:
    """Return the digest of the body; `what` names the image in messages. Raises RegistryError if another is wanted."""
    algorithm = wanted.partition(":")[0] or "sha256"
    digest = f"{algorithm}:{hashlib.new(algorithm, reply.body).hexdigest()}"
    if wanted and digest != wanted:
        raise registry_error(
            Problem.CONTENT,
            f"{reply.host} sent content for {what} that differs from its digest {wanted}: check the registry, and "
            "caches in front of it",
        )
    return digest


def too_long(host: str, limit: int) -> RegistryError:
    """Return the error for a body that exceeds its limit."""
    return registry_error(Problem.CONTENT, f"{host} sent more than the limit of {limit} bytes for such a response")


def _refuse_encoded(response: httpx.Response) -> None:
    """Refuse a compressed body, which could have any size once unpacked. Raises RegistryError."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise registry_error(
            Problem.CONTENT,
            f"{response.url.host} sent a body compressed as {quoted(encoding)!r} without being asked to",
        )
