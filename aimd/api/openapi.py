"""Render the OpenAPI schema of fields, by a walk over the models."""

# tests: tests/unit/api/test_crd.py, tests/unit/api/test_crd_facts.py

import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from aimd.api.schema import ApiModel, Schema

OpenApi: TypeAlias = dict[str, Any]

TEXT = 4096
"""Most characters of a text in a spec."""
LONG_TEXT = 65536
"""Most characters of a text in a spec that may be long, such as the value of a variable."""
ENTRIES = 256
"""Most entries of a list or map in a spec."""
_USUAL: Mapping[str, OpenApi] = {
    "int-or-string": {"maxLength": 64},
    "array": {"maxItems": ENTRIES},
    "object": {"maxProperties": ENTRIES},
}

_SCALARS = {str: "string", int: "integer", bool: "boolean"}

_KEYWORDS = {
    "format": "format",
    "enum": "enum",
    "pattern": "pattern",
    "minimum": "minimum",
    "maximum": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
    "max_properties": "maxProperties",
    "list_type": "x-kubernetes-list-type",
    "list_keys": "x-kubernetes-list-map-keys",
    "map_type": "x-kubernetes-map-type",
}


def _structure(model: type[ApiModel], facts: Schema, *, bounded: bool) -> OpenApi:
    """Return the schema of a nested structure. Constraints of the field override those of its class."""
    members = dict(fields_of(model))
    schema: OpenApi = {
        "type": "object",
        "properties": {name: field_schema(field, bounded=bounded) for name, field in members.items()},
    }
    required = sorted(name for name, field in members.items() if facts_of(field).required)
    if required:
        schema["required"] = required
    return schema | stated(facts.over(model.structure))


def fields_of(model: type[ApiModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the fields of a model by their names in JSON."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def field_schema(field: FieldInfo, *, bounded: bool) -> OpenApi:
    """Return the schema of a field; `bounded` gives each text, list and map that states no bound the usual one."""
    facts = facts_of(field)
    schema = _schema(field.annotation, facts, bounded=bounded)
    if field.description:
        schema["description"] = running_text(field.description)
    if facts.defaulted:
        schema["default"] = field.get_default()
    return schema


def facts_of(field: FieldInfo) -> Schema:
    """Return the constraints of a field, those of its type included."""
    return _merged(field.metadata, Schema())


def _merged(metadata: list[Any] | tuple[Any, ...], outer: Schema) -> Schema:
    """Merge the constraints in the arguments of an `Annotated`; the outermost (last) take precedence."""
    inner = Schema()
    for marker in metadata:
        if isinstance(marker, Schema):
            inner = marker.over(inner)
    return outer.over(inner)


def _schema(annotation: Any, facts: Schema, *, bounded: bool) -> OpenApi:
    """Return the schema of a type with the given constraints. Raises TypeError for an unsupported type."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return _schema(inner, _merged(metadata, facts), bounded=bounded)
    if get_origin(annotation) in (Union, UnionType):
        (inner,) = (argument for argument in get_args(annotation) if argument is not NoneType)
        return _schema(inner, facts, bounded=bounded)
    if facts.any_json:
        return {"x-kubernetes-preserve-unknown-fields": True}
    if facts.shape:
        return _structure(facts.shape, facts, bounded=bounded)
    if facts.int_or_string:
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            **_usual("int-or-string", facts, bounded=bounded),
            **stated(facts),
        }
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return _structure(annotation, facts, bounded=bounded)
    return _container_or_scalar(annotation, facts, bounded=bounded)


def _container_or_scalar(annotation: Any, facts: Schema, *, bounded: bool) -> OpenApi:
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and arguments[1:] == (...,):
        return _typed("array", facts, bounded=bounded) | {"items": _element(arguments[0], bounded=bounded)}
    if get_origin(annotation) is Mapping and arguments[0] is str:
        element = _element(arguments[1], bounded=bounded)
        return _typed("object", facts, bounded=bounded) | {"additionalProperties": element}
    if annotation in _SCALARS:
        return _typed(_SCALARS[annotation], facts, bounded=bounded)
    raise TypeError(f"no OpenAPI type for {annotation!r}")


def _element(annotation: Any, *, bounded: bool) -> OpenApi:
    """Return the schema of a list item or map value. A structure has the description of its class."""
    schema = _schema(annotation, Schema(), bounded=bounded)
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        schema["description"] = running_text(annotation.__doc__)
    return schema


def _typed(type_: str, facts: Schema, *, bounded: bool) -> OpenApi:
    return {"type": type_, **_usual(type_, facts, bounded=bounded), **stated(facts)}


def _usual(type_: str, facts: Schema, *, bounded: bool) -> OpenApi:
    """Return the bound of what states none: everything that a user fills has one (OBJ-BND-2)."""
    if not bounded or facts.enum or facts.format:
        return {}
    if type_ == "string":
        return {"maxLength": LONG_TEXT if facts.long else TEXT}
    return dict(_USUAL.get(type_, {}))


def stated(facts: Schema) -> OpenApi:
    """Return the OpenAPI keywords of the constraints that are set."""
    schema: OpenApi = {}
    for attribute, keyword in _KEYWORDS.items():
        value = getattr(facts, attribute)
        if isinstance(value, tuple):
            value = [str(item) for item in value]
        if value is not None and value not in ("", []):
            schema[keyword] = value
    if facts.rules:
        schema["x-kubernetes-validations"] = [{"rule": rule.rule, "message": rule.message} for rule in facts.rules]
    return schema


def running_text(docstring: str | None) -> str:
    """Return a docstring as running text, keeping empty lines between paragraphs."""
    return re.sub(r"(?<!\n)\n[ \t]*(?!\s)", " ", (docstring or "").strip())
