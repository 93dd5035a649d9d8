"""Transport errors: the reason is that of the root cause, however it is wrapped."""

import socket
import ssl
from collections.abc import Callable

import httpx
import pytest

from aimd.registry.failures import Problem
from aimd.registry.network import is_certificate_error, network_failure


def caused_by(cause: BaseException) -> httpx.ConnectError:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = OSError("wrapper")
    error.__cause__.__context__ = cause
    return error


def grouped(cause: Exception) -> httpx.ConnectError:
    error = httpx.ConnectError("")
    error.__context__ = ExceptionGroup("attempts", [ValueError("x"), cause])
    return error


@pytest.mark.parametrize("wrap", [caused_by, grouped])
@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionRefusedError(), "ConnectionRefused"),
        (ConnectionResetError(), "ConnectionReset"),
        (BrokenPipeError(), "ConnectionReset"),
        (socket.gaierror(), "DNSFailure"),
        (TimeoutError(), "NetworkTimeout"),
        (httpx.ReadTimeout(""), "NetworkTimeout"),
        (OSError(), "NetworkError"),
    ],
)
def test_the_root_cause_gives_the_reason(wrap: Callable[[Exception], Exception], cause: Exception, reason: str) -> None:
    """Prove REG-ERR-1."""
    failure = network_failure("r.io", wrap(cause)).failure
    assert (failure.problem, failure.reason) == (Problem.NETWORK, reason)
    assert failure.message.startswith("request to r.io failed (")


def test_a_certificate_that_cannot_be_verified() -> None:
    """Prove REG-NET-1."""
    error = caused_by(ssl.SSLCertVerificationError())
    assert is_certificate_error(error)
    assert "SSL_CERT_FILE" in network_failure("r.io", error).failure.message
    assert not is_certificate_error(caused_by(ssl.SSLError()))


def test_a_cycle_of_causes_ends() -> None:
    first, second = OSError(), OSError()
    first.__context__, second.__context__ = second, first
    assert network_failure("r.io", first).failure.reason == "NetworkError"
