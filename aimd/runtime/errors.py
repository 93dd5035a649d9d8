"""Errors of the API server and the network, as exceptions, and as values for conditions (OBJ-STA-5)."""

import socket
from collections.abc import Iterator
from typing import Any, ClassVar

from aimd.runtime.objects import Category, Failure


class ApiError(Exception):
    """A call to the API server that failed; made from the server's `Status` object where there is one."""

    default_reason: ClassVar[str] = ""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """HTTP status; 0 without a response."""
        self.reason = reason or self.default_reason or type(self).__name__
        """Machine-readable reason, such as `NotFound`."""
        self.retry_after = retry_after
        """Seconds that the server asks to wait; None if it doesn't."""

    def __str__(self) -> str:
        head = " ".join(part for part in (str(self.status) if self.status else "", self.reason) if part)
        return f"{head}: {self.message}" if head else self.message


class NotFound(ApiError):
    """404: the object or the resource type doesn't exist."""


class AlreadyExists(ApiError):
    """409: an object to create exists."""


class Conflict(ApiError):
    """409: the object changed since it was read, or has another UID than required."""


class NameTaken(ApiError):
    """Nothing was sent, because an object of that name exists and belongs to somebody else (OBJ-OWN-1)."""


class Invalid(ApiError):
    """422: the object isn't valid."""


class Unauthorized(ApiError):
    """401: the credentials are not accepted, even after renewing them."""


class Forbidden(ApiError):
    """403: the identity lacks the right, a quota is exceeded, or an admission policy refuses."""


class Gone(ApiError):
    """410: the requested resourceVersion or continue token is too old."""


class TooManyRequests(ApiError):
    """429: the server limits requests, or an eviction has to wait."""


class ServerTimeout(ApiError):
    """504: the server did not complete the request in time (reasons `Timeout` and `ServerTimeout`)."""


class Unavailable(ApiError):
    """500 or 503: the server failed, or is not ready."""


class ConnectionFailed(ApiError):
    """No response: connection refused or reset, name resolution, TLS. `reason` as from `connection_reason`."""

    default_reason = "NetworkError"


class Undecodable(ConnectionFailed):
    """A line of a watch that is no JSON, and does not show which object it is about."""


class RequestTimeout(ApiError):
    """No response in time; it is unknown whether the server carried the request out."""

    default_reason = "NetworkTimeout"


class WritesSuspended(ApiError):
    """Nothing was sent, because this process doesn't hold the lease."""

    default_reason = "NotLeader"


class TerminalError(Exception):
    """Raised by a reconciler for a failure that a retry can't cure; the key waits until something changes."""


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
    """Return the exception for an error response.

    `body` is the decoded response: a `Status` object, unless it comes from a proxy. Then `text`, its raw form, becomes
    the message.
    """
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    reason = str(fields.get("reason") or "")
    message = _shortened(str(fields.get("message") or "") or text.strip()) or f"HTTP status {status}"
    details = fields.get("details")
    if retry_after is None and isinstance(details, dict):  # A proxy's details may be a list.
        seconds = details.get("retryAfterSeconds")
        retry_after = float(seconds) if isinstance(seconds, int | float) and seconds else None
    error_type = _BY_REASON.get(reason) or _BY_STATUS.get(status, ApiError)
    return error_type(message, status=status, reason=reason, retry_after=retry_after)


def connection_reason(error: BaseException) -> str:
    """Return the reason of a transport error, by what caused it.

    One of `ConnectionRefused`, `ConnectionReset`, `DNSFailure`, `NetworkTimeout` and `NetworkError`.
    """
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
    """Return category and reason of any exception, by the first of its causes that has one (OBJ-STA-5)."""
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
    """Return how a write was refused, for metrics: conflict, forbidden, invalid, quota or error."""
    if isinstance(error, Conflict | AlreadyExists | NameTaken):
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
    (NameTaken, Category.INVALID_SPEC, "NameTaken"),
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
    """Shorten a message in the middle, where validation errors quote whole objects."""
    if len(message) <= limit:
        return message
    return f"{message[: limit // 2]} … {message[-limit // 3 :]}"


def _causes(error: BaseException, *, hidden: bool = False) -> Iterator[BaseException]:
    """Yield the error, then its causes and the members of exception groups; with `hidden`, beyond `from None`."""
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
