"""The checks of a profile in 0.8 and 0.9, whose profiles follow a JSON schema; of many faults, one is reported.

Which one, and its words, are those of the `jsonschema` package that these runtimes use. The types of the engine's
arguments are data of AMD's published schemas (data/engine_arguments.json, MIT license in data/LICENSE).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aimd.sandbox.aim_image.configuration import METRICS, PRECISIONS
from aimd.sandbox.aim_image.generations import Generation, device_names

_ENGINE_ARGUMENTS = Path(__file__).parent / "data" / "engine_arguments.json"
_VARIABLE = "^[A-Z0-9_]+$"
_MOST_GPUS = 8


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the path of the value, the value, what is wrong with it, and its rank among faults of a path."""

    path: tuple[str | int, ...]
    value: Any
    message: str
    weak: bool = False
    of_type: bool = True
    """Whether the value has the type that the same part of the schema asks for."""
    position: int | None = None
    """The position of a wrong name in a list of names, which the log gives instead of the path."""

    @property
    def logged_path(self) -> tuple[str | int, ...]:
        """Return the path as the log gives it."""
        return self.path if self.position is None else (self.position,)

    @property
    def rank(self) -> tuple[int, tuple[str | int, ...], bool, bool]:
        """Return the sort key: the fault with the highest is reported, the first of several."""
        return -len(self.path), self.path, not self.weak, not self.of_type


class ProfileInvalid(Exception):
    """A profile that the runtime refuses; the message is what its log says."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def check_schema(document: Any, generation: Generation, *, general: bool) -> None:
    """Check the content of a profile file. Raises ProfileInvalid, or TypeError for names that are no texts."""
    faults = [*_base_faults(document, generation), *(() if general else _identity_faults(document))]
    if faults:
        raise ProfileInvalid(max(faults, key=lambda fault: fault.rank))


def _base_faults(document: Any, generation: Generation) -> Iterator[Fault]:
    yield from _type_faults((), document, "object")
    if not isinstance(document, dict):
        return
    if "metadata" in document:
        yield from _metadata_faults(document["metadata"], generation)
    if "env_vars" in document:
        yield from _variable_faults(document["env_vars"])
    if "engine_args" in document:
        yield from _type_faults(("engine_args",), document["engine_args"], "object")
    yield from _missing((), document, ("metadata", "env_vars", "engine_args"))
    if _may_be_vllm(document) and isinstance(document.get("engine_args"), dict):
        yield from argument_faults(document["engine_args"])


def _identity_faults(document: Any) -> Iterator[Fault]:
    if not isinstance(document, dict):
        return
    for name in ("aim_id", "model_id"):
        if name in document:
            yield from _type_faults((name,), document[name], "string")
    # This part of the schema names no type of its own, and so its faults go before others of the same path.
    for fault in _missing((), document, ("aim_id", "model_id")):
        yield Fault(fault.path, fault.value, fault.message, of_type=False)


def _metadata_faults(metadata: Any, generation: Generation) -> Iterator[Fault]:
    yield from _type_faults(("metadata",), metadata, "object")
    if not isinstance(metadata, dict):
        return
    types = ("optimized", "unoptimized", "general", *(("preview",) if generation >= Generation.V0_9 else ()))
    words: dict[str, Sequence[str]] = {
        "engine": ("vllm",),
        "gpu": device_names(generation),
        "precision": PRECISIONS,
        "metric": METRICS,
        "type": types,
    }
    for name, known in words.items():
        if name in metadata:
            yield from _word_faults(("metadata", name), metadata[name], known, of_type=False)
    if "gpu_count" in metadata:
        yield from _count_faults(metadata["gpu_count"])
    if "manual_selection_only" in metadata:
        yield from _type_faults(("metadata", "manual_selection_only"), metadata["manual_selection_only"], "boolean")
    names = ("engine", "gpu", "precision", "gpu_count", "metric", "manual_selection_only", "type")
    yield from _missing(("metadata",), metadata, names)


def _count_faults(count: Any) -> Iterator[Fault]:
    path = ("metadata", "gpu_count")
    whole = _is(count, "integer")
    yield from _type_faults(path, count, "integer")
    if _is(count, "number") and count < 0:
        yield Fault(path, count, f"{count!r} is less than the minimum of 0", of_type=whole)
    if _is(count, "number") and count > _MOST_GPUS:
        yield Fault(path, count, f"{count!r} is greater than the maximum of {_MOST_GPUS}", of_type=whole)


def _variable_faults(variables: Any) -> Iterator[Fault]:
    """Check the environment: texts, but only under names of capital letters."""
    yield from _type_faults(("env_vars",), variables, "object")
    for name, value in variables.items() if isinstance(variables, dict) else ():
        if re.search(_VARIABLE, name):
            yield from _type_faults(("env_vars", name), value, "string")


def argument_faults(arguments: Mapping[str, Any]) -> Iterator[Fault]:
    """Check the arguments of vLLM that have a known type; others may be anything."""
    for name, rule in _engine_arguments().items():
        if name not in arguments:
            continue
        path, value = ("engine_args", name), arguments[name]
        if "anyOf" in rule:
            yield from _served_name_faults(path, value)
            continue
        kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
        yield from _type_faults(path, value, *kinds)
        if "enum" in rule:
            yield from _word_faults(path, value, rule["enum"], of_type=any(_is(value, kind) for kind in kinds))


def _served_name_faults(path: tuple[str | int, ...], value: Any) -> Iterator[Fault]:
    """Check a name or a list of names; a wrong name in a list is reported by itself."""
    if isinstance(value, str) or value is None:
        return
    wrong = [index for index, item in enumerate(value) if not isinstance(item, str)] if isinstance(value, list) else []
    if wrong:
        item = value[wrong[0]]
        message = f"{item!r} is not of type 'string'"
        yield Fault(path, item, message, weak=True, of_type=False, position=wrong[0])
    elif not isinstance(value, list):
        yield Fault(path, value, f"{value!r} is not valid under any of the given schemas", weak=True, of_type=False)


@cache
def _engine_arguments() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_ENGINE_ARGUMENTS.read_text(encoding="utf-8"))
    return found


def _may_be_vllm(document: Mapping[str, Any]) -> bool:
    """Return whether nothing in the metadata says that the engine is another one."""
    metadata = document.get("metadata")
    return not isinstance(metadata, dict) or metadata.get("engine", "vllm") == "vllm"


def _missing(path: tuple[str | int, ...], value: Mapping[str, Any], names: Sequence[str]) -> Iterator[Fault]:
    for name in names:
        if name not in value:
            yield Fault(path, value, f"{name!r} is a required property")


def _type_faults(path: tuple[str | int, ...], value: Any, *kinds: str) -> Iterator[Fault]:
    if not any(_is(value, kind) for kind in kinds):
        listed = ", ".join(repr(kind) for kind in kinds)
        yield Fault(path, value, f"{value!r} is not of type {listed}", of_type=False)


def _word_faults(path: tuple[str | int, ...], value: Any, known: Sequence[Any], *, of_type: bool) -> Iterator[Fault]:
    # True is not 1 in JSON, though it is in Python.
    if isinstance(value, bool) or value not in known:
        yield Fault(path, value, f"{value!r} is not one of {list(known)!r}", of_type=of_type)


def _is(value: Any, kind: str) -> bool:
    """Return whether a value has a type of JSON schema: 2.0 is an integer, and true is no number."""
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    types: dict[str, type | tuple[type, ...]] = {
        "number": (int, float),
        "string": str,
        "object": dict,
        "array": list,
        "null": type(None),
        "boolean": bool,
    }
    return isinstance(value, types[kind])
