"""Render the CustomResourceDefinitions from the models, by a walk over their fields.

Everything in a CRD comes from a model: the structure from the types, the constraints from `Schema`, the descriptions
from the docstrings, names and printer columns from `kinds`. `crds/` holds the result; a test keeps it up to date.
"""

from pathlib import Path
from typing import Any

import yaml

from aimd.api.core import ApiObject
from aimd.api.kinds import GROUP, RESOURCES, ApiResource
from aimd.api.openapi import OpenApi, facts_of, field_schema, fields_of, running_text
from aimd.api.schema import PrinterColumn

HEADER = "# Generated from aimd/api by `aimd crds`; do not edit.\n"


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
    return facts_of(word).enum if word is not None else ()


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
    parts = {name: field for name, field in fields_of(model) if name in ("spec", "status")}
    properties = {name: field_schema(field, bounded=name == "spec") for name, field in parts.items()}
    properties["apiVersion"] = {"type": "string", "description": f"Version of the schema: `{GROUP}/<version>`."}
    properties["kind"] = {"type": "string", "description": f"Kind of the object: `{model.__name__}`."}
    properties["metadata"] = {"type": "object"}
    return {"type": "object", "description": running_text(model.__doc__), "properties": properties}
