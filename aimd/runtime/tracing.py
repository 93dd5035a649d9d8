"""Where traces begin and end, for a tracing library of the caller's choice; which one that is, nothing here knows."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeAlias

Tell: TypeAlias = Callable[[str, Any], None]
"""Adds an attribute to a span: its name and its value."""


class Tracer(Protocol):
    """Opens spans; `fields` are asked for attributes only by a tracer that wants them."""

    def turn(self, controller: str, fields: Callable[[], Mapping[str, Any]]) -> AbstractContextManager[Tell]:
        """One reconcile, a trace of its own; it is told its `result`."""

    def request(self, name: str, fields: Callable[[], Mapping[str, Any]]) -> AbstractContextManager[Tell]:
        """One request, part of the turn that it is sent in; it is told its `http.response.status_code`."""


class NoTracer:
    """Opens nothing, at next to no cost."""

    _nothing: AbstractContextManager[Tell] = nullcontext(lambda name, value: None)

    def turn(self, controller: str, fields: Callable[[], Mapping[str, Any]]) -> AbstractContextManager[Tell]:
        """A turn nobody follows."""
        return self._nothing

    def request(self, name: str, fields: Callable[[], Mapping[str, Any]]) -> AbstractContextManager[Tell]:
        """A request nobody follows."""
        return self._nothing
