"""How flags read in `aimd run --help`."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.cli.command_line import parse_flags
from aimd.cli.flag_help import GROUPS, default_text, flag, help_text, type_text
from aimd.cli.settings import WITHOUT_EFFECT, Flags
from tests.guides import ADD_A_FLAG

FIELDS = Flags.model_fields


@pytest.mark.parametrize("spelling", ["--help", "-help", "-h"])
def test_help_lists_every_flag(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_flags(["--leader-elect", spelling])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert [name for name in Flags.model_fields if f"--{name.replace('_', '-')}" not in printed] == []


def test_every_flag_with_an_effect_is_in_one_group() -> None:
    grouped = Counter(name for names in GROUPS.values() for name in names)
    assert grouped == Counter(set(FIELDS) - WITHOUT_EFFECT), (
        f"add the flag to a group in aimd/cli/flag_help.py; {ADD_A_FLAG}"
    )


def test_help_shows_no_python() -> None:
    assert re.findall(r"tuple|str\b|\bfloat|\bint\b|None|True|False|Literal", help_text(100)) == []


@given(st.integers(60, 200))
def test_help_fits_the_terminal(width: int) -> None:
    text = help_text(width)
    assert max(len(line) for line in text.splitlines()) <= width
    words = re.sub(r"\s+", " ", text)
    assert [
        name for name, field in FIELDS.items() if name not in WITHOUT_EFFECT and str(field.description) not in words
    ] == []


def test_what_the_value_of_a_flag_looks_like() -> None:
    text = help_text(100)
    for line in (
        "--kubeconfig PATH",
        "--watch-namespaces NAMESPACE",
        "--resync-period DURATION",
        "--zap-encoder json|console",
        "--discovery-slots N",
        "--registry-mirrors REGISTRY=URL",
        "--leader-elect",
    ):
        assert f"\n  {line}\n" in text


@pytest.mark.parametrize(
    ("name", "type_", "default"),
    [
        ("resync_period", "duration", "10h"),
        ("graceful_shutdown_timeout", "duration", "25s"),
        ("kube_api_qps", "number", "50"),
        ("kube_api_burst", "whole number", "100"),
        ("metrics_secure", "switch", "true"),
        ("max_concurrent_reconciles", "list of `[CONTROLLER=]N`", "8"),
        ("zap_encoder", "one of `json`, `console`", ""),
        ("github_api", "`URL`", ""),
        ("webhook_cert_path", "text", ""),
        ("kubeconfig", "path", ""),
    ],
)
def test_types_and_defaults(name: str, type_: str, default: str) -> None:
    assert (type_text(FIELDS[name]), default_text(FIELDS[name])) == (type_, default)


def test_a_default_is_what_one_would_write() -> None:
    for name, field in FIELDS.items():
        default = default_text(field)
        if default:
            assert getattr(parse_flags([f"{flag(name)}={default}"]), name) == field.default
