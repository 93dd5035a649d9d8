"""The small pure parts between a registry's headers and a decision."""

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.failures import Problem, RegistryError, failure
from aimd.registry.gate import FAILURES_BEFORE_REST, REST, Gate
from aimd.registry.hosts import is_loopback, may_be_plain, require_public_address
from aimd.registry.pages import MOST_PAGES, Page, collect, path_below
from aimd.registry.tokens import Challenge, parse_challenges
from aimd.registry.waiting import retry_after


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


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:20:00 GMT"}, 200.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, 999999999.0),
        ({"x-retry-after": "1060"}, 60.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, 30.0),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "1030"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, 1000.0) == seconds


@pytest.mark.parametrize(
    ("host", "plain", "loopback"),
    [
        ("localhost", True, True), ("LOCALHOST", True, True), ("a.localhost", True, True), ("127.0.0.1", True, True),
        ("127.9.9.9", True, True), ("::1", True, True), ("::ffff:127.0.0.1", True, True), ("10.1.2.3", True, False),
        ("172.16.0.1", True, False), ("172.32.0.1", False, False), ("192.168.1.1", True, False),
        ("8.8.8.8", False, False),
        ("registry.local", True, False), ("registry.localx", False, False), ("ghcr.io", False, False),
        ("xlocalhost", False, False), ("fd00::1", False, False),
    ],
)  # fmt: skip
def test_where_plain_http_will_do_and_no_proxy_can_help(host: str, plain: bool, loopback: bool) -> None:
    """Prove REG-NET-1."""
    assert (may_be_plain(host), is_loopback(host)) == (plain, loopback)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "https://[fe80::1]/", "file:///etc/passwd", "https://", "x", "http://["]
)
def test_addresses_that_no_registry_has_are_not_asked(url: str) -> None:
    """Prove REG-NET-2."""
    with pytest.raises(RegistryError):
        require_public_address(httpx.URL(url))


@pytest.mark.parametrize("host", ["ghcr.io", "xn--bcher-kva.example", "a_b.c:5000", "[::1]:5000", "10.0.0.1"])
def test_others_are(host: str) -> None:
    require_public_address(httpx.URL(f"https://{host}/v2/"))


@pytest.mark.parametrize(
    ("base", "url", "path"),
    [
        ("https://r.io", "/v2/_catalog?last=a&n=2", "/v2/_catalog?last=a&n=2"),
        ("https://r.io", "https://evil.io/v2/_catalog?n=2", "/v2/_catalog?n=2"),
        ("https://m.io/proxy", "/proxy/v2/x", "/v2/x"),
    ],
)
def test_the_next_page_is_on_the_same_host(base: str, url: str, path: str) -> None:
    assert path_below(base, url) == path


async def test_pages_end() -> None:
    pages = {"/1": Page(("a", "b"), "/2"), "/2": Page(("b", "c"), "/1")}

    async def circle(path: str) -> Page:
        return pages[path]

    entries = await collect("tags of x", "/1", circle)
    assert entries.names == ("a", "b", "c")
    assert entries.failure is not None
    assert "does not end after 2 pages" in entries.failure.message

    async def endless(path: str) -> Page:
        return Page((path,), f"{path}1")

    entries = await collect("tags of x", "/", endless)
    assert len(entries.names) == MOST_PAGES
    assert entries.failure is not None

    async def broken(path: str) -> Page:
        if path == "/1":
            return Page(("a",), "/2")
        raise RegistryError(failure(Problem.NETWORK, "cut"))

    entries = await collect("tags of x", "/1", broken)
    assert (entries.names, entries.failure) == (("a",), failure(Problem.NETWORK, "cut"))
    with pytest.raises(RegistryError):
        await collect("tags of x", "/3", broken)


async def test_a_host_rests_after_failures_in_a_row_and_only_it() -> None:
    """Prove REG-NET-4."""
    now = 0.0
    gate = Gate(1, lambda: now)
    trouble = failure(Problem.NETWORK, "silent")
    for _ in range(FAILURES_BEFORE_REST - 1):
        gate.unanswered("r.io", trouble)
    gate.answered("r.io")
    for _ in range(FAILURES_BEFORE_REST):
        gate.check("r.io", "")
        gate.unanswered("r.io", trouble)
    now = 10.0
    with pytest.raises(RegistryError) as refused:
        gate.check("r.io", "somebody")
    assert refused.value.failure == trouble.after(REST - 10.0)
    gate.check("other.io", "")
    now = REST
    gate.check("r.io", "")
    gate.unanswered("r.io", trouble)  # still silent: one attempt, then rest again
    with pytest.raises(RegistryError):
        gate.check("r.io", "")


async def test_a_rate_limit_is_for_whoever_used_it_up() -> None:
    """Prove REG-NET-4."""
    now = 0.0
    gate = Gate(1, lambda: now)
    gate.limited("r.io", "", failure(Problem.RATE_LIMIT, "enough", retry_after=60.0))
    with pytest.raises(RegistryError):
        gate.check("r.io", "")
    gate.check("r.io", "somebody")
    now = 60.0
    gate.check("r.io", "")


async def test_no_more_at_once_than_allowed() -> None:
    gate, most, running = Gate(3, lambda: 0.0), 0, 0

    async def work() -> None:
        nonlocal most, running
        async with gate.turn("r.io"):
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(work)
    assert most == 3
