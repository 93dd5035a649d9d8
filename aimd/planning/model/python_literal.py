"""Python's way to print lists of objects, as JSON: builds of AIM images write some labels with Python's `str`."""

import json
import re

_TOKEN = re.compile(
    r"""
    '(?P<single>(?:[^'\\]|\\.?)*+)(?P<single_end>'?)
  | "(?P<double>(?:[^"\\]|\\.?)*+)(?P<double_end>"?)
  | \b(?P<word>None|True|False)\b
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_WORDS = {"None": "null", "True": "true", "False": "false"}
_CHARACTERS = {"n": "\n", "r": "\r", "t": "\t", "\n": "", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_LAST_CODE_POINT = 0x10FFFF


def literal_as_json(text: str) -> str:
    """Return a text with Python's texts and words as JSON has them; everything else stays, for the reader of JSON.

    A text in single quotes may have double ones inside and the reverse; Python writes the second kind around an
    apostrophe. Nothing is evaluated, and the time is linear.
    """
    return _TOKEN.sub(_as_json, text)


def _as_json(token: re.Match[str]) -> str:
    if token["word"] is not None:
        return _WORDS[token["word"]]
    kind = "single" if token["single"] is not None else "double"
    if not token[f"{kind}_end"]:
        return token[0]
    return json.dumps(_ESCAPE.sub(_character, token[kind]))


def _character(escape: re.Match[str]) -> str:
    code = next((digits for digits in escape.groups()[:3] if digits is not None), None)
    if code is None:
        # JSON's `\/` and whatever Python keeps are read alike: the reader of a label needs no backslash.
        return _CHARACTERS.get(escape[4], escape[4])
    number = int(code, 16)
    return chr(number) if number <= _LAST_CODE_POINT else "\N{REPLACEMENT CHARACTER}"
