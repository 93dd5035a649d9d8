"""How hosts may be contacted, judged by their names as written. `addresses` judges what the names resolve to."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from aimd.registry.failures import Problem, quoted, registry_error

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_PRIVATE = tuple(ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_LONGEST_NAME = 253
_HIGHEST_PORT = 65_535


def is_host_name(text: str) -> bool:
    """Return whether the text can be the name of a host."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def allows_plain_http(host: str) -> bool:
    """Return whether plain HTTP is acceptable: on loopback, private addresses and `.local` names (REG-NET-1)."""
    address = _address(host)
    if address is None:
        lowered = host.lower().rstrip(".")
        return lowered == "localhost" or lowered.endswith((".localhost", ".local"))
    return address.is_loopback or any(address in network for network in _PRIVATE)


def is_loopback(host: str) -> bool:
    """Return whether the host is this machine, which no proxy can reach."""
    address = _address(host)
    return address.is_loopback if address is not None else f".{host.lower()}".endswith(".localhost")


def parse_url(text: str, problem: Problem = Problem.REFERENCE) -> httpx.URL:
    """Parse a URL with a host, for HTTP or HTTPS. Raises RegistryError with this problem."""
    try:
        url = httpx.URL(text)
        named = _address(url.host) is not None or is_host_name(url.raw_host.decode("ascii"))
        named = named and (url.port or 0) <= _HIGHEST_PORT
    except (httpx.InvalidURL, ValueError):
        url, named = httpx.URL(), False
    if not named or url.scheme not in ("http", "https"):
        raise registry_error(
            problem, f"{quoted(text)!r} is not the address of an image registry: correct the registry's name"
        )
    return url


def same_origin(url: httpx.URL, other: httpx.URL) -> bool:
    """Return whether scheme, host and port are equal, so that credentials may be sent to both (REG-CRD-3)."""
    return (url.scheme, url.host, url.port) == (other.scheme, other.host, other.port)


def authority(url: httpx.URL) -> str:
    """Return host and port as in the URL, in lower case."""
    return url.netloc.decode("ascii", errors="replace").lower()


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
