"""What is sent to the API server and received from it: calls, responses, pages, watch events. No I/O."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeGuard
from urllib.parse import quote

import anyio.to_thread
import orjson
import structlog

from aimd.runtime.client.salvage import Malformed, salvage, salvage_list
from aimd.runtime.errors import ApiError, ConnectionFailed, Invalid, Undecodable, api_error
from aimd.runtime.objects import Kind, Manifest, Remnant

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_log = structlog.get_logger()

_NOTHING: Manifest = {}
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

Patch: TypeAlias = Manifest | list[Manifest]
"""A JSON merge patch if it is a dict, the operations of a JSON patch if it is a list."""


class WatchEvent(NamedTuple):
    """A line of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""
    object: Manifest
    """The object; for ERROR a `Status`."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: list[Manifest]
    resource_version: str
    """Version of the whole list."""
    continue_token: str
    """What to ask for the next page with; empty on the last one."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind to list or watch; all of them by default."""

    kind: Kind
    namespace: str = ""
    """Empty for all namespaces."""
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False
    """Request only `metadata`."""

    def parameters(self) -> dict[str, str]:
        """Return the query parameters of the selectors."""
        named = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API server."""

    method: str
    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON
    accept: str = JSON
    verb: str = ""
    """Kubernetes' verb of a write, for metrics; empty for reads."""
    reason: str = ""
    """Why the caller writes, for metrics."""
    repeatable: bool = True
    """Whether it may be sent again if its outcome is unknown."""

    @property
    def path(self) -> str:
        """The end of the URL: plural, name and subresource."""
        return "/".join(part for part in (self.kind.plural, quote(self.name, safe=""), self.subresource) if part)

    def fields(self) -> dict[str, str]:
        """Return what the call is about, for traces."""
        named = ("namespace", "name", "subresource", "reason")
        set_ones = {name: value for name in named if (value := str(getattr(self, name)))}
        return {"method": self.method, "kind": self.kind.name, **set_ones}

    def headers(self) -> dict[str, str]:
        """Return the headers that describe the content."""
        return {"Accept": self.accept} | ({"Content-Type": self.content_type} if self.body is not None else {})

    def content(self) -> bytes | None:
        """Return the encoded body; for an apply, which the server reads as YAML, JSON that is valid YAML.

        Raises Invalid for values that JSON cannot hold, and for more than 254 levels.
        """
        if self.body is None:
            return None
        try:
            return json_in_yaml(self.body) if self.content_type == APPLY_PATCH else orjson.dumps(self.body)
        except orjson.JSONEncodeError as error:
            raise Invalid(f"{self.kind} {self.name} cannot be written as JSON: {error}", status=422) from error


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the API server, whatever its status."""

    status: int
    body: bytes
    retry_after: float | None = None
    """Seconds that the server asks to wait."""
    warnings: tuple[str, ...] = ()

    def manifest(self) -> Manifest:
        """Return the body as an object. Raises the ApiError that the response stands for."""
        self.check()
        return decode(self.body)

    def check(self) -> None:
        """Raise the ApiError that the response stands for, if it is one."""
        if self.status >= 400:
            raise self.error()

    def error(self) -> ApiError:
        """Return the ApiError that the response stands for."""
        try:
            status = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            status = salvage(self.body)
        text = self.body.decode(errors="replace")
        return api_error(self.status, status, text=text, retry_after=self.retry_after)


class WatchStream:
    """The events of a watch, in batches: one for each piece of bytes that arrived."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._lines = LineSplitter()

    def __aiter__(self) -> "WatchStream":
        return self

    async def __anext__(self) -> list[WatchEvent]:
        chunk = await anext(self._chunks)
        return [_event_of(line) or await _salvaged_event(line) for line in self._lines.feed(chunk)]


class LineSplitter:
    r"""Cuts a stream of bytes into lines.

    Lines end at `\n` alone: Kubernetes leaves other line separators of Unicode unescaped inside strings.
    """

    def __init__(self) -> None:
        self._incomplete: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes, without newlines and empty lines."""
        first, *others = chunk.split(b"\n")
        self._incomplete.append(first)
        if not others:
            return []
        lines = [b"".join(self._incomplete), *others]
        self._incomplete = [lines.pop()]
        return [line for line in lines if line]


def json_in_yaml(value: Any) -> bytes:
    """Return `value` as JSON that a YAML parser reads alike.

    Some characters that JSON leaves as they are count as line breaks in YAML, or are forbidden; they are escaped.
    """
    text = orjson.dumps(value).decode()
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def decode(body: bytes) -> Manifest:
    """Return the JSON object in `body`; a Remnant of an object that the decoder refuses.

    Raises ConnectionFailed: a response that isn't JSON came from a proxy.
    """
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if named := _remnant(salvage(body), error):
            return named
        raise ConnectionFailed(f"the response is not JSON: {body[:80]!r}") from error
    return decoded if isinstance(decoded, dict) else {}


async def decode_list(body: bytes) -> Manifest:
    """Return the list in `body`; items that the decoder refuses are Remnants.

    Raises ConnectionFailed if the list itself is not JSON, or not complete.
    """
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return await anyio.to_thread.run_sync(_salvaged_list, body)
        except Malformed as error:
            raise ConnectionFailed(f"the response is not JSON: {body[:80]!r}") from error
    if not isinstance(decoded, dict):
        return {}
    items = decoded.get("items") or []
    return {**decoded, "items": [item for item in items if _is_object(item)] if isinstance(items, list) else []}


def _is_object(value: Any) -> TypeGuard[Manifest]:
    return isinstance(value, dict) and isinstance(value.get("metadata", _NOTHING), dict)


def _event_of(line: bytes) -> WatchEvent | None:
    """Return the event of a line, None if the decoder refuses it."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    found = event.get("object") if isinstance(event, dict) else None
    return WatchEvent(str(event.get("type") or ""), found) if _is_object(found) else WatchEvent("", {})


async def _salvaged_event(line: bytes) -> WatchEvent:
    """Return the event of a line that the decoder refuses; its object is a Remnant. Raises Undecodable without a name.

    The work is done in a thread, since a line may have a million brackets.
    """
    event, error = await anyio.to_thread.run_sync(salvage, line), _refusal(line)
    found = event.get("object")
    if isinstance(found, dict) and (named := _remnant(found, error)):
        return WatchEvent(str(event.get("type") or ""), named)
    raise Undecodable(f"a line of the watch is not JSON: {line[:80]!r}")


def _salvaged_list(body: bytes) -> Manifest:
    listed, texts = salvage_list(body)
    return {**listed, "items": [item for text in texts if (item := _item_of(text)) is not None]}


def _item_of(text: bytes) -> Manifest | None:
    """Return an item of a list, or what can be read of it; None for an item without a name, which is logged."""
    if (error := _refusal(text)) is None:
        decoded = orjson.loads(text)
        return decoded if _is_object(decoded) else None
    item = _remnant(salvage(text), error)
    if item is None:
        _log.warning("list item cannot be read", error=str(error), text=repr(text[:80]))
    return item


def _refusal(text: bytes) -> ValueError | None:
    """Return why the decoder refuses a text, None if it does not."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return error
    return None


def _remnant(found: Manifest, error: ValueError | None) -> Remnant | None:
    """Return what was read of an object that the decoder refuses; None if that does not identify it."""
    metadata = found.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return None
    return Remnant(f"the object cannot be decoded ({str(error).partition(':')[0]}); simplify or delete it", found)
