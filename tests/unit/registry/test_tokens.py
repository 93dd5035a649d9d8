"""Login to a registry: the challenges it sends. tests/faults has whole logins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.credentials import Credential
from aimd.registry.tokens import Challenge, basic, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        ("Basic", (Challenge("basic", {}),)),
        ('Basic realm="x"', (Challenge("basic", {"realm": "x"}),)),
        (
            'Bearer realm="https://a.io/token",service="r.io",scope="repository:o/x:pull,push"',
            (
                Challenge(
                    "bearer", {"realm": "https://a.io/token", "service": "r.io", "scope": "repository:o/x:pull,push"}
                ),
            ),
        ),
        (
            'Basic realm="a, b", Bearer realm = "c" , error=invalid_token',
            (Challenge("basic", {"realm": "a, b"}), Challenge("bearer", {"realm": "c", "error": "invalid_token"})),
        ),
        (r'Digest realm="say \"x\""', (Challenge("digest", {"realm": 'say "x"'}),)),
        ("Negotiate, Basic realm=x", (Challenge("negotiate", {}), Challenge("basic", {"realm": "x"}))),
    ],
)
def test_challenges(header: str, expected: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header) == expected


@given(st.text(max_size=200))
def test_no_challenge_raises(header: str) -> None:
    parse_challenges(header)


@pytest.mark.timeout(10)
def test_a_hostile_challenge_takes_no_time() -> None:
    for text in ("a" * 100_000, 'a="' + "\\" * 100_000, "a " * 50_000, "a=" * 50_000):
        parse_challenges(text)


def test_basic_authentication() -> None:
    assert basic(Credential("user", "pass:word")) == "Basic dXNlcjpwYXNzOndvcmQ="
