"""Which hosts may be contacted, and how, judged by their names and addresses alone."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from aimd.registry.failures import Problem, quoted, registry_error

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_PRIVATE = tuple(ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


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


def require_public_address(url: httpx.URL) -> None:
    """Check that a registry can be at a URL: not at link-local addresses or other schemes (REG-NET-2).

    Clouds serve the credentials of a machine at link-local addresses. Raises RegistryError.
    """
    address = _address(url.host)
    forbidden = address.is_link_local if address is not None else not _NAME.fullmatch(url.raw_host.decode("ascii"))
    if forbidden or url.scheme not in ("http", "https"):
        shown = quoted(f"{url.scheme}://{url.host}")
        raise registry_error(
            Problem.UNAVAILABLE, f"{shown} is not allowed as the address of an image registry: correct the address"
        )


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
