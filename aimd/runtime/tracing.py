"""Where spans start and end, for a tracing library of the caller's choice."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeAlias

SetAttribute: TypeAlias = Callable[[str, Any], None]
"""Set an attribute of a span: name and value."""
Attributes: TypeAlias = Callable[[], Mapping[str, Any]]
"""Return the attributes that a span starts with; called only by a tracer that wants them."""


class Tracer(Protocol):
    """Opens spans for reconciles and for the requests in them."""

    def reconcile(self, controller: str, attributes: Attributes) -> AbstractContextManager[SetAttribute]:
        """Open the root span of a reconcile; its attribute `result` is set at the end."""

    def request(self, name: str, attributes: Attributes) -> AbstractContextManager[SetAttribute]:
        """Open a span for a request, below that of the reconcile which sends it.

        Its attribute `http.response.status_code` is set when the response arrives.
        """


class NoTracer:
    """Opens no span, at next to no cost: the default."""

    _nothing: AbstractContextManager[SetAttribute] = nullcontext(lambda _name, _value: None)

    def reconcile(self, _controller: str, _attributes: Attributes) -> AbstractContextManager[SetAttribute]:
        """Open no span."""
        return self._nothing

    def request(self, _name: str, _attributes: Attributes) -> AbstractContextManager[SetAttribute]:
        """Open no span."""
        return self._nothing
