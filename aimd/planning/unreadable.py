"""Objects that do not parse: lookups return them as values, so a broken neighbor does not stop others."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from aimd.api.core import ApiObject
from aimd.runtime.objects import Category, Failure, Key, Kind, Manifest, key_of


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that exists and does not parse; `problem` names the field and says what is wrong with it."""

    kind: Kind
    key: Key
    problem: str

    def __str__(self) -> str:
        return f"{self.kind.name} {self.key} cannot be read: {self.problem}"


def unreadable(kind: Kind, manifest: Manifest, error: ValidationError) -> Unreadable:
    """Return the value for an object whose parsing failed."""
    return Unreadable(kind, key_of(manifest), problem_of(error))


def problem_of(error: ValidationError) -> str:
    """Return the first field that does not parse, what is wrong with it, and what to do.

    Without a field if the whole object cannot be read.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field}: {first['msg']}; correct this field" if field else first["msg"]


def find_unreadable(found: Iterable[Unreadable], kinds: Iterable[Kind], name: str) -> Unreadable | None:
    """Return the unreadable object of a name and one of the kinds, the namespaced one first; None without any."""
    namesakes = [item for item in found if item.key.name == name and item.kind in kinds]
    return min(namesakes, key=lambda item: not item.key.namespace, default=None)


def hides(found: Unreadable | None, others: Iterable[ApiObject]) -> bool:
    """Return whether an unreadable object would be used before its readable namesakes of another scope."""
    return found is not None and not any(other.metadata.namespace or not found.key.namespace for other in others)


def unreadable_reference(found: Unreadable, reason: str) -> Failure:
    """Return the failure of an object that refers to an unreadable one."""
    return Failure(Category.MISSING_UPSTREAM, reason, str(found))
