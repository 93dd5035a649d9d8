"""docs/fields.md: every field of every kind, with what reads it, its rules and its test.

Fields, defaults and bounds come from the CRDs, readers from the syntax trees of planning and controllers, rules from
docs/rules/ and from the docstrings of the readers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from aimd.api.crd import render
from aimd.api.kinds import RESOURCES, ApiResource
from aimd.cli.field_readers import WHOLE, Readers, find_readers
from aimd.cli.markdown import code, table

_INTRODUCTION = """Every field of every kind, from the schema, the code and the rules. *Change* says whether the field
can change while the object exists. *Read by* names the functions in `aimd/` that read the field, without the prefix
`aimd.`; a field of a shared structure, such as an environment variable, is read by the functions of all kinds that have
it. *Rules* link to the rules that mention the field, then to the other rules of these functions. *Test* proves the
effect: `pytest tests/unit/planning/<folder>/test_fields.py -k "<field>"`."""
_HEAD = ("Field", "Default", "Bounds", "Change", "Read by", "Rules", "Test")
_BOUNDS = ("enum", "pattern", "format", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
_ID = re.compile(r"\b[A-Z]{2,4}-[A-Z]{3}-\d+\b")
_RULE = re.compile(r"^### ([A-Z]{2,4}-[A-Z]{3}-\d+)\n\n(.*?)(?=^### |^## |\Z)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"`([\w.\[\]{}]+)`")
_MOST_READERS = 8
_PAGES = {
    "AIMService": ("service", "service"),
    "AIMModel": ("model", "model"),
    "AIMClusterModel": ("model", "model"),
    "AIMClusterModelSource": ("model-source", "model_source"),
    "AIMRuntimeConfig": ("runtime-config", ""),
    "AIMClusterRuntimeConfig": ("runtime-config", ""),
    "AIMServiceTemplate": ("template", "service_template"),
    "AIMClusterServiceTemplate": ("template", "service_template"),
    "AIMTemplateCache": ("template-cache", "template_cache"),
    "AIMArtifact": ("artifact", "artifact"),
}
"""Page in docs/rules/ and folder in tests/unit/planning/ of each kind."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as its page has it."""

    id: str
    page: str
    text: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field without fields below it: its path, schema, the model that declares it, and whether it may change."""

    path: str
    schema: Mapping[str, Any]
    owners: tuple[type[BaseModel], ...]
    """The models on the way to the field, the one that declares it last."""
    name: str
    change: str


def fields_page(generated: str, rules: Path) -> str:
    """Return docs/fields.md; `generated` marks generated pages, `rules` is the folder docs/rules."""
    readers = find_readers("aimd.planning", "aimd.controllers")
    known = list(_rules(rules))
    blocks = [generated, "# Fields", _INTRODUCTION]
    for resource in RESOURCES:
        rows = [_row(resource, leaf, readers, known) for leaf in _leaves(resource)]
        blocks += [f"## {resource.kind}", "\n".join(table(_HEAD, rows))]
    return "\n\n".join(blocks) + "\n"


def _row(resource: ApiResource, leaf: Leaf, readers: Readers, rules: Iterable[Rule]) -> tuple[str, ...]:
    page, folder = _PAGES[resource.kind]
    found = _readers_of(leaf, readers)
    own = [name for name in found if folder and name.startswith(f"planning.{folder}.")]
    ordered = [*own, *(name for name in found if name not in own)]
    shown = [code(name) for name in ordered[:_MOST_READERS]]
    more = [f"and {len(ordered) - _MOST_READERS} more"] if len(ordered) > _MOST_READERS else []
    default = leaf.schema.get("default")
    test = f"{folder or 'runtime_config'}: {_tested_field(leaf)}" if leaf.path.startswith("spec.") else ""
    return (
        code(leaf.path),
        code(str(default).lower() if isinstance(default, bool) else str(default)) if default is not None else "",
        "; ".join(_bounds(leaf.schema)),
        leaf.change,
        ", ".join([*shown, *more]),
        ", ".join(_linked(rule) for rule in _rules_of(leaf, page, own or ordered, rules)),
        code(test),
    )


def _tested_field(leaf: Leaf) -> str:
    """Return the field as tests name it: without `spec.`, and without the `{}` of maps, which `pytest -k` rejects."""
    return leaf.path.removeprefix("spec.").replace("{}", "")


def _readers_of(leaf: Leaf, readers: Readers) -> tuple[str, ...]:
    """Return the functions that read the field, else those that render the innermost model around it as a whole."""
    direct = tuple(name for owner in leaf.owners[-1].__mro__ for name in readers.get((owner, leaf.name), ()))
    around = (readers.get((owner, WHOLE), ()) for owner in reversed(leaf.owners))
    return direct or next(filter(None, around), ())


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for keyword in _BOUNDS:
        value = schema.get(keyword)
        if keyword == "enum" and value:
            yield ", ".join(code(str(item)) for item in value)
        elif value is not None:
            yield f"{keyword} {code(str(value))}"


def _linked(rule: Rule) -> str:
    return f"[{rule.id}](rules/{rule.page}.md#{rule.id.lower()})"


def _rules_of(leaf: Leaf, page: str, readers: Iterable[str], rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules of the kind that mention the field, then those of the functions that read it.

    Where none mentions the field itself, those count that mention the innermost field around it.
    """
    cited = {id_ for name in readers for id_ in _ID.findall(_docstring(name))}
    own = [rule for rule in rules if rule.page == page]
    path = _segments(leaf.path)
    ends = range(len(path), 0, -1)
    mentioned = next((found for end in ends if (found := _mentioning(path[:end], own))), [])
    return [*mentioned, *(rule for rule in rules if rule.id in cited and rule not in mentioned)]


def _mentioning(path: tuple[str, ...], rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules that name the field of a path, by its last segments."""
    endings = {path[start:] for start in range(len(path))}
    return [rule for rule in rules if endings & {_segments(name) for name in _NAME.findall(rule.text)}]


def _segments(path: str) -> tuple[str, ...]:
    return tuple(segment.rstrip("[]{}") for segment in path.removeprefix("spec.").split("."))


def _docstring(name: str) -> str:
    """Return the docstring of `planning.module.function` or of a method."""
    parts = ["aimd", *name.split(".")]
    for length in range(len(parts) - 1, 0, -1):
        try:
            module = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        found: Any = module
        for part in parts[length:]:
            found = getattr(found, part, None)
        return str(getattr(found, "__doc__", "") or "")
    return ""


def _rules(folder: Path) -> Iterator[Rule]:
    for page in sorted(folder.glob("*.md")):
        for match in _RULE.finditer(page.read_text(encoding="utf-8")):
            yield Rule(match[1], page.stem, match[2])


def _leaves(resource: ApiResource) -> Iterator[Leaf]:
    schema = render(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in ("spec", "status"):
        change = "" if part == "spec" else "set by aimd"
        model = _model_in(resource.model.model_fields[part].annotation)
        if model is not None:
            yield from _below((model,), schema["properties"][part], part, change)


def _below(models: tuple[type[BaseModel], ...], schema: Mapping[str, Any], path: str, change: str) -> Iterator[Leaf]:
    for name, field in models[-1].model_fields.items():
        json_name = field.alias or name
        below = schema.get("properties", {}).get(json_name)
        if below is None:
            continue
        changes = change or _change(below)
        suffix, content = _content(below)
        inner = _model_in(field.annotation)
        if inner is not None and "properties" in content:
            yield from _below((*models, inner), content, f"{path}.{json_name}{suffix}", changes)
        else:
            described = content | {"default": below.get("default")}
            yield Leaf(f"{path}.{json_name}{suffix}", described, models, name, changes)


def _content(schema: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the schema of a list's or map's elements, with the suffix that the path gets."""
    if schema.get("type") == "array":
        return "[]", dict(schema["items"])
    if isinstance(schema.get("additionalProperties"), Mapping):
        return "{}", dict(schema["additionalProperties"])
    return "", dict(schema)


def _change(schema: Mapping[str, Any]) -> str:
    rules = [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]
    return "immutable" if any(rule == "self == oldSelf" for rule in rules) else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation such as `tuple[EnvVar, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Annotated:
        return _model_in(get_args(annotation)[0])
    return next((model for item in get_args(annotation) if (model := _model_in(item)) is not None), None)
