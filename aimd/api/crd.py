"""Render the CustomResourceDefinitions from the models, by a walk over their fields.

Everything in a CRD comes from a model: the structure from the types, the constraints from `Schema`, the descriptions
from the docstrings, names and printer columns from `kinds`. `crds/` holds the result; a test keeps it up to date.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from aimd.api.core import ApiObject
from aimd.api.kinds import GROUP, RESOURCES, ApiResource
from aimd.api.schema import ApiModel, PrinterColumn, Schema

OpenApi: TypeAlias = dict[str, Any]

HEADER = "# Generated from aimd/api by `aimd crds`; do not edit.\n"

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
    "list_type": "x-kubernetes-list-type",
    "list_keys": "x-kubernetes-list-map-keys",
    "map_type": "x-kubernetes-map-type",
}


def render(resource: ApiResource) -> OpenApi:
    """Return the CustomResourceDefinition of a kind as a manifest."""
    singular = resource.kind.lower()
    version: OpenApi = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root(resource.model)},
        "subresources": {"status": {}},
    }
    if resource.model.printer_columns:
        version["additionalPrinterColumns"] = [_column(column) for column in resource.model.printer_columns]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": singular,
                "shortNames": list(resource.short_names),
                "categories": ["aim", "all"],
            },
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "conversion": {"strategy": "None"},
            "versions": [version],
        },
    }


def status_words(resource: ApiResource) -> tuple[str, ...]:
    """Return the values that the schema allows for `status.status`; none for a kind without that field."""
    status: Any = resource.model.model_fields["status"].annotation
    word = status.model_fields.get("status")
    return _facts(word).enum if word is not None else ()


def render_all() -> dict[str, str]:
    """Return all CRDs as YAML by file name. The output is deterministic."""
    return {
        f"{GROUP}_{resource.plural}.yaml": HEADER
        + yaml.safe_dump(render(resource), sort_keys=True, allow_unicode=True, width=100)
        for resource in RESOURCES
    }


def write_crds(directory: Path) -> list[Path]:
    """Write one file per kind to `directory`, creating it if necessary, and return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in render_all().items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _column(column: PrinterColumn) -> OpenApi:
    rendered: OpenApi = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    return {**rendered, "priority": column.priority} if column.priority else rendered


def _root(model: type[ApiObject]) -> OpenApi:
    """Return the schema of a root object. The API server defines the schema of its metadata."""
    properties = {name: _field(field) for name, field in _fields(model) if name in ("spec", "status")}
    properties["apiVersion"] = {"type": "string", "description": f"Version of the schema: `{GROUP}/<version>`."}
    properties["kind"] = {"type": "string", "description": f"Kind of the object: `{model.__name__}`."}
    properties["metadata"] = {"type": "object"}
    return {"type": "object", "description": _text(model.__doc__), "properties": properties}


def _structure(model: type[ApiModel], facts: Schema) -> OpenApi:
    """Return the schema of a nested structure. Constraints of the field override those of its class."""
    members = dict(_fields(model))
    schema: OpenApi = {"type": "object", "properties": {name: _field(field) for name, field in members.items()}}
    required = sorted(name for name, field in members.items() if _facts(field).required)
    if required:
        schema["required"] = required
    return schema | _stated(facts.over(model.structure))


def _fields(model: type[ApiModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the fields of a model by their names in JSON."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def _field(field: FieldInfo) -> OpenApi:
    facts = _facts(field)
    schema = _schema(field.annotation, facts)
    if field.description:
        schema["description"] = _text(field.description)
    if facts.defaulted:
        schema["default"] = field.get_default()
    return schema


def _facts(field: FieldInfo) -> Schema:
    return _merged(field.metadata, Schema())


def _merged(metadata: list[Any] | tuple[Any, ...], outer: Schema) -> Schema:
    """Merge the constraints in the arguments of an `Annotated`; the outermost (last) take precedence."""
    inner = Schema()
    for marker in metadata:
        if isinstance(marker, Schema):
            inner = marker.over(inner)
    return outer.over(inner)


def _schema(annotation: Any, facts: Schema) -> OpenApi:
    """Return the schema of a type with the given constraints. Raises TypeError for an unsupported type."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return _schema(inner, _merged(metadata, facts))
    if get_origin(annotation) in (Union, UnionType):
        (inner,) = (argument for argument in get_args(annotation) if argument is not NoneType)
        return _schema(inner, facts)
    if facts.any_json:
        return {"x-kubernetes-preserve-unknown-fields": True}
    if facts.shape:
        return _structure(facts.shape, facts)
    if facts.int_or_string:
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            **_stated(facts),
        }
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return _structure(annotation, facts)
    return _container_or_scalar(annotation, facts)


def _container_or_scalar(annotation: Any, facts: Schema) -> OpenApi:
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and arguments[1:] == (...,):
        return {"type": "array", "items": _element(arguments[0]), **_stated(facts)}
    if get_origin(annotation) is Mapping and arguments[0] is str:
        return {"type": "object", "additionalProperties": _element(arguments[1]), **_stated(facts)}
    if annotation in _SCALARS:
        return {"type": _SCALARS[annotation], **_stated(facts)}
    raise TypeError(f"no OpenAPI type for {annotation!r}")


def _element(annotation: Any) -> OpenApi:
    """Return the schema of a list item or map value. A structure has the description of its class."""
    schema = _schema(annotation, Schema())
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        schema["description"] = _text(annotation.__doc__)
    return schema


def _stated(facts: Schema) -> OpenApi:
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


def _text(docstring: str | None) -> str:
    """Return a docstring as running text, keeping empty lines between paragraphs."""
    return re.sub(r"(?<!\n)\n[ \t]*(?!\s)", " ", (docstring or "").strip())
