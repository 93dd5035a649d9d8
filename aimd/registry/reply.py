"""What a registry answers, read to its end or given up as too long."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from aimd.registry.failures import Problem, error, quoted

_LONGEST_ERROR_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; `url` is where it came from after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def host(self) -> str:
        """Who answered."""
        return httpx.URL(self.url).host

    @property
    def media_type(self) -> str:
        """Content type without parameters, lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def own_words(self) -> str:
        """What the registry says about its refusal, for the middle of a message."""
        code, message = self.first_error
        text = quoted(message or code)
        return f' ("{text}")' if text else ""

    @property
    def first_error(self) -> tuple[str, str]:
        """Code and message of the first of the body's `errors`, empty where it has none."""
        try:
            first = json.loads(self.body)["errors"][0]
            code, message = first.get("code"), first.get("message")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            return "", ""
        return code if isinstance(code, str) else "", message if isinstance(message, str) else ""


async def read_reply(response: httpx.Response, limit: int) -> Reply:
    """The whole answer, given up as soon as it is longer than `limit` bytes. Raises RegistryError.

    The body of an error is only for a message, so it is cut off instead.
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


def json_of(reply: Reply, what: str) -> Any:
    """The body as JSON. Raises RegistryError."""
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        kind = quoted(reply.media_type) or "something"
        raise error(
            Problem.CONTENT,
            f"{reply.host} sent {kind} that is no JSON where {what} was asked for: check that a registry answers there "
            "and not a proxy's page",
        ) from None


def too_long(host: str, limit: int) -> Exception:
    """The failure for a body over its limit."""
    return error(Problem.CONTENT, f"{host} sent more than the {limit} bytes that are read of such an answer")


def _refuse_encoded(response: httpx.Response) -> None:
    """A compressed body may be any size once unpacked, and it was not asked for."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise error(Problem.CONTENT, f"{response.url.host} sent a body compressed as {quoted(encoding)!r} unasked")
