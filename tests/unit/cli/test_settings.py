"""Flags as existing manifests write them."""

import pytest

from aimd.cli.command_line import parse_flags
from aimd.cli.settings import Flags

REFERENCE_DEFAULTS = {
    "metrics_bind_address": "0",
    "metrics_secure": True,
    "metrics_cert_path": "",
    "metrics_cert_name": "tls.crt",
    "metrics_cert_key": "tls.key",
    "health_probe_bind_address": ":8081",
    "leader_elect": False,
    "enable_http2": False,
    "webhook_cert_path": "",
    "webhook_cert_name": "tls.crt",
    "webhook_cert_key": "tls.key",
    "zap_devel": False,
    "kubeconfig": None,
}
OWN_DEFAULTS = {
    "watch_namespaces": (),
    "registry_timeout": 30.0,
    "registry_concurrency": 8,
    "discovery_slots": 10,
    "object_metrics": True,
    "object_metrics_limit": 5000,
    "resync_period": 36_000.0,
    "kube_api_qps": 50.0,
    "kube_api_burst": 100,
    "leader_elect_lease_duration": 15.0,
    "leader_elect_renew_deadline": 10.0,
    "leader_elect_retry_period": 2.0,
    "graceful_shutdown_timeout": 25.0,
}


@pytest.mark.parametrize(("flag", "value"), [*REFERENCE_DEFAULTS.items(), *OWN_DEFAULTS.items()])
def test_default(flag: str, value: object) -> None:
    assert getattr(parse_flags([]), flag) == value


@pytest.mark.parametrize(
    "arguments",
    [
        ["--health-probe-bind-address=:9000"],
        ["-health-probe-bind-address=:9000"],
        ["--health-probe-bind-address", ":9000"],
        ["-health-probe-bind-address", ":9000"],
        ["--health-probe-bind-address=:1", "--health-probe-bind-address=:9000"],
    ],
)
def test_spellings_of_a_value(arguments: list[str]) -> None:
    assert parse_flags(arguments).health_probe_bind_address == ":9000"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--leader-elect", True),
        ("-leader-elect", True),
        ("--leader-elect=true", True),
        ("--leader-elect=1", True),
        ("--leader-elect=TRUE", True),
        ("-leader-elect=false", False),
        ("--leader-elect=f", False),
    ],
)
def test_spellings_of_a_switch(argument: str, value: bool) -> None:
    assert parse_flags([argument, "--enable-http2"]).leader_elect is value


def test_a_switch_does_not_take_the_next_argument() -> None:
    flags = parse_flags(["--leader-elect", "--metrics-bind-address", ":8443"])
    assert (flags.leader_elect, flags.metrics_bind_address) == (True, ":8443")


def test_every_flag_can_be_emptied_or_set_by_its_own_name() -> None:
    texts = [name for name, field in Flags.model_fields.items() if field.annotation is str]
    flags = parse_flags([f"--{name.replace('_', '-')}=" for name in texts])
    assert {getattr(flags, name) for name in texts} == {""}


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--nope", "--nope"),
        ("--leader", "--leader"),
        ("--leader_elect", "--leader_elect"),
        ("stray", "stray"),
        ("--resync-period", "--resync-period"),
        ("--resync-period=soon", "--resync-period=soon"),
        ("--leader-elect=maybe", "--leader-elect=maybe"),
        ("--discovery-slots=0", "--discovery-slots=0"),
        ("--zap-log-level=loud", "--zap-log-level=loud"),
        ("--zap-encoder=xml", "--zap-encoder=xml"),
        ("--max-concurrent-reconciles=service=0", "--max-concurrent-reconciles"),
        ("--metrics-bind-address=8443", "--metrics-bind-address=8443: "),
        ("--health-probe-bind-address=:99999", "--health-probe-bind-address=:99999: "),
        ("--watch-namespaces=fine,Bad_One", "--watch-namespaces=Bad_One: "),
        ("--resync-period=0", "--resync-period=0"),
        ("--registry-timeout=0", "--registry-timeout=0"),
        ("--artifact-retry-base=10ms", "--artifact-retry-base=0"),
        ("--leader-elect-lease-duration=5s", "--leader-elect-lease-duration must be above"),
        ("--leader-elect-retry-period=10s", "--leader-elect-lease-duration must be above"),
    ],
)
def test_what_is_unknown_or_wrong_ends_with_status_2_and_is_named(
    argument: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_flags([argument])
    assert stopped.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["registry-mirrors=docker.io=", "docker-hub-api=", "github-api="])
def test_urls_with_credentials_are_refused_and_not_repeated(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_flags([f"--{flag}https://me:s3cr3t@mirror.local/hub"])
    told = capsys.readouterr().err
    assert "without credentials" in told
    assert "s3cr3t" not in told


def test_workers() -> None:
    flags = parse_flags(["--max-concurrent-reconciles=4", "--max-concurrent-reconciles=service=16"])
    assert (flags.workers_of("service"), flags.workers_of("artifact")) == (16, 4)
    assert flags.named_controllers == {"service"}
    assert parse_flags(["--max-concurrent-reconciles=service=2"]).workers_of("artifact") == 8


def test_namespaces() -> None:
    assert parse_flags(["--watch-namespaces=a, b,"]).watch_namespaces == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "level", "json"),
    [
        ([], "info", True),
        (["--zap-devel"], "debug", False),
        (["--zap-devel", "--zap-encoder=json", "--zap-log-level=error"], "error", True),
        (["--zap-log-level=3"], "debug", True),
        (["--zap-encoder=console"], "info", False),
    ],
)
def test_log(arguments: list[str], level: str, json: bool) -> None:
    flags = parse_flags(arguments)
    assert (flags.log_level, flags.log_json) == (level, json)


@pytest.mark.parametrize("text", ["1h30m", "+1h30m", "5400s", "90.0m"])
def test_durations_are_gos(text: str) -> None:
    assert parse_flags([f"--resync-period={text}"]).resync_period == 5400


@pytest.mark.parametrize("text", ["", "30", "1h 30m", "-1s", "3000000h"])
def test_a_duration_that_is_wrong_is_named_once_and_says_what_to_write(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_flags([f"--resync-period={text}"])
    told = capsys.readouterr().err
    assert told.startswith(f"aimd run: --resync-period={text}: {text!r} is ")
    assert ": write " in told


def test_flags_come_from_the_command_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSION", "true")
    monkeypatch.setenv("LEADER_ELECT", "true")
    assert parse_flags([]) == Flags()
    assert not parse_flags([]).leader_elect


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--nope=https://me:s3cr3t@x"], "aimd run: unknown flag --nope; see aimd run --help"),
        (["-nope"], "aimd run: unknown flag -nope; see aimd run --help"),
        (["--resync-period"], "aimd run: --resync-period needs a value; see aimd run --help"),
        (["stray"], "aimd run: unexpected argument 'stray': flags start with --; see aimd run --help"),
        (
            ["--zap-log-level=loud"],
            "aimd run: --zap-log-level=loud: write debug, info, error, or a whole number above 0",
        ),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_flags(arguments)
    assert (stopped.value.code, capsys.readouterr().err) == (2, f"{line}\n")


def test_a_flag_may_have_a_value_that_looks_like_a_flag() -> None:
    assert parse_flags(["--docker-hub-api", "https://hub.local", "--zap-log-level", "3"]).zap_log_level == "3"
    assert parse_flags(["--metrics-cert-name", "--help"]).metrics_cert_name == "--help"
