"""Traces through OpenTelemetry, sent by OTLP over HTTP: a span for each reconcile, below it one for each API request.

Imported only with `--tracing`. OpenTelemetry's environment variables (`OTEL_*`) configure where spans are sent, which
are sampled and how many are buffered. If the collector is down, spans are lost, and reconciles go on.
"""

# tests: tests/integration/test_tracing.py

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
        detected = OTELResourceDetector().detect().attributes
        # The library's own exit hook would make the process wait for a collector that is down.
        self._provider = TracerProvider(resource=Resource.create({**own, **detected}), shutdown_on_exit=False)
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
        """Send the remaining spans; blocks, but for three seconds at most."""
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
    """Log what the library logs as lines like any other."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as a warning at most: lost spans are never worse."""
        _log.warning("tracing", message=record.getMessage())


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out nested fields, which cannot be attributes; they repeat name and namespace."""
    return {name: value for name, value in fields.items() if not isinstance(value, Mapping)}


def _attributes_of(span: trace.Span) -> SetAttribute:
    def set_attribute(name: str, value: Any) -> None:
        span.set_attribute(name, value)
        if value == "error" or (name == _STATUS_CODE and value >= 400):
            span.set_status(trace.StatusCode.ERROR)

    return set_attribute
