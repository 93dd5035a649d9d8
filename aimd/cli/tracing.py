"""Traces through OpenTelemetry, sent by OTLP over HTTP: a span for each reconcile, below it one for each API request.

Imported only with `--tracing`. Where spans go, which are kept and how many wait say the variables that the
OpenTelemetry specification names (`OTEL_*`). A collector that is away costs spans, never a reconcile.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from structlog.typing import EventDict

from aimd import __version__
from aimd.runtime.tracing import SetAttribute

_LAST_SPANS_SECONDS = 3.0
_STATUS_CODE = "http.response.status_code"
_log = structlog.get_logger()


class OpenTelemetryTracer:
    """The runtime's tracer; `instance` is the name of this replica."""

    def __init__(self, instance: str, exporter: SpanExporter | None = None) -> None:
        logging.getLogger("opentelemetry").handlers = [_Lines()]
        own = {"service.name": "aimd", "service.version": __version__, "service.instance.id": instance}
        told = OTELResourceDetector().detect().attributes
        # The process is not left waiting for a collector that is away, as it would be by the library's own exit hook.
        self._provider = TracerProvider(resource=Resource.create({**own, **told}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("aimd", __version__)

    @contextmanager
    def reconcile(self, controller: str, fields: Callable[[], Mapping[str, Any]]) -> Iterator[SetAttribute]:
        """Open the root span of a reconcile."""
        with self._tracer.start_as_current_span(f"reconcile {controller}", attributes=_plain(fields())) as span:
            yield _attributes_of(span)

    @contextmanager
    def request(self, name: str, fields: Callable[[], Mapping[str, Any]]) -> Iterator[SetAttribute]:
        """Open a span below that of the reconcile; requests outside of one, such as watches, have none."""
        if not trace.get_current_span().get_span_context().is_valid:
            yield lambda _name, _value: None
            return
        kind = trace.SpanKind.CLIENT
        with self._tracer.start_as_current_span(name, kind=kind, attributes=dict(fields())) as span:
            yield _attributes_of(span)

    def close(self) -> None:
        """Sends what is left, for some seconds at most; blocks."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(_LAST_SPANS_SECONDS)


def add_trace_ids(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add the IDs of the current trace and span to a log line of a reconcile, under OpenTelemetry's names."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


class _Lines(logging.Handler):
    """What the library says becomes a line like any other."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line; that spans are lost is never worse than a warning."""
        _log.warning("tracing", message=record.getMessage())


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what no attribute can be; the log's keys tell name and namespace twice."""
    return {name: value for name, value in fields.items() if not isinstance(value, Mapping)}


def _attributes_of(span: trace.Span) -> SetAttribute:
    def set_attribute(name: str, value: Any) -> None:
        span.set_attribute(name, value)
        if value == "error" or (name == _STATUS_CODE and value >= 400):
            span.set_status(trace.StatusCode.ERROR)

    return set_attribute
