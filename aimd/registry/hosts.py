"""Which hosts may be asked, and how: by their names and addresses alone."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from aimd.registry.failures import Problem, error, quoted

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_PRIVATE = tuple(ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def may_be_plain(host: str) -> bool:
    """Whether plain HTTP will do: this machine, names that only the local network knows, private addresses
    (REG-NET-1).
    """
    address = _address(host)
    if address is None:
        lowered = host.lower().rstrip(".")
        return lowered == "localhost" or lowered.endswith((".localhost", ".local"))
    return address.is_loopback or any(address in network for network in _PRIVATE)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, so that no proxy can help."""
    address = _address(host)
    return address.is_loopback if address is not None else f".{host.lower()}".endswith(".localhost")


def require_public_address(url: httpx.URL) -> None:
    """Raises RegistryError for a URL that no registry has: another scheme, or an address such as those where clouds
    keep the machine's credentials (REG-NET-2).
    """
    address = _address(url.host)
    strange = address.is_link_local if address is not None else not _NAME.fullmatch(url.raw_host.decode("ascii"))
    if strange or url.scheme not in ("http", "https"):
        shown = quoted(f"{url.scheme}://{url.host}")
        raise error(Problem.UNAVAILABLE, f"{shown} is not asked, because no registry can be there: correct the address")


def same_place(url: httpx.URL, other: httpx.URL) -> bool:
    """Whether credentials for the one may be shown to the other: same scheme, host and port (REG-CRD-3)."""
    return (url.scheme, url.host, url.port) == (other.scheme, other.host, other.port)


def authority(url: httpx.URL) -> str:
    """Host and port as in the URL."""
    return url.netloc.decode("ascii", errors="replace").lower()


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
