"""Failures of registries: stable reasons, what is retried, text that is safe to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.failures import Problem, failure, quoted, registry_error, timed_out

REASONS = {
    Problem.REFERENCE: ("ImageReferenceInvalid", False),
    Problem.NOT_ALLOWED: ("RegistryNotAllowed", False),
    Problem.AUTH: ("ImagePullAuthFailure", False),
    Problem.NOT_FOUND: ("ImageNotFound", False),
    Problem.RATE_LIMIT: ("ImagePullBackOff", True),
    Problem.UNAVAILABLE: ("ImagePullBackOff", True),
    Problem.NETWORK: ("NetworkError", True),
    Problem.CONTENT: ("MetadataExtractionFailed", False),
}


@pytest.mark.parametrize("problem", Problem)
def test_every_problem_has_its_reason(problem: Problem) -> None:
    """Prove REG-ERR-1."""
    found = failure(problem, "text")
    assert (found.reason, found.transient) == REASONS[problem]


def test_an_error_carries_its_failure() -> None:
    error = registry_error(Problem.NETWORK, "text", reason="DNSFailure", retry_after=3.0)
    assert error.failure == failure(Problem.NETWORK, "text", reason="DNSFailure", retry_after=3.0)
    assert str(error) == "text"
    assert (error.failure.after(5.0).retry_after, error.failure.after(5.0).message) == (5.0, "text")


def test_a_deadline() -> None:
    late = timed_out("r.io", 2.5)
    assert (late.problem, late.reason) == (Problem.NETWORK, "NetworkTimeout")
    assert "r.io did not answer within 2.5 s" in late.message


@given(st.text())
def test_untrusted_text_is_one_short_printable_line(text: str) -> None:
    shown = quoted(text)
    assert shown.isprintable()
    assert len(shown) <= 202
