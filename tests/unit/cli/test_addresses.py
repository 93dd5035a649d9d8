"""Which addresses the operator contacts for registries, as flags and cluster say."""

from ipaddress import ip_address, ip_network
from typing import cast

import pytest

from aimd.cli.addresses import allowed_addresses
from aimd.cli.command_line import parse_flags
from aimd.cli.environment import Environment
from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, Forbidden
from aimd.runtime.objects import Kind, Manifest

INSIDE = Environment(kubernetes_service_host="10.43.0.1")
OUTSIDE = Environment(kubernetes_service_host="")


class Cluster:
    """An API server that states the networks of its Services, or doesn't."""

    def __init__(self, *stated: str, server: str = "https://10.43.0.1", error: ApiError | None = None) -> None:
        self.server = server
        self.stated = stated
        self.error = error

    async def list(self, kind: Kind) -> list[Manifest]:
        if self.error is not None:
            raise self.error
        return [{"spec": {"cidrs": list(self.stated)}}] if self.stated else []


@pytest.mark.parametrize(
    ("cluster", "flags", "environment", "networks"),
    [
        (Cluster("10.96.0.0/12", "fd00:1::/108"), [], INSIDE, ["10.96.0.0/12", "fd00:1::/108"]),
        (Cluster(), [], INSIDE, ["10.43.0.0/16"]),
        (Cluster(error=Forbidden("no", status=403)), [], INSIDE, ["10.43.0.0/16"]),
        (Cluster(), [], OUTSIDE, []),
        (Cluster("10.96.0.0/12"), ["--service-cidrs=10.0.0.0/16,fd00::/108"], INSIDE, ["10.0.0.0/16", "fd00::/108"]),
    ],
)
async def test_where_services_are(
    cluster: Cluster, flags: list[str], environment: Environment, networks: list[str]
) -> None:
    """Prove REG-NET-2."""
    policy = await allowed_addresses(cast(Client, cluster), parse_flags(flags), environment)
    assert list(policy.service_networks) == [ip_network(text) for text in networks]
    assert not policy.local


@pytest.mark.parametrize(
    ("server", "local"),
    [("https://127.0.0.1:6443", True), ("https://localhost:6443", True), ("https://10.0.0.1", False)],
)
async def test_registries_on_this_machine_beside_a_local_control_plane(server: str, local: bool) -> None:
    policy = await allowed_addresses(cast(Client, Cluster(server=server)), parse_flags([]), OUTSIDE)
    assert policy.allows("127.0.0.1", ip_address("127.0.0.1")) is local


async def test_what_flags_list() -> None:
    flags = parse_flags(["--registry-allow=*.corp.example,10.1.0.0/16", "--registry-allow=r.local"])
    policy = await allowed_addresses(cast(Client, Cluster()), flags, INSIDE)
    for host, address in (("a.corp.example", "10.9.9.9"), ("x", "10.1.2.3"), ("r.local", "192.168.0.1")):
        assert policy.allows(host, ip_address(address))


@pytest.mark.parametrize("flag", ["--registry-allow=r.local:5000", "--registry-allow=https://r", "--service-cidrs=x"])
def test_entries_that_are_none(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_flags([flag])
    assert flag.partition("=")[0] in capsys.readouterr().err
