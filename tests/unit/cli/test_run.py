"""What `aimd run` does with its flags, and with signals that change the log level."""

import signal
from collections.abc import Iterator

import pytest

from aimd.cli.command_line import parse_flags
from aimd.cli.environment import Environment
from aimd.cli.run import LEASE, LEVEL_SIGNALS, controller_settings, manager_options, registry_options, run_operator
from aimd.cli.settings import Flags
from aimd.planning.settings import ControllerSettings
from aimd.registry.options import RegistryOptions

HERE = Environment(aim_system_namespace="models", pod_name="manager-0")


@pytest.mark.parametrize(("value", "address"), [(":8443", ":8443"), ("0", ""), ("", "")])
def test_metrics_can_be_switched_off(value: str, address: str) -> None:
    assert manager_options(parse_flags([f"--metrics-bind-address={value}"]), HERE).metrics_address == address


@pytest.mark.parametrize(("value", "address"), [(":8081", ":8081"), ("0", ""), ("", "")])
def test_probes_can_be_switched_off(value: str, address: str) -> None:
    assert manager_options(parse_flags([f"--health-probe-bind-address={value}"]), HERE).health_address == address


def test_leader_election() -> None:
    assert manager_options(parse_flags([]), HERE).leader_election is None
    election = manager_options(parse_flags(["--leader-elect", "--leader-elect-retry-period=3s"]), HERE).leader_election
    assert election is not None
    assert (election.name, election.namespace, election.retry_period) == (LEASE, "models", 3.0)
    assert election.identity.startswith("manager-0_")


def test_times_and_namespaces() -> None:
    flags = parse_flags(["--watch-namespaces=a,b", "--resync-period=1h", "--graceful-shutdown-timeout=5s"])
    options = manager_options(flags, HERE)
    assert (options.namespaces, options.resync_period, options.shutdown_timeout) == (("a", "b"), 3600.0, 5.0)


def test_what_plans_depend_on() -> None:
    assert controller_settings(parse_flags([]), HERE) == ControllerSettings(system_namespace="models")
    assert not controller_settings(parse_flags([]), HERE).allow_debug
    assert controller_settings(parse_flags(["--allow-debug"]), HERE).allow_debug
    assert controller_settings(parse_flags([]), HERE, local=True).allow_debug, "tests simulate downloads"
    assert controller_settings(parse_flags(["--downloader-image=mirror/x:1"]), HERE).downloader_image == "mirror/x:1"


def test_registries() -> None:
    usual = registry_options(parse_flags([]))
    assert (usual.timeout, usual.concurrency, usual.endpoints) == (30.0, 8, {})
    assert (usual.docker_hub_api, usual.github_api) == (RegistryOptions().docker_hub_api, RegistryOptions().github_api)
    flags = [
        "--registry-timeout=5s",
        "--registry-concurrency=2",
        "--registry-mirrors=docker.io=https://mirror.local/hub,ghcr.io=http://mirror.local:5000",
        "--registry-mirrors=quay.io=https://other.local",
        "--docker-hub-api=https://hub.local",
        "--github-api=https://github.local/api",
    ]
    options = registry_options(parse_flags(flags))
    assert (options.timeout, options.concurrency) == (5.0, 2)
    assert options.endpoint("docker.io") == "https://mirror.local/hub"
    assert options.endpoint("ghcr.io") == "http://mirror.local:5000"
    assert options.endpoint("quay.io") == "https://other.local"
    assert options.endpoint("example.com") == "https://example.com"
    assert (options.docker_hub_api, options.github_api) == ("https://hub.local", "https://github.local/api")


@pytest.mark.parametrize(
    "flag",
    ["--registry-mirrors=docker.io", "--registry-mirrors==https://x", "--docker-hub-api=hub", "--github-api=ftp://x"],
)
def test_addresses_of_registries_that_are_none(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_flags([flag])
    assert "https://" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in LEVEL_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_one_that_comes_before_anybody_listens_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: list[object] = []
    monkeypatch.setattr(
        "aimd.cli.run.anyio.run", lambda *_: handlers.extend(signal.getsignal(number) for number in LEVEL_SIGNALS)
    )
    run_operator(Flags())
    assert handlers == [signal.SIG_IGN, signal.SIG_IGN]
