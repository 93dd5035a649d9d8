"""Failures of requests to image registries, as values with a stable reason (REG-ERR-1)."""

from dataclasses import dataclass, replace
from enum import StrEnum

_LONGEST_QUOTE = 200


class Problem(StrEnum):
    """Class of a failure; it decides who has to act, and when to retry."""

    REFERENCE = "Reference"
    """The text is not a valid image reference."""
    NOT_ALLOWED = "NotAllowed"
    """The registry, or a host that it names, is at an address that may not be contacted."""
    AUTH = "Auth"
    """All credentials were refused (401 or 403), or a pull secret cannot be parsed."""
    NOT_FOUND = "NotFound"
    """The repository, tag, digest or platform does not exist."""
    RATE_LIMIT = "RateLimit"
    """The registry limits requests (429, or its equivalent)."""
    UNAVAILABLE = "Unavailable"
    """The registry returned a server error, or nothing that a registry would return."""
    NETWORK = "Network"
    """There was no response: a failure of name resolution, connection or TLS, or a timeout."""
    CONTENT = "Content"
    """The registry responded, but with content that is not an image."""


_REASONS = {
    Problem.REFERENCE: "ImageReferenceInvalid",
    Problem.NOT_ALLOWED: "RegistryNotAllowed",
    Problem.AUTH: "ImagePullAuthFailure",
    Problem.NOT_FOUND: "ImageNotFound",
    Problem.RATE_LIMIT: "ImagePullBackOff",
    Problem.UNAVAILABLE: "ImagePullBackOff",
    Problem.NETWORK: "NetworkError",
    Problem.CONTENT: "MetadataExtractionFailed",
}
_TRANSIENT = frozenset({Problem.RATE_LIMIT, Problem.UNAVAILABLE, Problem.NETWORK})


@dataclass(frozen=True, slots=True)
class RegistryFailure:
    """Why there is no result: the problem, a stable reason, and a message that says what to change.

    `reason` is that of the problem; a network failure has one of `ConnectionRefused`, `ConnectionReset`, `DNSFailure`,
    `NetworkTimeout`, `NetworkError`. `retry_after` is how many seconds the registry asks to wait, None if it does not
    say; the message never contains it, so that it does not change with time.
    """

    problem: Problem
    reason: str
    message: str
    retry_after: float | None = None

    @property
    def transient(self) -> bool:
        """Whether a retry may succeed although nothing is changed."""
        return self.problem in _TRANSIENT

    def after(self, seconds: float) -> "RegistryFailure":
        """Return the same failure, to be retried after `seconds`."""
        return replace(self, retry_after=seconds)


class RegistryError(Exception):
    """Carries a failure up to the public functions of this package, which return it."""

    def __init__(self, failure: RegistryFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure(problem: Problem, message: str, *, reason: str = "", retry_after: float | None = None) -> RegistryFailure:
    """Return a failure; its reason is that of the problem unless another one is given."""
    return RegistryFailure(problem, reason or _REASONS[problem], message, retry_after)


def registry_error(
    problem: Problem, message: str, *, reason: str = "", retry_after: float | None = None
) -> RegistryError:
    """Return an exception that carries a failure."""
    return RegistryError(failure(problem, message, reason=reason, retry_after=retry_after))


def timed_out(host: str, seconds: float) -> RegistryFailure:
    """Return the failure of a call that has exceeded its deadline."""
    return failure(
        Problem.NETWORK,
        f"{host} did not answer within {seconds:g} s: check that the operator's pod can reach it (network policies, "
        "proxy) and that it is not overloaded",
        reason="NetworkTimeout",
    )


def quoted(text: str) -> str:
    """Return untrusted text shortened and made printable, in one line."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]} …"
