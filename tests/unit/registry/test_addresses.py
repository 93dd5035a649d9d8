"""Which addresses are contacted for registries, whatever they are written as."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.addresses import (
    AddressPolicy,
    Endpoints,
    Standing,
    address_policy,
    endpoints_of,
    forms,
    not_allowed,
    service_network,
    standing,
)
from aimd.registry.failures import Problem

PUBLIC = ("8.8.8.8", "140.82.121.34", "2606:4700::6810:84e5", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1")
PRIVATE = (
    *("10.0.0.1", "172.16.5.5", "192.168.1.1", "100.64.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.9", "fd12::1"),
    *("2001:db8::1", "64:ff9b::a00:1", "::ffff:10.0.0.1", "2002:a00:1::1", "fec0::1", "3fff::1", "4000::1", "100::1"),
    *("2001:0:808:808::f7f7:f7f7", "2606:4700::5efe:a00:1", "::ffff:0:10.0.0.1"),
)
NEVER = (
    *(
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "169.254.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ),
    *("240.0.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "::", "::1", "fe80::1", "ff02::1"),
    *("fd00:ec2::254", "fd20:ce::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::7f00:1"),
    *("2002:a9fe:a9fe::1", "2002:7f00:1::", "::ffff:0:169.254.169.254", "2606:4700::200:5efe:a9fe:a9fe"),
    *("64:ff9b:1::808:808", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "2001:0:a9fe:a9fe::1", "fe80::1%eth0"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, Standing.PUBLIC) for text in PUBLIC),
        *((text, Standing.PRIVATE) for text in PRIVATE),
        *((text, Standing.NEVER) for text in NEVER),
    ],
)
def test_standing(text: str, expected: Standing) -> None:
    """Prove REG-NET-2."""
    assert standing(ip_address(text)) is expected


def test_services_of_the_cluster_are_never_registries() -> None:
    policy = address_policy(["10.0.0.0/8", "34.118.0.0/16"], service_networks=["10.96.0.0/12", "34.118.224.0/20"])
    assert policy.allows("r", ip_address("10.1.0.1"))
    assert policy.allows("r", ip_address("34.118.0.1"))
    for text in ("10.96.0.1", "10.111.255.255", "::ffff:10.96.0.1", "64:ff9b::a60:1", "34.118.224.1"):
        assert not policy.allows("r", ip_address(text)), text


@pytest.mark.parametrize(
    ("entries", "host", "address", "allowed"),
    [
        ([], "r.io", "8.8.8.8", True),
        ([], "r.io", "10.0.0.1", False),
        (["10.0.0.0/8"], "r.io", "10.0.0.1", True),
        (["10.0.0.0/8"], "r.io", "::ffff:10.0.0.1", True),
        (["10.0.0.0/8"], "r.io", "192.168.0.1", False),
        (["10.0.0.1"], "10.0.0.1", "10.0.0.1", True),
        (["R.corp."], "r.CORP", "10.0.0.1", True),
        (["r.corp"], "r.corp.", "10.0.0.1", True),
        (["r.corp"], "x.r.corp", "10.0.0.1", False),
        (["*.corp"], "x.r.corp", "fd12::1", True),
        (["*.corp"], "corp", "10.0.0.1", False),
        (["*.corp"], "evilcorp", "10.0.0.1", False),
        (["r.corp", "0.0.0.0/0", "::/0"], "r.corp", "169.254.169.254", False),
        (["r.corp", "0.0.0.0/0", "::/0"], "r.corp", "::1", False),
        (["localhost", "127.0.0.0/8"], "localhost", "127.0.0.1", False),
        (["metadata.corp"], "metadata.corp", "fd00:ec2::254", False),
    ],
)
def test_what_an_administrator_lists(entries: list[str], host: str, address: str, allowed: bool) -> None:
    """Prove REG-NET-2."""
    assert address_policy(entries).allows(host, ip_address(address)) is allowed


@pytest.mark.parametrize("entry", ["", "r.io:5000", "https://r.io", "10.0.0.1/8", "10.0.0.0/33", "*", "a*.io", "1.2.3"])
def test_entries_that_are_neither_host_nor_network(entry: str) -> None:
    with pytest.raises(ValueError, match="without a port"):
        address_policy([entry])


def test_this_machine_beside_a_local_control_plane() -> None:
    policy = AddressPolicy(local=True)
    allowed = [
        host
        for host in ("localhost", "127.0.0.1", "127.1", "r.io", "0")
        if policy.allows(host, ip_address("127.0.0.1"))
    ]
    assert allowed == ["localhost", "127.0.0.1"]
    assert not policy.allows("localhost", ip_address("169.254.169.254"))
    assert not policy.allows("localhost", ip_address("10.0.0.1"))


@given(st.integers(0, 2**32 - 1))
def test_an_address_in_another_one_counts(bits: int) -> None:
    address = IPv4Address(bits)
    wrapped = (
        *(IPv6Address(prefix << 32 | bits) for prefix in (0xFFFF, 0xFFFF_0000, 0x64_FF9B << 64)),
        IPv6Address(0x2002 << 112 | bits << 80),
    )
    for form in wrapped:
        assert forms(form)[0] == address
        assert standing(form) is standing(address)


@given(
    st.ip_addresses(), st.lists(st.ip_addresses(v=4).map(lambda first: str(IPv4Network(f"{first}/8", strict=False))))
)
def test_nothing_listed_opens_what_is_never_allowed(address: IPv4Address | IPv6Address, listed: list[str]) -> None:
    policy = address_policy([*listed, "r.corp"])
    known = standing(address)
    assert policy.allows("r.corp", address) is (known is not Standing.NEVER)
    if known is Standing.PUBLIC:
        assert AddressPolicy().allows("x", address)


@pytest.mark.parametrize(
    ("first", "network"),
    [
        ("10.96.0.1", "10.96.0.0/16"),
        ("34.118.224.1", "34.118.224.0/20"),
        ("fd00::1", "fd00::/108"),
        ("", ""),
        ("x", ""),
    ],
)
def test_where_services_are(first: str, network: str) -> None:
    assert service_network(first) == network
    assert not network or ip_address(first) in ip_network(network)


def test_endpoints_are_hosts_with_ports() -> None:
    endpoints = endpoints_of(["http://127.0.0.1:5000/x", "https://hub.local/api"])
    assert endpoints == Endpoints(frozenset({("127.0.0.1", 5000), ("hub.local", None)}))
    assert endpoints.contains("127.0.0.1", 5000)
    assert not endpoints.contains("127.0.0.1", 5001)
    assert endpoints.contains("hub.local", 443)
    assert not endpoints.contains("hub.local", 8443)


def test_the_refusal_says_which_flag_and_value() -> None:
    failure = not_allowed("r.corp").failure
    assert (failure.problem, failure.reason, failure.transient) == (Problem.NOT_ALLOWED, "RegistryNotAllowed", False)
    assert "--registry-allow=r.corp" in failure.message
    assert "registries.allow" in failure.message
