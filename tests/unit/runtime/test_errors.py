"""Errors are built from the server's Status and sorted into categories and reasons."""

import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimd.runtime.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    RequestTimeout,
    ServerTimeout,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    api_error,
    failure_of,
)
from aimd.runtime.objects import Category, Failure


def status(code: int, reason: str) -> ApiError:
    return api_error(code, {"kind": "Status", "code": code, "reason": reason, "message": "m"})


@pytest.mark.parametrize(
    ("code", "reason", "error_type", "category", "expected"),
    [
        (404, "NotFound", NotFound, Category.MISSING_DOWNSTREAM, "NotFound"),
        (401, "Unauthorized", Unauthorized, Category.AUTH, "Unauthorized"),
        (403, "Forbidden", Forbidden, Category.AUTH, "Forbidden"),
        (422, "Invalid", Invalid, Category.INVALID_SPEC, "InvalidSpec"),
        (409, "AlreadyExists", AlreadyExists, Category.INVALID_SPEC, "AlreadyExists"),
        (409, "Conflict", Conflict, Category.INFRASTRUCTURE, "Conflict"),
        (504, "Timeout", ServerTimeout, Category.INFRASTRUCTURE, "Timeout"),
        (500, "ServerTimeout", ServerTimeout, Category.INFRASTRUCTURE, "Timeout"),
        (503, "ServiceUnavailable", Unavailable, Category.INFRASTRUCTURE, "ServiceUnavailable"),
        (500, "InternalError", Unavailable, Category.INFRASTRUCTURE, "ServiceUnavailable"),
        (429, "TooManyRequests", TooManyRequests, Category.INFRASTRUCTURE, "RateLimited"),
        (502, "", ApiError, Category.INFRASTRUCTURE, "ServerError"),
        (418, "", ApiError, Category.INVALID_SPEC, "ClientError"),
        (410, "Expired", Gone, Category.INVALID_SPEC, "ClientError"),
    ],
)
def test_rows_2_to_12(code: int, reason: str, error_type: type[ApiError], category: Category, expected: str) -> None:
    """Prove OBJ-STA-5."""
    error = status(code, reason)
    assert type(error) is error_type
    assert failure_of(error) == Failure(category, expected, "m")


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionRefusedError("x"), "ConnectionRefused"),
        (TimeoutError("x"), "NetworkTimeout"),
        (ConnectionResetError("x"), "ConnectionReset"),
        (socket.gaierror("x"), "DNSFailure"),
        (OSError("x"), "NetworkError"),
    ],
)
def test_rows_13_to_17_also_when_wrapped(cause: Exception, reason: str) -> None:
    """Prove OBJ-STA-5."""
    wrapped = RuntimeError("context")
    wrapped.__cause__ = cause
    assert failure_of(wrapped) == Failure(Category.INFRASTRUCTURE, reason, "x")
    assert failure_of(ExceptionGroup("group", [cause])).reason == reason


def test_the_other_rows() -> None:
    """Prove OBJ-STA-5."""

    class Classified(Exception):
        failure = Failure(Category.AUTH, "Given", "as it is")

    assert failure_of(Classified()) == Classified.failure
    assert failure_of(ValueError("what")) == Failure(Category.UNKNOWN, "UnknownError", "what")
    assert failure_of(ConnectionFailed("no", reason="DNSFailure")).reason == "DNSFailure"
    assert failure_of(RequestTimeout("late")).reason == "NetworkTimeout"


def test_answers_that_are_no_status_keep_their_text() -> None:
    error = api_error(503, None, text="upstream connect error")
    assert isinstance(error, Unavailable)
    assert error.message == "upstream connect error"
    assert api_error(500, {"unexpected": True}, text="").message == "HTTP status 500"


def test_long_validation_messages_keep_both_ends() -> None:
    message = "Job is invalid: spec.template: Invalid value: " + "x" * 5000 + ": field is immutable"
    error = api_error(422, {"reason": "Invalid", "message": message})
    assert len(error.message) < 1000
    assert error.message.startswith("Job is invalid: spec.template")
    assert error.message.endswith("field is immutable")


def test_the_wait_that_the_server_asks_for() -> None:
    assert api_error(429, {"details": {"retryAfterSeconds": 7}}).retry_after == 7.0
    assert api_error(429, None, retry_after=3.0).retry_after == 3.0


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["reason", "message", "details", "code"]), JSON_VALUES) | JSON_VALUES)
@example({"code": 14, "message": "upstream is down", "details": [{"@type": "google.rpc.RetryInfo"}]})
@example({"details": {"retryAfterSeconds": "soon"}})
def test_whatever_is_answered_is_an_error_of_ours(body: object) -> None:
    error = api_error(503, body, text="text")
    assert type(error) in ApiError.__subclasses__()
    assert error.message
