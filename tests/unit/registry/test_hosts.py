"""Which hosts are contacted, and how."""

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.failures import Problem, RegistryError
from aimd.registry.hosts import allows_plain_http, authority, is_host_name, is_loopback, parse_url, same_origin


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
    assert (allows_plain_http(host), is_loopback(host)) == (plain, loopback)


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "https://", "x", "", "http://[", "https://0177.0.0.1/v2/", "https://r.io:99999/"),
        *("https://a b/", "https://xn--/", "https://r.io:x/", "https://\x00/", f"https://{'a' * 300}.io/"),
    ],
)
def test_texts_that_are_no_address_of_a_registry(url: str) -> None:
    """Prove REG-NET-2."""
    with pytest.raises(RegistryError) as caught:
        parse_url(url)
    assert caught.value.failure.problem is Problem.REFERENCE


@pytest.mark.parametrize("host", ["ghcr.io", "xn--bcher-kva.example", "a_b.c:5000", "[::1]:5000", "10.0.0.1"])
def test_addresses_of_registries(host: str) -> None:
    assert authority(parse_url(f"https://{host}/v2/")) == host


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_url_raises_anything_else(host: str, path: str) -> None:
    for text in (host, f"https://{host}/{path}", f"{host}://{path}"):
        with suppress(RegistryError):
            parse_url(text)


def test_names_of_hosts() -> None:
    assert [name for name in ("r.io", "r.io.", "a_b", "", "-a", "a b", "*.io", "a" * 254) if is_host_name(name)] == [
        "r.io", "r.io.", "a_b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://r.io/v2/", True),
        ("https://R.io:443/x", True),
        ("http://r.io/v2/", False),
        ("https://r.io:5000/", False),
        ("https://r.io.evil/", False),
    ],
)
def test_credentials_belong_to_one_origin(url: str, same: bool) -> None:
    """Prove REG-CRD-3."""
    assert same_origin(httpx.URL(url), httpx.URL("https://r.io/")) == same


def test_the_authority_of_a_url() -> None:
    assert authority(httpx.URL("https://R.io:5000/v2/")) == "r.io:5000"
    assert authority(httpx.URL("https://r.io/v2/")) == "r.io"
