"""How a question to a registry can fail: values with a stable reason (REG-ERR-1).

The functions make the failures whose wording more than one module needs.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

_LONGEST_QUOTE = 200


class Problem(StrEnum):
    """What sort of trouble it is; decides who has to act and when to ask again."""

    REFERENCE = "Reference"
    """The text names no image."""
    AUTH = "Auth"
    """401 or 403 with everything there was to identify with, or a pull secret that cannot be read."""
    NOT_FOUND = "NotFound"
    """No such repository, tag, digest or platform."""
    RATE_LIMIT = "RateLimit"
    """429, or what a registry means by it."""
    UNAVAILABLE = "Unavailable"
    """The registry answered that it cannot answer, or nothing that a registry would say."""
    NETWORK = "Network"
    """No answer: name resolution, connection, TLS, time."""
    CONTENT = "Content"
    """The registry answered, but what it sent is no image that can be read."""


_REASONS = {
    Problem.REFERENCE: "ImageReferenceInvalid",
    Problem.AUTH: "ImagePullAuthFailure",
    Problem.NOT_FOUND: "ImageNotFound",
    Problem.RATE_LIMIT: "ImagePullBackOff",
    Problem.UNAVAILABLE: "ImagePullBackOff",
    Problem.NETWORK: "NetworkError",
    Problem.CONTENT: "MetadataExtractionFailed",
}
_PASSING = frozenset({Problem.RATE_LIMIT, Problem.UNAVAILABLE, Problem.NETWORK})


@dataclass(frozen=True, slots=True)
class RegistryFailure:
    """Why there is no answer: the problem, a stable reason, and a message that says what to change.

    `reason` is that of the problem; a network failure has one of `ConnectionRefused`, `ConnectionReset`, `DNSFailure`,
    `NetworkTimeout`, `NetworkError`. `retry_after` is how many seconds the registry wants to be left alone, None when
    it did not say; the message never contains it, so that it does not change with time.
    """

    problem: Problem
    reason: str
    message: str
    retry_after: float | None = None

    @property
    def passing(self) -> bool:
        """Whether the same question may be answered soon without anybody changing anything."""
        return self.problem in _PASSING

    def after(self, seconds: float) -> "RegistryFailure":
        """The same failure, to be asked about again after so many seconds."""
        return replace(self, retry_after=seconds)


class RegistryError(Exception):
    """Carries a failure up to the public functions of this package, which return it."""

    def __init__(self, failure: RegistryFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure(problem: Problem, message: str, *, reason: str = "", retry_after: float | None = None) -> RegistryFailure:
    """A failure with the reason of its problem."""
    return RegistryFailure(problem, reason or _REASONS[problem], message, retry_after)


def error(problem: Problem, message: str, *, reason: str = "", retry_after: float | None = None) -> RegistryError:
    """A failure on its way up."""
    return RegistryError(failure(problem, message, reason=reason, retry_after=retry_after))


def timed_out(host: str, seconds: float) -> RegistryFailure:
    """The deadline of a question has passed."""
    return failure(
        Problem.NETWORK,
        f"{host} did not answer within {seconds:g} s: check that it can be reached from the operator's pod (network "
        "policies, proxy) and is not overloaded",
        reason="NetworkTimeout",
    )


def quoted(text: str) -> str:
    """Words of a stranger, fit for a message: one line, printable, short."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]} …"
