"""The environment that the Deployment sets."""

import pytest

from aimd.cli.environment import Environment, environment_in_effect, read_environment, without_credentials


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIM_SYSTEM_NAMESPACE", "models")
    monkeypatch.setenv("POD_NAME", "manager-0")
    assert (Environment().aim_system_namespace, Environment().pod_name) == ("models", "manager-0")


def test_environment_outside_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIM_SYSTEM_NAMESPACE", "")
    monkeypatch.delenv("POD_NAME", raising=False)
    assert Environment().aim_system_namespace == "aim-system"
    assert Environment().pod_name


def test_a_variable_that_is_wrong_ends_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIM_SYSTEM_NAMESPACE", "Not_One")
    with pytest.raises(SystemExit) as stopped:
        read_environment()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("aimd run: AIM_SYSTEM_NAMESPACE=Not_One: ")


def test_the_environment_in_effect_has_no_credentials() -> None:
    variables = {
        "AIM_SYSTEM_NAMESPACE": "models",
        "POD_NAME": "",
        "HTTPS_PROXY": "http://me:s3cr3t@proxy:3128",
        "https_proxy": "http://proxy:3128",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cr3t",
        "OTEL_TRACES_SAMPLER": "always_off",
        "HF_TOKEN": "s3cr3t",
    }
    assert environment_in_effect(variables) == {
        "AIM_SYSTEM_NAMESPACE": "models",
        "HTTPS_PROXY": "http://…@proxy:3128",
        "https_proxy": "http://proxy:3128",
        "OTEL_EXPORTER_OTLP_HEADERS": "…",
        "OTEL_TRACES_SAMPLER": "always_off",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:s3cr3t@mirror.local/hub", "https://…@mirror.local/hub"),
        ("a=http://x@y b=http://z@w", "a=http://…@y b=http://…@w"),
        ("me@example.com", "me@example.com"),
    ],
)
def test_credentials_in_urls_are_hidden(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
