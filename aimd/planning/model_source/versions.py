"""Version constraints of model sources.

Versions and comparisons are semantic-version's; here is only what it does not know of the grammar: alternatives (`||`),
ranges with a hyphen, and that pre-releases take part in plain ordering (SRC-FLT-6).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from semantic_version import SimpleSpec, Version

_NUMBER = r"(?:0|[1-9]\d*|[xX*])"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = rf"{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER}(?:-{_IDENTIFIERS})?(?:\+{_IDENTIFIERS})?)?)?"
_COMPARATOR = re.compile(rf"(>=|<=|==|!=|~>|>|<|=|!|~|\^|)\s*v?({_VERSION})", re.ASCII)
_HYPHEN = re.compile(rf"v?({_VERSION})\s+-\s+v?({_VERSION})", re.ASCII)
_WILD_BEFORE_NUMBER = re.compile(r"[xX*]\.\d")
_ONLY_ZEROS = re.compile(r"0(?:\.0)?(?:\.\*){0,2}")
_SEPARATOR = re.compile(r"\s*,\s*|\s+|$")
_SPELLINGS = {"": "==", "=": "==", "!": "!=", "~>": "~"}
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class Constraints:
    """All have to hold. `invalid` are those that are no constraints and so hold for everything, as far as others do."""

    texts: tuple[str, ...]
    invalid: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether there is a valid one, or none was asked for."""
        return not self.texts or len(self.invalid) < len(self.texts)

    def allow(self, tag: str) -> bool:
        """Return whether the constraints allow a tag: without any every tag, else only versions (SRC-FLT-4, SRC-FLT-5).

        If every constraint is invalid, nothing is allowed: a typing mistake must not widen a filter.
        """
        if not self.texts:
            return True
        version = parse_version(tag)
        if version is None or not self.usable:
            return False
        return all(_parsed(text)(version) for text in self.texts if text not in self.invalid)


def parse_constraints(texts: Sequence[str]) -> Constraints:
    """Return the constraints of a list. Never raises."""
    invalid = tuple(dict.fromkeys(text for text in texts if not is_constraint(text)))
    return Constraints(tuple(texts), invalid)


def is_constraint(text: str) -> bool:
    """Return whether the text is a valid constraint."""
    try:
        _parsed(text)
    except ValueError:
        return False
    return True


def parse_version(tag: str) -> Version | None:
    """Return the semantic version of a tag, without a leading `v`; None when it is none."""
    try:
        return Version(tag.removeprefix("v")) if tag.isascii() else None
    except ValueError:
        return None


@lru_cache(maxsize=512)
def _parsed(text: str) -> Callable[[Version], bool]:
    """Return a constraint as a predicate. Raises ValueError."""
    if len(text) > _LONGEST or not text.isascii():
        raise ValueError("no constraint")
    alternatives = [_all_of(alternative.strip()) for alternative in text.split("||")]
    return lambda version: any(all(spec.match(version) for spec in specs) for specs in alternatives)


def _all_of(text: str) -> list[SimpleSpec]:
    """Return the comparisons of one alternative, separated by blanks or commas. Raises ValueError."""
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen is not None:
        return [_spec(">=", hyphen[1]), _spec("<=", hyphen[2])]
    specs, position = [], 0
    while position < len(text):
        match = _COMPARATOR.match(text, position)
        if match is None:
            raise ValueError("no comparison")
        specs.append(_spec(_SPELLINGS.get(match[1], match[1]), _completed(match[1], match[2])))
        position = match.end()
        gap = _SEPARATOR.match(text, position)
        if gap is None or (gap.group() and gap.end() == len(text)):
            raise ValueError("no separator")
        position = gap.end()
    if not specs:
        raise ValueError("no comparison")
    return specs


def _completed(operator: str, version: str) -> str:
    """`>=0.9` means `>=0.9.0`, and `0.9` alone is that version; `~`, `^` and wildcards stay ranges."""
    complete = operator in ("~", "~>", "^") or version.count(".") != 1 or not version.replace(".", "").isdecimal()
    return version if complete else f"{version}.0"


def _spec(operator: str, version: str) -> SimpleSpec:
    """Return a comparison. Raises ValueError."""
    if _WILD_BEFORE_NUMBER.search(version):
        raise ValueError("a number after a wildcard")
    plain = re.sub(r"[xX](?=\.|$)", "*", version)
    if operator == "^" and _ONLY_ZEROS.fullmatch(plain):
        operator = "=="  # ^0 is any 0.x, ^0.0 any 0.0.x; the library takes the left-out numbers for zeros
    if operator in ("<", "!=") and plain.count(".") == 2 and "*" not in plain and not {"-", "+"} & set(plain):
        plain += "-"  # the library's sign for: 2.0.0-rc1 is less than 2.0.0, and not equal to it
    return SimpleSpec(f"{operator}{plain}")
