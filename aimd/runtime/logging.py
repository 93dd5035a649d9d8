"""Structured logs with controller-runtime's keys: JSON lines for collectors, colored ones for people."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import orjson
import structlog
from structlog.typing import EventDict, Processor

Fields: TypeAlias = Callable[[], Mapping[str, Any]]
"""Return fields for log lines."""

_context: ContextVar[Fields | None] = ContextVar("log_context", default=None)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str = "info", *, json: bool = True, further: Sequence[Processor] = ()) -> None:
    """Set up structlog for the process; `level` is debug, info, warning or error.

    Lines go to standard error, through the `further` processors after the context was added. Tracebacks never show
    local variables, which may hold secrets.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_context,
        *further,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[Processor]
    if json:
        rendering = [structlog.processors.format_exc_info, _rename_event, structlog.processors.JSONRenderer(_dump)]
    else:
        plain = structlog.dev.plain_traceback
        rendering = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain, timestamp_key="ts")
        ]
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    set_level(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Write lines of this level and above from now on, by existing loggers, too."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level.lower()]))


@contextmanager
def log_context(fields: Fields) -> Iterator[None]:
    """Add `fields()` to every line that is logged inside; call it only then, as most reconciles log nothing."""
    token = _context.set(fields)
    try:
        yield
    finally:
        _context.reset(token)


def _add_context(_logger: Any, _method: str, event: EventDict) -> EventDict:
    fields = _context.get()
    return event if fields is None else {**fields(), **event}


def _rename_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {"level": event.pop("level", ""), "ts": event.pop("ts", ""), "msg": event.pop("event", ""), **event}


def _dump(event: Any, **_options: Any) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # A value with too many levels, or text that is no UTF-8, must not fail what is logged.
        shown = {name: ascii(value)[:1000] for name, value in event.items()}
        return orjson.dumps(shown).decode()
