"""What can go wrong when talking to the API server, as exceptions, and as values for conditions.

The client raises only these. `failure_of` turns any exception into a `Failure` (OBJ-STA-5);
where no condition needs it, code catches the specific class.
"""

import socket
from collections.abc import Iterator
from typing import Any, ClassVar

from aimd.runtime.objects import Category, Failure


class ApiError(Exception):
    """An API call that did not succeed; built from the server's `Status` object where there is one.

    `status` is the HTTP status, 0 when no answer came; `reason` the machine-readable reason (`NotFound`, …);
    `retry_after` the seconds the server asked to wait, None when it did not.
    """

    default_reason: ClassVar[str] = ""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason or self.default_reason or type(self).__name__
        self.retry_after = retry_after

    def __str__(self) -> str:
        head = " ".join(part for part in (str(self.status) if self.status else "", self.reason) if part)
        return f"{head}: {self.message}" if head else self.message


class NotFound(ApiError):
    """404: no such object, or no such resource type."""


class AlreadyExists(ApiError):
    """409: create of a name that is taken."""


class Conflict(ApiError):
    """409: the object changed since it was read, or is another one (UID precondition)."""


class Invalid(ApiError):
    """422: the server refuses the object's content."""


class Unauthorized(ApiError):
    """401: the credentials are not accepted, also after reading them anew."""


class Forbidden(ApiError):
    """403: the identity lacks the right, or an admission policy refuses."""


class Gone(ApiError):
    """410: the resourceVersion asked for is too old."""


class TooManyRequests(ApiError):
    """429: API Priority and Fairness, or an eviction that has to wait."""


class ServerTimeout(ApiError):
    """The server gave up on the request in time (reasons `Timeout` and `ServerTimeout`)."""


class Unavailable(ApiError):
    """500 or 503."""


class ConnectionFailed(ApiError):
    """No answer: refused, reset, name resolution, TLS. `reason` is one of rows 13 to 17 of the table."""

    default_reason = "NetworkError"


class RequestTimeout(ApiError):
    """No answer in time; whether the server carried the request out is unknown."""

    default_reason = "NetworkTimeout"


class WritesSuspended(ApiError):
    """This process may not write now: it does not hold the lease (any more). Nothing was sent."""

    default_reason = "NotLeader"


class TerminalError(Exception):
    """A reconcile that cannot succeed by being repeated; the key is not retried until something changes."""


_NAMED = (NotFound, AlreadyExists, Conflict, Invalid, Unauthorized, Forbidden, Gone, TooManyRequests, ServerTimeout)
_BY_REASON: dict[str, type[ApiError]] = {
    **{named.__name__: named for named in _NAMED},
    "Expired": Gone,
    "Timeout": ServerTimeout,
    "ServiceUnavailable": Unavailable,
    "InternalError": Unavailable,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
    500: Unavailable,
    503: Unavailable,
    504: ServerTimeout,
}


def api_error(status: int, body: object, *, text: str = "", retry_after: float | None = None) -> ApiError:
    """The exception for an error answer.

    `body` is the decoded answer, a `Status` object if the server made it (proxies in between make others);
    `text` is its raw form for the message of the latter.
    """
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    reason = str(fields.get("reason") or "")
    message = _shortened(str(fields.get("message") or "") or text.strip()) or f"HTTP status {status}"
    details = fields.get("details")
    if retry_after is None and isinstance(details, dict):  # What stands before the server may say it with a list.
        seconds = details.get("retryAfterSeconds")
        retry_after = float(seconds) if isinstance(seconds, int | float) and seconds else None
    error_type = _BY_REASON.get(reason) or _BY_STATUS.get(status, ApiError)
    return error_type(message, status=status, reason=reason, retry_after=retry_after)


def connection_reason(error: BaseException) -> str:
    """Which of `ConnectionRefused`, `ConnectionReset`, `DNSFailure`, `NetworkTimeout`, `NetworkError` lies at the
    bottom of a transport error."""
    for cause in _causes(error, hidden=True):  # httpcore raises `from None`
        if isinstance(cause, ConnectionRefusedError):
            return "ConnectionRefused"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "ConnectionReset"
        if isinstance(cause, socket.gaierror):
            return "DNSFailure"
        if isinstance(cause, TimeoutError):
            return "NetworkTimeout"
    return "NetworkError"


def failure_of(error: BaseException) -> Failure:
    """Sorts any exception into a category and a reason; the first that matches (OBJ-STA-5)."""
    for cause in _causes(error):
        failure = getattr(cause, "failure", None)
        if isinstance(failure, Failure):
            return failure
        if isinstance(cause, ApiError):
            return _failure_of_api_error(cause)
        if isinstance(cause, OSError):
            return Failure(Category.INFRASTRUCTURE, connection_reason(cause), str(cause) or type(cause).__name__)
    return Failure(Category.UNKNOWN, "UnknownError", str(error) or type(error).__name__)


def refusal_of(error: ApiError) -> str:
    """How a write was refused, as metrics count it: conflict, forbidden, invalid, quota or error."""
    if isinstance(error, Conflict | AlreadyExists):
        return "conflict"
    if isinstance(error, Forbidden):
        return "quota" if failure_of(error).category is Category.RESOURCE_EXHAUSTION else "forbidden"
    return "invalid" if isinstance(error, Invalid) else "error"


_CATEGORIES: tuple[tuple[type[ApiError], Category, str], ...] = (
    (NotFound, Category.MISSING_DOWNSTREAM, "NotFound"),
    (Unauthorized, Category.AUTH, "Unauthorized"),
    (Forbidden, Category.AUTH, "Forbidden"),
    (Invalid, Category.INVALID_SPEC, "InvalidSpec"),
    (AlreadyExists, Category.INVALID_SPEC, "AlreadyExists"),
    (Conflict, Category.INFRASTRUCTURE, "Conflict"),
    (ServerTimeout, Category.INFRASTRUCTURE, "Timeout"),
    (Unavailable, Category.INFRASTRUCTURE, "ServiceUnavailable"),
    (TooManyRequests, Category.INFRASTRUCTURE, "RateLimited"),
    (RequestTimeout, Category.INFRASTRUCTURE, "NetworkTimeout"),
    (WritesSuspended, Category.INFRASTRUCTURE, "NotLeader"),
)


def _failure_of_api_error(error: ApiError) -> Failure:
    if isinstance(error, ConnectionFailed):
        return Failure(Category.INFRASTRUCTURE, error.reason, error.message)
    if isinstance(error, Forbidden) and "exceeded quota" in error.message:
        return Failure(Category.RESOURCE_EXHAUSTION, "QuotaExceeded", error.message)
    for error_type, category, reason in _CATEGORIES:
        if isinstance(error, error_type):
            return Failure(category, reason, error.message)
    if error.status >= 500:
        return Failure(Category.INFRASTRUCTURE, "ServerError", error.message)
    if error.status >= 400:
        return Failure(Category.INVALID_SPEC, "ClientError", error.message)
    return Failure(Category.UNKNOWN, "UnknownError", error.message)


def _shortened(message: str, limit: int = 1000) -> str:
    """Validation errors quote whole objects in their middle; what is wrong stands at both ends."""
    if len(message) <= limit:
        return message
    return f"{message[: limit // 2]} … {message[-limit // 3 :]}"


def _causes(error: BaseException, *, hidden: bool = False) -> Iterator[BaseException]:
    """The error, then what caused it; members of exception groups included, and what `from None` hides if wanted."""
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        context = current.__context__ if hidden or not current.__suppress_context__ else None
        following = current.__cause__ or context
        if following is not None:
            pending.append(following)
