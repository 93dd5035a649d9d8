"""The path of a route, rendered from a template over the service.

Nothing is silently cut or replaced: what cannot become a path of the Gateway API is an InvalidPathTemplate.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from jsonpath_ng.jsonpath import Child, Fields, Index, JSONPath, Root
from jsonpath_ng.parser import parse

from aimd.api.shared import MOST_OF_A_PATH_TEMPLATE

MAXIMUM_LENGTH = 200
_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_MAPS = ("labels", "annotations")

_Step = str | int


class InvalidPathTemplate(ValueError):
    """A path template that gives no path; the message says what to change."""


def default_path(namespace: str, name: str) -> str:
    """Return the path of a service without a template: `/<namespace>/<name>` (SVC-RTE-2)."""
    return normalize_path(f"/{namespace}/{name}")


def render_path(template: str, service: Mapping[str, Any]) -> str:
    """Return the path that `template` gives for the service (its JSON). Raises InvalidPathTemplate."""
    _refuse_unmatched(template)
    rendered = _EXPRESSION.sub(lambda match: _value(match.group(1).strip(), service), template)
    path = normalize_path(rendered)
    if path == "/" and _EXPRESSION.search(template):
        raise InvalidPathTemplate(f"path template {template!r} gives an empty path: its expressions have no text")
    return path


def check_template(template: str) -> None:
    """Raise InvalidPathTemplate for a template that is not valid for any service."""
    _refuse_unmatched(template)
    for expression in _EXPRESSION.findall(template):
        _steps(expression.strip())


def normalize_path(text: str) -> str:
    """Return the path in lower case, percent-encoded, without empty segments (SVC-RTE-3).

    Raises InvalidPathTemplate.
    """
    segments = [segment for segment in text.strip().lower().split("/") if segment]
    for segment in segments:
        if segment in (".", ".."):
            raise InvalidPathTemplate(f"path {text!r} has the segment {segment!r}, which no route may have")
    try:
        path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    except UnicodeEncodeError as error:
        raise InvalidPathTemplate(f"path {text!r} has a character that cannot be encoded") from error
    if len(path) > MAXIMUM_LENGTH:
        raise InvalidPathTemplate(
            f"the rendered path has {len(path)} characters, more than {MAXIMUM_LENGTH}: "
            "shorten the template or its values"
        )
    return path


def _refuse_unmatched(template: str) -> None:
    if len(template) > MOST_OF_A_PATH_TEMPLATE:  # Before parsing, whose time grows with the length (OBJ-BND-2).
        raise InvalidPathTemplate(
            f"the path template has {len(template)} characters, more than {MOST_OF_A_PATH_TEMPLATE}: shorten it"
        )
    outside = _EXPRESSION.sub("", template)
    if "{" in outside or "}" in outside:
        raise InvalidPathTemplate(f"path template {template!r} has an unmatched brace")


def _value(expression: str, service: Mapping[str, Any]) -> str:
    found: Any = service
    walked = ""
    for step in _steps(expression):
        parent = walked.rpartition(".")[2]
        walked += f"[{step}]" if isinstance(step, int) else f".{step}"
        found = _descend(found, step)
        if found is None:
            what = f"{parent.removesuffix('s')} {step!r}" if parent in _MAPS else f"field {walked}"
            raise InvalidPathTemplate(f"the service has no {what}, which the path template names as {{{expression}}}")
    if isinstance(found, str):
        return found
    if isinstance(found, bool | int | float):
        return json.dumps(found)
    raise InvalidPathTemplate(f"{{{expression}}} is not a single value: name a text, number or boolean field")


def _descend(value: Any, step: _Step) -> Any:
    if isinstance(step, int):
        in_range = isinstance(value, list) and -len(value) <= step < len(value)
        return value[step] if in_range else None
    return value.get(step) if isinstance(value, dict) else None


@lru_cache(maxsize=1024)
def _steps(expression: str) -> tuple[_Step, ...]:
    """Return the names and indexes of an expression (SVC-RTE-4). Raises InvalidPathTemplate for anything else."""
    if not expression.startswith((".", "[", "$")):
        raise InvalidPathTemplate(f"expression {{{expression}}} does not begin with a dot, as in {{.metadata.name}}")
    try:
        path = parse(expression if expression.startswith("$") else f"${expression}")
    except Exception as error:  # the library has several unrelated kinds of syntax error
        raise InvalidPathTemplate(f"expression {{{expression}}} is not valid JSONPath: {error}") from error
    steps = _flatten(path)
    if not steps:
        raise InvalidPathTemplate(
            f"expression {{{expression}}} may only consist of names, quoted keys and indexes, as in "
            "{.metadata.labels['team']}"
        )
    return steps


def _flatten(path: JSONPath) -> tuple[_Step, ...]:
    """Return the steps of a plain path, none when it has a wildcard, slice, filter or function."""
    steps: list[_Step] = []
    while isinstance(path, Child):
        step = _single(path.right)
        if step is None:
            return ()
        steps.append(step)
        path = path.left
    return tuple(reversed(steps)) if isinstance(path, Root) else ()


def _single(step: JSONPath) -> _Step | None:
    if isinstance(step, Fields) and len(step.fields) == 1 and step.fields[0] != "*":
        return str(step.fields[0])
    if isinstance(step, Index) and len(step.indices) == 1:
        return int(step.indices[0])
    return None
