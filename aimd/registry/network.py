"""What lies at the bottom of a transport error."""

import socket
import ssl
from collections.abc import Iterator

import httpx

from aimd.registry.failures import Problem, RegistryError, error, quoted

_ADVICE = {
    "ConnectionRefused": "nothing listens there: check the registry's name and port",
    "ConnectionReset": "the connection was cut: check the registry and what stands between",
    "DNSFailure": "the name cannot be resolved: correct the image, or the cluster's DNS",
    "NetworkTimeout": "there was no answer in time: check network policies and the proxy",
    "NetworkError": "check the registry and what stands between",
}
_CERTIFICATE_ADVICE = (
    "its certificate cannot be verified: have the operator trust its authority with SSL_CERT_FILE, or renew it"
)


def network_failure(host: str, problem: Exception) -> RegistryError:
    """A failure with the reason that the error hides."""
    causes = list(_causes(problem))
    if is_certificate_error(problem):
        return error(Problem.NETWORK, f"{host} could not be asked: {_CERTIFICATE_ADVICE}")
    reason = _reason(causes)
    detail = quoted(str(problem)) or type(problem).__name__
    text = f"{host} could not be asked ({detail}): {_ADVICE[reason]}"
    return error(Problem.NETWORK, text, reason=reason)


def is_certificate_error(problem: Exception) -> bool:
    """Whether TLS is spoken, by somebody whom we have no reason to believe."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(problem))


def _reason(causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ConnectionRefusedError):
            return "ConnectionRefused"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "ConnectionReset"
        if isinstance(cause, socket.gaierror):
            return "DNSFailure"
        if isinstance(cause, TimeoutError | httpx.TimeoutException):
            return "NetworkTimeout"
    return "NetworkError"


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """The error and all it came from, also what `raise … from None` hides and what groups hold."""
    pending, seen = [problem], set[int]()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        pending.extend(cause for cause in (current.__cause__, current.__context__) if cause is not None)
