"""What travels between us and the API server: calls, answers, pages, watch events, and errors. No I/O."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import orjson

from aimd.runtime.errors import ApiError, ConnectionFailed, api_error
from aimd.runtime.objects import Kind, Manifest

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

Patch: TypeAlias = Manifest | list[Manifest]
"""A dict is a JSON merge patch, a list the operations of a JSON patch."""


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR (then `object` is a `Status`)."""

    type: str
    object: Manifest


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; `continue_token` is empty on the last one."""

    items: list[Manifest]
    resource_version: str
    continue_token: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind to list or watch; everything by default."""

    kind: Kind
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False

    def parameters(self) -> dict[str, str]:
        """Query parameters of the selectors."""
        named = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `verb` and `reason` name a write for the metrics, `verb` is empty for reads."""

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
    reason: str = ""
    repeatable: bool = True
    """Sending it again after an unclear outcome does no harm."""

    @property
    def path(self) -> str:
        """Plural, name and subresource as they stand at the end of the URL."""
        return "/".join(part for part in (self.kind.plural, quote(self.name, safe=""), self.subresource) if part)

    def fields(self) -> dict[str, str]:
        """What is asked about and why, for traces."""
        named = ("namespace", "name", "subresource", "reason")
        told = {name: value for name in named if (value := str(getattr(self, name)))}
        return {"method": self.method, "kind": self.kind.name, **told}

    def headers(self) -> dict[str, str]:
        """Headers that belong to the content."""
        return {"Accept": self.accept} | ({"Content-Type": self.content_type} if self.body is not None else {})

    def content(self) -> bytes | None:
        """The body as JSON; as JSON that is YAML too where the server reads it as such."""
        if self.body is None:
            return None
        return json_in_yaml(self.body) if self.content_type == APPLY_PATCH else orjson.dumps(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever the status."""

    status: int
    body: bytes
    retry_after: float | None = None
    warnings: tuple[str, ...] = ()

    def manifest(self) -> Manifest:
        """The body as an object. Raises the error that the answer stands for."""
        self.check()
        return decode(self.body)

    def check(self) -> None:
        """Raises the error that the answer stands for, if it is one."""
        if self.status >= 400:
            raise self.error()

    def error(self) -> ApiError:
        """The error that the answer stands for."""
        try:
            status = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            status = None
        text = self.body.decode(errors="replace")
        return api_error(self.status, status, text=text, retry_after=self.retry_after)


class WatchStream:
    """Batches of watch events, one batch for each piece of bytes that arrived."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._lines = LineSplitter()

    def __aiter__(self) -> "WatchStream":
        return self

    async def __anext__(self) -> list[WatchEvent]:
        chunk = await anext(self._chunks)
        return [_event_of(line) for line in self._lines.feed(chunk)]


class LineSplitter:
    """Cuts a stream of bytes into complete lines; what follows the last newline waits for more.

    Lines end at `\\n` alone: Kubernetes leaves other line separators of Unicode unescaped inside strings.
    """

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their newline; empty ones are left out."""
        first, *others = chunk.split(b"\n")
        self._begun.append(first)
        if not others:
            return []
        lines = [b"".join(self._begun), *others]
        self._begun = [lines.pop()]
        return [line for line in lines if line]


def json_in_yaml(value: Any) -> bytes:
    """JSON that a YAML parser reads alike.

    To YAML some characters that JSON leaves as they are count as line breaks or are forbidden; escaped they are safe.
    """
    text = orjson.dumps(value).decode()
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def decode(body: bytes) -> Manifest:
    """A JSON object. Raises ConnectionFailed: whatever sits between us and the server made this up."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ConnectionFailed(f"the answer is not JSON: {body[:80]!r}") from error
    return answer if isinstance(answer, dict) else {}


def _event_of(line: bytes) -> WatchEvent:
    event = decode(line)
    return WatchEvent(event.get("type") or "", event.get("object") or {})
