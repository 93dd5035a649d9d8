"""Random values that a CRD's structural schema accepts, from a seeded generator; the same seed gives the same values.

Rules in CEL are not looked at: the API server refuses what breaks one.
"""

from random import Random
from typing import Any

from aimd.api.source_uri import SOURCE_URI_PATTERN

Schema = dict[str, Any]

NAMES = ("tiny", "tiny-cpu", "default", "missing", "a", "x" * 60, "Chat.1")
TEXTS = (
    *NAMES,
    "",
    " ",
    "0",
    "ü",
    "a b",
    "/",
    "{.metadata.name}",
    "/{.metadata.labels['team']}",
    "{",
    "30s",
    "5.5m",
    "1",
)
MATCHING = {
    SOURCE_URI_PATTERN: ("hf://acme/tiny", "s3://bucket/prefix", "hf://x"),
    r"^[a-zA-Z0-9_-]+/[a-zA-Z0-9._-]+$": ("acme/tiny", "a/b", "A_1/x.Y"),
    r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$": ("Gateway", "Service"),
}
QUANTITIES = ("1", "0", "2Gi", "500m", "1e3", "64Gi", "100k")
NUMBERS = (0, 1, 2, 3, 7, 80, 443, 65535, 2**31 - 1)
_ODDS = 0.4


def value_of(schema: Schema, dice: Random) -> Any:
    """A value for the schema; optional fields are there or not."""
    if "enum" in schema:
        return dice.choice(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return dice.choice(QUANTITIES)
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, dice)
    if kind == "array":
        return _array(schema, dice)
    if kind == "boolean":
        return dice.random() < 0.5
    if kind in ("integer", "number"):
        least, most = schema.get("minimum", -1), schema.get("maximum", 2**31 - 1)
        return dice.choice([number for number in (-1, *NUMBERS) if least <= number <= most])
    return _text(schema, dice)


def _object(schema: Schema, dice: Random) -> dict[str, Any]:
    if "additionalProperties" in schema:
        names = dice.sample(("cpu", "memory", "amd.com/gpu", "team", "a.b/c"), dice.randrange(3))
        return {name: value_of(schema["additionalProperties"], dice) for name in names}
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    chosen = [name for name in properties if name in required or dice.random() < _ODDS]
    return {name: value_of(properties[name], dice) for name in chosen}


def _array(schema: Schema, dice: Random) -> list[Any]:
    count = dice.randint(schema.get("minItems", 0), schema.get("maxItems", 3))
    values = [value_of(schema["items"], dice) for _ in range(count)]
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys:
        return values
    return list({tuple(value.get(key) for key in keys): value for value in values}.values())


def _text(schema: Schema, dice: Random) -> str:
    texts = MATCHING.get(schema.get("pattern", ""), NAMES[:4] if "pattern" in schema else TEXTS)
    fitting = [text for text in texts if schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 10**6)]
    return dice.choice(fitting)
