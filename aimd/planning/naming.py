"""Derived object names: readable parts, then a hash.

A name is an interface: one different digit on takeover from another operator orphans volumes and services, so the
hash inputs are encoded byte for byte as Go's `encoding/json` does (OBJ-NAM-1).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from aimd.registry.reference import is_tag

MAXIMUM_LENGTH = 63
_GO_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
_GO_ESCAPED = re.compile("[" + "".join(_GO_ESCAPES) + "]")


class NameTooLong(ValueError):
    """There is no room for a name within the limit."""


def name_part(text: str) -> str:
    """Return one readable part of a derived name: each character outside `[a-z0-9-]` becomes a dash."""
    part = re.sub(r"[^a-z0-9-]", "-", text.lower()).strip("-")[:MAXIMUM_LENGTH].rstrip("-")
    return part or "part"


def image_part(text: str) -> str:
    """Return a part of an image reference for a name: runs of other characters than `[a-z0-9-]` become one dash."""
    return re.sub(r"-+", "-", re.sub(r"[^a-z0-9-]+", "-", text.lower())).strip("-")


def image_tag(reference: str) -> str:
    """Return the tag of an image reference; empty if it has none or a digest (MDL-STA-5).

    A colon before the last slash belongs to the port of the registry.
    """
    name, digest, _ = reference.strip().partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag if not digest and is_tag(tag) else ""


def go_json(value: object) -> str:
    """Return compact JSON as Go's encoder writes it: HTML characters escaped, other non-ASCII raw, order kept."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _GO_ESCAPED.sub(lambda match: _GO_ESCAPES[match.group()], text)


def name_hash(inputs: Sequence[object], length: int = 8) -> str:
    """Return the first `length` hex digits of the SHA-256 over the JSON-encoded inputs joined by `|`.

    A mapping input counts as the flat list of its keys and values, sorted by key.
    """
    text = "|".join(go_json(_flat(value) if isinstance(value, Mapping) else value) for value in inputs)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _flat(mapping: Mapping[str, object]) -> list[object]:
    return [item for key in sorted(mapping) for item in (key, mapping[key])]


def derive_name(
    parts: Sequence[str],
    hash_inputs: Sequence[object] = (),
    *,
    hash_length: int = 8,
    limit: int = MAXIMUM_LENGTH,
) -> str:
    """Return `<part>-…-<hash>`, cut to `limit` by shortening the longest part first (OBJ-NAM-1).

    Raises NameTooLong when even one-character parts do not fit.
    """
    shortened, _ = _fit([name_part(part) for part in parts], hash_length, limit)
    return "-".join([*shortened, name_hash(hash_inputs, hash_length)])


def is_kept_whole(text: str) -> bool:
    """Return whether a text is its own part of a name: nothing in it is replaced, lower-cased or cut (SVC-NAM-2)."""
    return name_part(text) == text


def fits_whole(parts: Sequence[str], *, hash_length: int = 8, limit: int = MAXIMUM_LENGTH) -> bool:
    """Return whether the derived name keeps all parts at full length (SVC-NAM-2)."""
    _, cut = _fit([name_part(part) for part in parts], hash_length, limit)
    return not cut and all(len(part) <= MAXIMUM_LENGTH for part in parts)


def _fit(parts: list[str], hash_length: int, limit: int) -> tuple[list[str], bool]:
    cut = False
    while sum(len(part) + 1 for part in parts) + hash_length > limit:
        longest = max(range(len(parts)), key=lambda index: len(parts[index]), default=0)
        if not parts or len(parts[longest]) == 1:
            raise NameTooLong(f"no name of {len(parts)} parts fits into {limit} characters")
        parts[longest] = parts[longest][:-1].rstrip("-") or parts[longest][0]
        cut = True
    return parts, cut
