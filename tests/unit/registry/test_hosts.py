"""Which hosts are contacted, and how."""

import httpx
import pytest

from aimd.registry.failures import RegistryError
from aimd.registry.hosts import allows_plain_http, authority, is_loopback, require_public_address, same_origin


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
