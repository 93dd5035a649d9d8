"""Read JSON that the decoder refuses: nested too deeply, or with values that are not valid. No I/O.

The API server stores objects that are nested more deeply than any fast decoder follows. What identifies an object is
near its surface, so everything below a few levels is skipped by matching brackets. The work is one pass over the text.
"""

import re
from typing import Any

import orjson

from aimd.runtime.objects import Manifest

LEVELS = 12
"""How deeply an object is read; conditions, owners and labels are within 5 levels."""

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(rb"[\s,:]*+(" + _STRING + rb'|[\[\]{}]|[^\s,:\[\]{}"]++)', re.DOTALL)
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+([\[\]{}])', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Malformed(ValueError):
    """The text ends within a value, or a bracket or quote is missing."""


def salvage(text: bytes) -> Manifest:
    """Return what can be read of a JSON object: objects and lists below `LEVELS` are empty.

    Reading ends where the text is malformed.
    """
    found, scanner = Manifest(), _Scanner(text)
    try:
        if scanner.token() == b"{":
            scanner.fill_object(found, LEVELS)
    except Malformed:
        pass
    return found


def salvage_list(text: bytes) -> tuple[Manifest, list[bytes]]:
    """Return a list without its items, and the text of each item. Raises Malformed unless the text is complete."""
    scanner, listed, items = _Scanner(text), Manifest(), list[bytes]()
    scanner.expect(b"{")
    while (token := scanner.token()) != b"}":
        if token == b'"items"' and scanner.peek() == b"[":
            items = scanner.element_texts()
        else:
            scanner.fill_member(listed, token, LEVELS)
    return listed, items


class _Scanner:
    """Reads values from a text, one after the other."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._position = 0

    def token(self) -> bytes:
        """Return the next bracket, string or literal, and go beyond it."""
        found = _TOKEN.match(self._text, self._position)
        if found is None:
            raise Malformed(f"no value at byte {self._position}")
        self._position = found.end()
        return found[1]

    def peek(self) -> bytes:
        """Return the next token without going beyond it."""
        position, token = self._position, self.token()
        self._position = position
        return token

    def expect(self, wanted: bytes) -> None:
        """Go beyond a token that must come next."""
        if self.token() != wanted:
            raise Malformed(f"{wanted!r} is missing before byte {self._position}")

    def fill_object(self, found: Manifest, levels: int) -> None:
        """Read the members of an object whose opening bracket was read; those before a malformed one are kept."""
        while (token := self.token()) != b"}":
            self.fill_member(found, token, levels)

    def fill_member(self, found: Manifest, name: bytes, levels: int) -> None:
        """Read the value that belongs to the name."""
        if not name.startswith(b'"'):
            raise Malformed(f"no name before byte {self._position}")
        found[str(_scalar(name))] = value = self._begin()
        self._complete(value, levels)

    def element_texts(self) -> list[bytes]:
        """Return the text of each object in a list."""
        self.expect(b"[")
        texts: list[bytes] = []
        while (token := self.token()) != b"]":
            start = self._position - len(token)
            if token in (b"{", b"["):
                self._skip()
            texts.append(self._text[start : self._position])
        return texts

    def _begin(self) -> Any:
        """Return the scalar that comes next, or the object or list that begins, still empty."""
        token = self.token()
        if token in (b"}", b"]"):
            raise Malformed(f"no value before byte {self._position}")
        return {b"{": {}, b"[": []}[token] if token in (b"{", b"[") else _scalar(token)

    def _complete(self, value: Any, levels: int) -> None:
        """Read the rest of an object or list that has begun, or skip it where the levels end."""
        if not isinstance(value, dict | list):
            return
        if levels <= 1:
            self._skip()
        elif isinstance(value, dict):
            self.fill_object(value, levels - 1)
        else:
            while self.peek() != b"]":
                value.append(self._begin())
                self._complete(value[-1], levels - 1)
            self.token()

    def _skip(self) -> None:
        """Go beyond the bracket that closes the one that was read last."""
        depth = 1
        while depth:
            found = _TO_BRACKET.match(self._text, self._position)
            if found is None:
                raise Malformed(f"a bracket is not closed after byte {self._position}")
            self._position = found.end()
            depth += 1 if found[1] in b"{[" else -1


def _scalar(token: bytes) -> Any:
    """Return the value of a string or literal: repaired if it is a string, None if it is no JSON."""
    try:
        return orjson.loads(token)
    except orjson.JSONDecodeError:
        pass
    if not token.startswith(b'"'):
        return None
    repaired = _SURROGATE.sub(b"\\\\ufffd", token).decode(errors="replace")
    try:
        return orjson.loads(repaired)
    except orjson.JSONDecodeError:
        return repaired[1:-1]
