"""Objects that probe a CRD's schema: for every fact of every field one that keeps to it and one that breaks it.

Everything is derived from the schema itself, so a new field is probed without a line here. What cannot be derived is
written down: text that a pattern takes and refuses, and what a CEL rule wants beside the field that is probed.
"""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

from aimd.api.schema import QUANTITY_PATTERN
from aimd.api.source_uri import SOURCE_URI_PATTERN
from tests.guides import ADD_A_FIELD

OpenApi: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]
"""Names of fields; `[]` is an item of a list, `{}` a value of a map."""

RULES = "x-kubernetes-validations"
ABSENT = object()
UNKNOWN_CONTENT = {"number": 0.5, "list": [1, "a", {"deep": True}]}
MAP_KEY = "key"
MOST = ("maxLength", "maxItems", "maxProperties")
DUPLICATE = "Duplicate value"

SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
PATTERNS: dict[str, tuple[str, str]] = {
    QUANTITY_PATTERN: ("1Gi", "1 GB"),
    SOURCE_URI_PATTERN: ("hf://a/b", "hf://a/b/c"),
    r"^[a-zA-Z0-9_-]+/[a-zA-Z0-9._-]+$": ("a/b.c", "a.b/c"),
    r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$": ("R", "no reason"),
    rf"^({SUBDOMAIN}/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$": ("T", "a type"),
    rf"^$|^{SUBDOMAIN}$": ("g", "Group"),
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": ("n", "name.space"),
    rf"^{SUBDOMAIN}$": ("s", "A section"),
    r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$": ("K", "K-"),
}
"""What each pattern takes and what it refuses."""

NEEDED: dict[str, Callable[[OpenApi], OpenApi]] = {
    "set exactly one of name, image and custom": lambda given: {} if given else {"name": "qwen"},
    "set gpu, cpu, or both": lambda given: {} if {"gpu", "cpu"} & set(given) else {"cpu": {"requests": "1"}},
    "customProfile needs aimId, modelId, hardware, metric and precision": lambda given: (
        {"aimId": "a/b", "modelId": "a/b", "hardware": {"gpu": {}}, "metric": "latency", "precision": "fp8"} | given
        if "customProfile" in given
        else {}
    ),
    "customProfile needs aimId, modelId, hardware, profile.metric and profile.precision": lambda given: (
        {
            "aimId": "a/b",
            "modelId": "a/b",
            "hardware": {"gpu": {}},
            "profile": {"metric": "latency", "precision": "fp8"},
        }
        | given
        if "customProfile" in given
        else {}
    ),
}
"""What a rule (by its message) wants beside what is given, so that a probe breaks nothing but its own fact."""


@dataclass(frozen=True, slots=True)
class Probe:
    """An object's `spec` or `status` and what the server must make of it.

    `refusal` is what it says about the field at `path` (`Required value`, …), "" when it takes the object; then the
    field has the value `expected`.
    """

    fact: str
    path: Path
    body: Any
    refusal: str = ""
    expected: Any = ABSENT

    @property
    def complaint(self) -> str:
        """The refusal as it stands in the server's message: lists by index, maps by key, of duplicates the second."""
        text = ".".join(self.path).replace(".[]", "[0]").replace("{}", MAP_KEY)
        return f"{text}{'[1]' if self.refusal == DUPLICATE else ''}: {self.refusal}"

    def found(self, stored: OpenApi) -> Any:
        """The value at `path` of a stored object."""
        value: Any = stored
        for step in self.path:
            value = value[0] if step == "[]" else value[MAP_KEY] if step == "{}" else value[step]
        return value


def minimal(schema: OpenApi) -> Any:
    """The smallest value that a schema takes."""
    if "enum" in schema:
        return schema["enum"][0]
    if "x-kubernetes-preserve-unknown-fields" in schema:
        return deepcopy(UNKNOWN_CONTENT)
    match schema.get("type"):
        case "object" if "additionalProperties" in schema:
            return {MAP_KEY: minimal(schema["additionalProperties"])}
        case "object":
            return completed(schema, {name: minimal(schema["properties"][name]) for name in schema.get("required", ())})
        case "array":
            return items(schema, schema.get("minItems", 1))
        case "integer":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return text(schema, 1)


def completed(schema: OpenApi, given: OpenApi) -> OpenApi:
    """An object with what its rules want besides."""
    for rule in schema.get(RULES, ()):
        if rule["message"] in NEEDED:
            given = given | NEEDED[rule["message"]](given)
    return given


def items(schema: OpenApi, count: int) -> list[Any]:
    """A list of so many items, with different keys where the list is a map."""
    values = [minimal(schema["items"]) for _ in range(count)]
    for key in schema.get("x-kubernetes-list-map-keys", ())[:1]:
        for number, value in enumerate(values):
            value[key] = text(schema["items"]["properties"][key], 1) + str(number)
    return values


def members(schema: OpenApi, count: int) -> OpenApi:
    """A map with so many members."""
    return {f"{MAP_KEY}{number}": minimal(schema["additionalProperties"]) for number in range(count)}


def examples_of(pattern: str) -> tuple[str, str]:
    """What the pattern takes and what it refuses."""
    assert pattern in PATTERNS, f"add a text to PATTERNS that {pattern} takes, and one that it refuses; {ADD_A_FIELD}"
    return PATTERNS[pattern]


def text(schema: OpenApi, length: int) -> str:
    """Text of at least this length that keeps to pattern and format."""
    if schema.get("format") == "date-time":
        return "2026-01-02T03:04:05Z"
    pattern = schema.get("pattern", "")
    stem = examples_of(pattern)[0] if pattern else "a"
    filled = stem.rjust(length, "0") if pattern == QUANTITY_PATTERN else stem + "a" * (length - len(stem))
    assert not pattern or re.search(pattern, filled), (pattern, filled)
    return filled


def around(schema: OpenApi, path: Path, value: Any) -> Any:
    """The smallest value of a schema that has `value` at `path`; ABSENT leaves the last field out."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if step == "[]":
        first, *others = items(schema, max(1, schema.get("minItems", 1)))
        inner = around(schema["items"], rest, value)
        keys = {
            key: first[key]
            for key in schema.get("x-kubernetes-list-map-keys", ())
            if key not in inner and rest[:1] != (key,)
        }
        return [{**keys, **inner} if isinstance(inner, dict) else inner, *others]
    if step == "{}":
        return {MAP_KEY: around(schema["additionalProperties"], rest, value)}
    given = {name: minimal(schema["properties"][name]) for name in schema.get("required", ()) if name != step}
    inner = around(schema["properties"][step], rest, value)
    return completed(schema, given if inner is ABSENT else given | {step: inner})


def fields(schema: OpenApi, path: Path = ()) -> Iterator[tuple[Path, OpenApi]]:
    """Every field below a schema, with the schema of its own."""
    for name, child in schema.get("properties", {}).items():
        yield (*path, name), child
        yield from fields(child, (*path, name))
    for keyword, step in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in schema:
            yield (*path, step), schema[keyword]
            yield from fields(schema[keyword], (*path, step))


def probes(root: OpenApi, part: str) -> Iterator[Probe]:
    """All probes of `spec` or `status` of a kind. Fields of the same name and schema are tried for their type once,
    and for what is too much.
    """
    top = {"type": "object", "properties": {part: root["properties"][part]}}
    typed: set[str] = set()
    for path, schema in fields(top):
        same = f"{path[-1]} {schema}"
        for fact, value, refusal in facts(schema):
            if fact in ("type", *MOST) and same in typed:
                continue
            body = around(top, path, value)[part]
            yield Probe(fact, path, body, refusal, ABSENT if refusal else value)
        typed.add(same)
        for name in schema.get("required", ()):
            missing = (*path, name)
            yield Probe("required", missing, around(top, missing, ABSENT)[part], "Required value")
        for name, child in schema.get("properties", {}).items():
            if "default" in child:
                unset = (*path, name)
                yield Probe("default", unset, around(top, unset, ABSENT)[part], expected=child["default"])


def facts(schema: OpenApi) -> Iterator[tuple[str, Any, str]]:
    """Values of a field: the fact that they probe, the value, and the refusal they get ("" when they are taken)."""
    if not {"properties", "items", "additionalProperties", "enum", "pattern", "minimum"} & set(schema):
        yield "type", minimal(schema), ""  # of the others, something below probes it
    if "x-kubernetes-preserve-unknown-fields" in schema:
        return
    if schema.get("x-kubernetes-int-or-string"):
        yield "number", 1, ""
        yield "type", True, "Invalid value"
    else:
        yield "type", {"type": "wrong"} if schema["type"] != "object" else "wrong", "Invalid value"
    if "enum" in schema:
        for value in schema["enum"]:
            yield "enum", value, ""
        yield "enum", "no-such-value", "Unsupported value"
    if "pattern" in schema:
        good, bad = examples_of(schema["pattern"])
        yield "pattern", good, ""
        yield "pattern", bad, "Invalid value"
    if schema.get("format") == "date-time":
        yield "format", "yesterday", "Invalid value"
    yield from bounds(schema)


def bounds(schema: OpenApi) -> Iterator[tuple[str, Any, str]]:
    """The values at each bound, and those one beyond."""
    for keyword, beyond in (("minimum", -1), ("maximum", 1)):
        if keyword in schema:
            yield keyword, schema[keyword], ""
            yield keyword, schema[keyword] + beyond, "Invalid value"
    if "minLength" in schema:
        yield "minLength", text(schema, schema["minLength"]), ""
        yield "minLength", "a" * (schema["minLength"] - 1), "Invalid value"
    if "maxLength" in schema:
        yield "maxLength", text(schema, schema["maxLength"]), ""
        yield "maxLength", text(schema, schema["maxLength"] + 1), "Too long"
    if "minItems" in schema:
        yield "minItems", items(schema, schema["minItems"] - 1), "Invalid value"
    if "maxItems" in schema:
        yield "maxItems", items(schema, schema["maxItems"]), ""
        yield "maxItems", items(schema, schema["maxItems"] + 1), "Too many"
    if "maxProperties" in schema:
        yield "maxProperties", members(schema, schema["maxProperties"]), ""
        yield "maxProperties", members(schema, schema["maxProperties"] + 1), "Too many"
    if schema.get("x-kubernetes-list-type") in ("map", "set"):
        yield "list type", items(schema, 1) * 2, DUPLICATE
