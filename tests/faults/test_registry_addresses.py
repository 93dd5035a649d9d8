"""The operator's place in the network is not for hire: resolved address × redirect × token service × method."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpcore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimd.registry.addresses import AddressPolicy, Endpoints, address_policy
from aimd.registry.client import RegistryClient, connect_registries
from aimd.registry.connections import Connector, Network, SocketOptions
from aimd.registry.credentials import Keyring, keyring_of
from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.images import Inspection
from aimd.registry.options import RegistryOptions
from aimd.registry.reference import ImageReference, parse_reference
from tests.faults.test_registry_faults import CONFIG, Registry

PUBLIC = "140.82.121.34"
ADDRESSES = {
    "here": "127.0.0.1",
    "here6": "::1",
    "any": "0.0.0.0",
    "metadata": "169.254.169.254",
    "metadata6": "fd00:ec2::254",
    "alibaba": "100.100.100.200",
    "mapped": "::ffff:169.254.169.254",
    "nat64": "64:ff9b::a9fe:a9fe",
    "6to4": "2002:a9fe:a9fe::1",
    "service": "10.96.0.1",
    "private": "10.20.30.40",
    "private6": "fd12:3456::1",
}
POLICY = address_policy((), service_networks=["10.96.0.0/12"])
WRITTEN = (
    "2130706433",
    "0x7f000001",
    "127.1",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "127.0.0.1.",
    "LOCALHOST",
    "localhost",
)


@dataclass
class Wires(httpcore.AsyncNetworkBackend):
    """Connects every address to one server, and notes which it was asked for."""

    port: int
    names: Mapping[str, Sequence[str]]
    asked: list[tuple[str, int]] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    refuse: type[Exception] | None = None

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(host)
        return self.names.get(host, ()) or (host,)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.asked.append((host, port))
        if self.refuse is not None:
            raise self.refuse("no")
        if port == 443:
            raise httpcore.ConnectError("no TLS here")
        return await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", self.port, timeout)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


@asynccontextmanager
async def client(wires: Wires, policy: AddressPolicy = POLICY, **options: Any) -> AsyncIterator[RegistryClient]:
    chosen = RegistryOptions(**{"timeout": 5.0, "retry_delays": (), "addresses": policy, **options})
    async with connect_registries(chosen, network=Network(wires.resolve, wires)) as registries:
        yield registries


async def inspect(
    registries: RegistryClient, host: str, keyring: Keyring | None = None
) -> Inspection | RegistryFailure:
    return await registries.inspect(ImageReference(host, "o/x", "1"), keyring or Keyring())


def login(host: str, token: str = "") -> Keyring:
    return keyring_of({host: {"identitytoken": token} if token else {"username": "u", "password": "p"}}, "")


@pytest.mark.parametrize("name", ADDRESSES)
async def test_a_registry_at_an_address_that_is_not_public(bench: Any, name: str) -> None:
    """Prove REG-NET-2."""
    async with bench.serving(Registry(bench)) as server:
        wires = Wires(server.port, {"r.example.com": [ADDRESSES[name]]})
        async with client(wires) as registries:
            answer = await inspect(registries, "r.example.com")
            assert isinstance(answer, RegistryFailure)
            assert (answer.problem, answer.reason) == (Problem.NOT_ALLOWED, "RegistryNotAllowed")
            assert "--registry-allow=r.example.com (chart value registries.allow)" in answer.message
            assert await registries.list_tags("r.example.com", "o/x", Keyring())
        assert (wires.asked, server.asked) == ([], [])


@pytest.mark.parametrize("written", WRITTEN)
async def test_this_machine_in_all_spellings(bench: Any, written: str) -> None:
    """Prove REG-NET-2."""
    async with bench.serving(Registry(bench)) as server:
        async with connect_registries(RegistryOptions(retry_delays=(), timeout=5.0)) as registries:
            answer = await inspect(registries, f"{written}:{server.port}")
            assert isinstance(answer, RegistryFailure)
            # The system's resolver knows no name that ends with a number and a dot.
            assert answer.problem in (Problem.NOT_ALLOWED, Problem.REFERENCE) or answer.reason == "DNSFailure", answer
        assert server.asked == []


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_to_an_address_that_is_not_public(bench: Any, name: str, code: int) -> None:
    """Prove REG-NET-2."""

    target = ""

    def script(asked: Any) -> Any:
        return bench.reply(code, headers={"Location": f"http://{target}/latest/meta-data"})

    async with bench.serving(script) as server:
        address = ADDRESSES[name]
        for host in ("evil.local", f"[{address}]" if ":" in address else address):
            target = f"{host}:8080"
            wires = Wires(server.port, {"evil.local": [address], "r.local": [PUBLIC]})
            async with client(wires) as registries:
                answer = await inspect(registries, "r.local")
                assert isinstance(answer, RegistryFailure)
                # Some of these may not be asked in plain HTTP, either.
                assert answer.problem in (Problem.NOT_ALLOWED, Problem.UNAVAILABLE), answer
            assert {host for host, _ in wires.asked} == {PUBLIC}


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("token", ["", "refresh"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_token_service_at_an_address_that_is_not_public(bench: Any, name: str, token: str, scheme: str) -> None:
    """Prove REG-NET-5: by GET and by POST."""
    challenge = {"WWW-Authenticate": f'Bearer realm="{scheme}://evil.local:8080/api/delete",service="s",scope="x"'}
    async with bench.serving(lambda asked: bench.reply(401, headers=challenge)) as server:
        wires = Wires(server.port, {"evil.local": [ADDRESSES[name]], "r.local": [PUBLIC]})
        async with client(wires) as registries:
            answer = await inspect(registries, "r.local", login("r.local", token))
        assert isinstance(answer, RegistryFailure)
        assert answer.problem is (Problem.UNAVAILABLE if scheme == "http" else Problem.NOT_ALLOWED), answer
        assert {asked.method for asked in server.asked} == {"GET"}
        assert {host for host, _ in wires.asked} == {PUBLIC}


async def test_a_token_service_on_the_own_host_without_tls(bench: Any) -> None:
    """Prove REG-NET-5."""

    def script(asked: Any) -> Any:
        if asked.path == "/token":
            return bench.reply(200, json.dumps({"token": "good"}).encode())
        if asked.headers.get("authorization") == "Bearer good":
            return Registry(bench)(asked)
        realm = f"http://{asked.headers['host']}/token"
        return bench.reply(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})

    async with bench.serving(script) as server, client(Wires(server.port, {"r.local": [PUBLIC]})) as registries:
        assert isinstance(await inspect(registries, "r.local", login("r.local", "refresh")), Inspection)


@pytest.mark.parametrize("target", ["http://r.local:81/x", "https://other.example.com/x", "http://other.local/x"])
@pytest.mark.parametrize("code", [302, 307])
async def test_a_login_is_not_sent_to_another_origin(bench: Any, target: str, code: int) -> None:
    """Prove REG-NET-5: neither the body with the refresh token nor the request."""

    def script(asked: Any) -> Any:
        if asked.path == "/token":
            return bench.reply(code, headers={"Location": target})
        realm = f"http://{asked.headers['host']}/token"
        return bench.reply(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})

    async with bench.serving(script) as server:
        names = {"r.local": [PUBLIC], "other.local": ["8.8.8.8"], "other.example.com": ["8.8.4.4"]}
        wires = Wires(server.port, names)
        async with client(wires) as registries:
            for token in ("refresh", ""):
                answer = await inspect(registries, "r.local", login("r.local", token))
                assert isinstance(answer, RegistryFailure)
                assert "redirects a login" in answer.message
        assert set(wires.asked) == {(PUBLIC, 443), (PUBLIC, 80)}


async def test_the_connection_goes_to_the_address_that_was_checked(bench: Any) -> None:
    """Prove REG-NET-2: a name that changes its address, and one with several."""

    class Changing(Wires):
        async def resolve(self, host: str, port: int) -> Sequence[str]:
            await super().resolve(host, port)
            return (PUBLIC, "169.254.169.254", "10.0.0.1") if len(self.looked_up) == 1 else ("127.0.0.1",)

    async with bench.serving(Registry(bench)) as server:
        wires = Changing(server.port, {})
        async with client(wires, endpoints={}) as registries:
            assert isinstance(await inspect(registries, "r.local"), RegistryFailure | Inspection)
        assert {host for host, _ in wires.asked} == {PUBLIC}


async def test_what_is_listed_is_contacted(bench: Any) -> None:
    async with bench.serving(Registry(bench)) as server:
        wires = Wires(server.port, {"r.local": ["10.20.30.40"], "evil.local": ["169.254.169.254"]})
        for entry in ("r.local", "*.local", "10.0.0.0/8"):
            async with client(wires, address_policy([entry])) as registries:
                assert isinstance(await inspect(registries, "r.local"), Inspection)
                answer = await inspect(registries, "evil.local")
                assert isinstance(answer, RegistryFailure)
                assert answer.problem is Problem.NOT_ALLOWED
        assert {host for host, _ in wires.asked} == {"10.20.30.40"}


async def test_a_mirror_may_be_anywhere_but_opens_no_other_port(bench: Any) -> None:
    async with bench.serving(Registry(bench)) as mirror, bench.serving(Registry(bench)) as other:
        options = RegistryOptions(endpoints={"r.io": f"http://127.0.0.1:{mirror.port}"}, retry_delays=(), timeout=5.0)
        async with connect_registries(options) as registries:
            assert isinstance(await inspect(registries, "r.io"), Inspection)
            answer = await inspect(registries, f"127.0.0.1:{other.port}")
            assert isinstance(answer, RegistryFailure)
            assert answer.problem is Problem.NOT_ALLOWED
        assert other.asked == []


async def test_beside_a_local_control_plane_a_registry_leads_to_no_other_port(bench: Any) -> None:
    """Prove REG-NET-2: by redirect, token service, or another spelling."""
    async with bench.serving(lambda asked: bench.reply(200, CONFIG)) as other:
        target = f"http://127.0.0.1:{other.port}/x"
        challenge = {"WWW-Authenticate": f'Bearer realm="{target}"'}
        options = RegistryOptions(addresses=AddressPolicy(local=True), retry_delays=(), timeout=5.0)
        for reply in (bench.reply(302, headers={"Location": target}), bench.reply(401, headers=challenge)):
            async with (
                bench.serving(lambda asked, reply=reply: reply) as server,
                connect_registries(options) as registries,
            ):
                assert isinstance(await inspect(registries, f"127.0.0.1:{server.port}"), RegistryFailure)
                assert server.asked
                assert isinstance(await inspect(registries, f"127.1:{other.port}"), RegistryFailure)
        assert other.asked == []


async def test_a_private_host_does_not_show_what_its_ports_are(bench: Any) -> None:
    """Prove REG-NET-6."""
    answers = set()
    async with bench.serving(Registry(bench)) as server:
        for fault in (httpcore.ConnectError, httpcore.ConnectTimeout):
            wires = Wires(server.port, {"r.local": ["10.20.30.40"]}, refuse=fault)
            async with client(wires, address_policy(["r.local"])) as registries:
                answers.add(await inspect(registries, "r.local"))
    for reply in (bench.reply(200, then="reset"), bench.reply(200, silence=60.0)):
        async with bench.serving(lambda asked, reply=reply: reply) as server:
            wires = Wires(server.port, {"r.local": ["10.20.30.40"]})
            # By a name that may speak plain HTTP, so that a request arrives.
            async with client(wires, address_policy(["r.local"]), timeout=0.5) as registries:
                answers.add(await inspect(registries, "r.local"))
    assert len(answers) == 1
    assert [answer.reason for answer in answers if isinstance(answer, RegistryFailure)] == ["NetworkError"]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_https_does_not_become_http(bench: Any, scheme: str) -> None:
    """Prove REG-NET-5: where a redirect says HTTPS, a host without TLS is not asked in plain HTTP."""
    location = f"{scheme}://blobs.local/x" if scheme == "https" else "http://blobs.example.com/x"
    async with bench.serving(lambda asked: bench.reply(302, headers={"Location": location})) as server:
        wires = Wires(server.port, {"r.local": [PUBLIC], "blobs.local": ["8.8.8.8"], "blobs.example.com": ["8.8.4.4"]})
        async with client(wires) as registries:
            assert isinstance(await inspect(registries, "r.local"), RegistryFailure)
        assert ("8.8.8.8", 80) not in wires.asked
        assert ("8.8.4.4", 80) not in wires.asked


async def test_a_proxy_is_not_asked_for_what_is_known_to_be_refused(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.serving(Registry(bench)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        wires = Wires(proxy.port, {"evil.local": ["169.254.169.254"]})
        async with client(wires) as registries:
            for host in ("evil.local", "169.254.169.254", "2852039166.local"):
                answer = await inspect(registries, host)
                assert host.startswith("2852") or getattr(answer, "problem", None) is Problem.NOT_ALLOWED, answer
        assert {asked.headers.get("host") for asked in proxy.asked} <= {"2852039166.local", "2852039166.local:443"}


hosts = st.one_of(
    st.from_regex(r"[0-9a-zA-Z.\[\]:%_-]{1,40}", fullmatch=True),
    st.ip_addresses().map(str),
    st.integers(0, 2**33).map(str),
    st.integers(0, 2**33).map(hex),
    st.lists(st.integers(0, 300).map(oct), min_size=1, max_size=5).map(lambda parts: ".".join(parts).replace("o", "")),
    st.text(max_size=20),
    st.integers(60, 70).map(lambda size: "a" * size + ".io"),
)


named = st.tuples(hosts, st.one_of(st.just(""), st.integers(0, 99_999).map(lambda port: f":{port}"))).map("".join)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(names=st.lists(named, min_size=1, max_size=12))
async def test_no_spelling_of_a_host_raises(names: list[str]) -> None:
    """Prove REG-ERR-1: the answer is a value, and no connection is made."""

    async def nowhere(host: str, port: int) -> Sequence[str]:
        return ("10.0.0.1",)

    parsed = [parse_reference(f"{name}/o/x:1") for name in names]
    registries = {*names, *(found.registry for found in parsed if isinstance(found, ImageReference))}
    wires = Wires(1, {})
    async with connect_registries(RegistryOptions(retry_delays=()), network=Network(nowhere, wires)) as asking:
        for registry in registries:
            assert isinstance(await inspect(asking, registry), RegistryFailure)
            assert (await asking.list_tags(registry, "o/x", Keyring())).failures
            assert (await asking.list_images(registry, "o/*", bool, Keyring())).failures
    assert wires.asked == []


async def test_names_that_the_system_resolver_refuses() -> None:
    connector = Connector(AddressPolicy(), Endpoints(), Network())
    for host in ("a" * 64 + ".io", "a..b", "nowhere.invalid"):
        with pytest.raises(httpcore.ConnectError):
            await connector.connect_tcp(host, 443, 5.0)


async def test_an_address_that_swallows_packets_does_not_use_up_the_time(bench: Any) -> None:
    """IPv6 and IPv4 alternate, and each address has its share of the time to connect."""

    class Uneven(Wires):
        async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: Any) -> Any:
            if ":" not in host:
                return await super().connect_tcp(host, port, timeout)
            self.asked.append((host, port))
            await anyio.sleep(timeout or 60.0)
            raise httpcore.ConnectTimeout

    async with bench.serving(Registry(bench)) as server:
        silent = [f"2606:4700::{number}" for number in range(6)]
        wires = Uneven(server.port, {"r.local": [*silent, PUBLIC, "8.8.8.8"]})
        async with client(wires, connect_timeout=2.0) as registries:
            assert isinstance(await inspect(registries, "r.local"), Inspection)
        plain = [host for host, port in wires.asked if port == 80]
        assert plain[:2] == ["2606:4700::", PUBLIC] or plain[:2] == [silent[0], PUBLIC]
