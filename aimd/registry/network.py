"""The cause of a transport error, with its reason and advice."""

import socket
import ssl
from collections.abc import Iterator

import httpx

from aimd.registry.failures import Problem, RegistryError, RegistryFailure, failure, quoted, registry_error

_ADVICE = {
    "ConnectionRefused": "no service listens there: check the registry's name and port",
    "ConnectionReset": "the connection was closed: check the registry, and proxies and firewalls in front of it",
    "DNSFailure": "the name cannot be resolved: correct the image, or the cluster's DNS",
    "NetworkTimeout": "the connection timed out: check network policies and the proxy",
    "NetworkError": "check the registry, and proxies and firewalls in front of it",
}
_CERTIFICATE_ADVICE = (
    "its certificate cannot be verified: add its authority to the operator's trust with SSL_CERT_FILE, or renew the "
    "certificate"
)


def network_failure(host: str, problem: Exception) -> RegistryError:
    """Return an exception with the reason of the error's root cause."""
    causes = list(_causes(problem))
    if is_certificate_error(problem):
        return registry_error(Problem.NETWORK, f"request to {host} failed: {_CERTIFICATE_ADVICE}")
    reason = _reason(causes)
    detail = quoted(str(problem)) or type(problem).__name__
    text = f"request to {host} failed ({detail}): {_ADVICE[reason]}"
    return registry_error(Problem.NETWORK, text, reason=reason)


def unreachable(host: str) -> RegistryFailure:
    """Return the failure of a host at a private address: the same for closed, filtered and other ports (REG-NET-6)."""
    return failure(
        Problem.NETWORK,
        f"no image registry answers at {host}: check its name, port and certificate, and the network policies between",
    )


def is_certificate_error(problem: Exception) -> bool:
    """Return whether the host speaks TLS with a certificate that cannot be verified."""
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
    """Yield the error and its causes, also those hidden by `raise … from None` and those in exception groups."""
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
