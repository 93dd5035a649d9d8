"""Which network addresses may be contacted for image registries (REG-NET-2), judged by the address alone.

Image references come from tenants, so a registry could be any service that the operator can reach. Public addresses are
allowed; others only if an administrator lists them; some never, because only the operator's own position in the network
makes them reachable.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

from aimd.registry.failures import Problem, RegistryError, quoted, registry_error
from aimd.registry.hosts import is_host_name

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""How a registry on this machine is written."""
_WEB_PORTS = (80, 443)


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_THIS_MACHINE = _networks("0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128")
_LINK_LOCAL = _networks("169.254.0.0/16", "fe80::/10")
_MANY_HOSTS = _networks("224.0.0.0/4", "240.0.0.0/4", "ff00::/8")
# Those of AWS, GCP and others that are not link-local: Alibaba Cloud, Azure, Oracle Cloud; AWS and GCP over IPv6.
_METADATA = _networks("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::/32")
_NEVER = (*_THIS_MACHINE, *_LINK_LOCAL, *_MANY_HOSTS, *_METADATA)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_DOCUMENTATION = IPv6Network("3fff::/20")
# The last 32 bits are an IPv4 address: mapped, translated, NAT64 of RFC 6052.
_LAST_BITS = _networks("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_ISATAP = frozenset({0x5EFE, 0x0200_5EFE})


class Standing(IntEnum):
    """Who may have an address contacted; of several, the highest applies."""

    PUBLIC = 0
    """All users."""
    PRIVATE = 1
    """Users of hosts and networks that an administrator lists."""
    NEVER = 2
    """No one, except for an endpoint that an administrator configures."""


def standing(address: Address, service_networks: Iterable[Network] = ()) -> Standing:
    """Return who may have an address contacted; an address within another address counts as well."""
    never = (*_NEVER, *service_networks)
    return max(_standing(form, never) for form in forms(address))


def forms(address: Address) -> tuple[Address, ...]:
    """Return the addresses that an address leads to: itself, or the IPv4 addresses in it."""
    if isinstance(address, IPv4Address):
        return (address,)
    bits = int(address)
    last = IPv4Address(bits & 0xFFFF_FFFF)
    if any(address in network for network in _LAST_BITS):
        return (last,)
    if address in _6TO4:
        return (IPv4Address(bits >> 80 & 0xFFFF_FFFF), *_isatap(bits))
    if address in _LOCAL_NAT64:
        return (address, last, IPv4Address((bits >> 64 & 0xFFFF_0000) | (bits >> 40 & 0xFFFF)))
    if bits >> 32 == 0:
        return (address, last)
    return (address, *(address.teredo or ()), *_isatap(bits))


def _isatap(bits: int) -> tuple[Address, ...]:
    return (IPv4Address(bits & 0xFFFF_FFFF),) if bits >> 32 & 0xFFFF_FFFF in _ISATAP else ()


def _standing(address: Address, never: Iterable[Network]) -> Standing:
    if any(address in network for network in never):
        return Standing.NEVER
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address in _DOCUMENTATION):
        return Standing.PRIVATE
    return Standing.PUBLIC if address.is_global else Standing.PRIVATE


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What an administrator allows besides public addresses.

    `service_networks` are those of the cluster's Services. `local` allows registries on this machine, for an operator
    that runs beside its control plane: as the registry of an image only, spelled as in `LOCAL_HOSTS`.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    service_networks: tuple[Network, ...] = ()
    local: bool = False

    def allows(self, host: str, address: Address) -> bool:
        """Return whether a host may be contacted at an address."""
        match standing(address, self.service_networks):
            case Standing.PUBLIC:
                return True
            case Standing.PRIVATE:
                return self._lists(host) or all(self._contains(form) for form in forms(address))
            case Standing.NEVER:
                return self.local and address.is_loopback and host in LOCAL_HOSTS

    def _lists(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return name in self.hosts or any(f"*{name[at:]}" in self.hosts for at in _dots(name))

    def _contains(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def address_policy(
    allowed: Iterable[str], *, service_networks: Iterable[str] = (), local: bool = False
) -> AddressPolicy:
    """Return the policy that lists hosts (`name`, `*.domain`), addresses and networks. Raises ValueError."""
    hosts, networks = set[str](), list[Network]()
    for entry in allowed:
        network = _network(entry)
        if network is not None:
            networks.append(network)
        elif is_host_name(entry.removeprefix("*.")) and not entry.replace(".", "").isdigit():
            hosts.add(entry.lower().rstrip("."))
        else:
            raise ValueError(f"{quoted(entry)}: write a host name, *.domain, an IP address or a CIDR, without a port")
    return AddressPolicy(frozenset(hosts), tuple(networks), tuple(map(ip_network, service_networks)), local)


def service_network(first: str) -> str:
    """Return the network that Services probably have, from the address of the Service `kubernetes`; else empty.

    That address is the first of the network. Distributions use networks of this size or a larger one.
    """
    try:
        address = ip_address(first)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        return str(ip_network(f"{address}/108", strict=False))
    return str(ip_network(f"{address}/{16 if address.is_private else 20}", strict=False))


def not_allowed(host: str) -> RegistryError:
    """Return the error for an address that may not be contacted: the same, whatever listens there."""
    shown = quoted(host)
    return registry_error(
        Problem.NOT_ALLOWED,
        f"{shown} is not at a public address, so aimd does not contact it: an administrator can allow it with "
        f"--registry-allow={shown} (chart value registries.allow). The operator's own machine, link-local and metadata "
        "addresses and Services of the cluster can only be named as a mirror, with --registry-mirrors",
    )


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Hosts and ports that an administrator configured as base URLs; these may be at any address."""

    known: frozenset[tuple[str, int | None]] = frozenset()

    def contains(self, host: str, port: int) -> bool:
        """Return whether host and port are configured."""
        return (host, port) in self.known or (port in _WEB_PORTS and (host, None) in self.known)


def endpoints_of(urls: Iterable[str]) -> Endpoints:
    """Return the endpoints at base URLs."""
    return Endpoints(frozenset((part.hostname or "", part.port) for part in map(urlsplit, urls)))


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _dots(name: str) -> Iterator[int]:
    return (at for at, character in enumerate(name) if character == ".")
