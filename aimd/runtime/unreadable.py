"""Objects that cannot be handled: kept by name, counted, and logged once for each version (OBJ-TEN-1)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import orjson
import structlog
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from aimd.runtime.objects import Key, Kind, Manifest, Remnant, key_of, metadata_of, surface

M = TypeVar("M", bound=BaseModel)

_log = structlog.get_logger()


class UnreadableObjects:
    """The objects of one store that cannot be decoded, reduced, indexed or parsed, by key."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._keys: set[Key] = set()
        self._logged: dict[Key, str] = {}
        """Generation or version of the objects when they were logged; a status makes no difference."""

    def __len__(self) -> int:
        return len(self._keys)

    def report(self, manifest: Manifest, problem: str) -> None:
        """Count an object; log it unless this version was logged before."""
        key, metadata = key_of(manifest), metadata_of(manifest)
        version = str(metadata.get("generation") or metadata.get("resourceVersion") or "")
        self._keys.add(key)
        if self._logged.get(key) != version:
            self._logged[key] = version
            _log.warning("object unreadable", kind=self._kind.name, key=str(key), version=version, problem=problem)

    def arrived(self, manifest: Manifest) -> None:
        """Note a new version of an object: it counts if it is a Remnant, else until something fails."""
        self._keys.discard(key_of(manifest))
        if isinstance(manifest, Remnant):
            self.report(manifest, manifest.problem)

    def forget(self, key: Key) -> None:
        """Forget an object that is gone."""
        self._keys.discard(key)
        self._logged.pop(key, None)

    def values(self, function: Callable[[Manifest], Iterable[str]], manifest: Manifest) -> Sequence[str]:
        """Return the values of an index function; the object's name if the function cannot handle the object."""
        try:
            return tuple(dict.fromkeys(function(manifest)))
        except Exception as error:
            self.report(manifest, f"it cannot be indexed: {_said(error)}")
            return (key_of(manifest).name,)


def reduced(manifest: Manifest, transforms: Iterable[Callable[[Manifest], Manifest]]) -> Manifest:
    """Return what the transforms leave of an object; a Remnant if one fails, or if it cannot be written as JSON.

    So everything in a store has at most 254 levels, and can be compared, copied and sent.
    """
    found = manifest
    try:
        if not isinstance(found, Remnant):
            for transform in transforms:
                found = transform(found)
            orjson.dumps(found)
            return found
        problem = found.problem
    except Exception as error:
        deep = isinstance(error, RecursionError) or "ecursion" in str(error)
        reason = "it is nested too deeply" if deep else _said(error)
        problem = f"the object cannot be kept ({reason}); simplify or delete it"
    rest = surface(manifest)
    metadata = {name: value for name, value in metadata_of(rest).items() if name != "managedFields"}
    return Remnant(problem, {**rest, "metadata": metadata})


def validated(model: type[M], manifest: Manifest) -> M | ValidationError:
    """Return the object as a pydantic model, or why it is none: for a Remnant, and whatever a validator raises."""
    if isinstance(manifest, Remnant):
        return _error(model, manifest.problem)
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        return error
    except Exception as error:
        return _error(model, _said(error))


def summary_of(error: ValidationError) -> str:
    """Return the first field that does not parse, and why; only the reason if the whole object does not."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _error(model: type[BaseModel], problem: str) -> ValidationError:
    details: Any = {
        "type": PydanticCustomError("unreadable", "{problem}", {"problem": problem}),
        "loc": (),
        "input": "",
    }
    return ValidationError.from_exception_data(model.__name__, [details])


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
