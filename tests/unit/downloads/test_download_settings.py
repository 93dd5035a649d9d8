"""URI, environment and termination message of a download job."""

import json
from pathlib import Path

import pytest

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.run import write_termination
from aimd.downloads.settings import settings_from


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({}, ""),
        ({"AWS_ENDPOINT_URL": "http://minio:9000/"}, "http://minio:9000"),
        ({"AWS_ENDPOINT_URL": "minio:9000"}, "https://minio:9000"),
        ({"AWS_ENDPOINT_URL": "minio:9000", "S3_NO_SSL": "true"}, "http://minio:9000"),
        ({"AWS_ENDPOINT_URL": "https://minio", "S3_NO_SSL": "true"}, "http://minio"),
        ({"AWS_ENDPOINT_URL": "https://a", "AWS_ENDPOINT_URL_S3": "https://b"}, "https://b"),
    ],
)
def test_endpoints_of_object_stores(environment: dict[str, str], endpoint: str) -> None:
    assert settings_from(environment, "s3://b/x").object_store.endpoint == endpoint


def test_the_store_of_another_scheme_is_a_bad_request() -> None:
    with pytest.raises(DownloadFailure, match="AWS_ENDPOINT_URL"):
        settings_from({"AWS_ENDPOINT_URL": "ftp://x"}, "s3://b/x")


def test_settings_hold_no_keys_of_the_object_store() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIASECRET", "AWS_SECRET_ACCESS_KEY": "verysecret", "AWS_SESSION_TOKEN": "session"}
    shown = repr(settings_from(keys, "s3://b/x"))
    assert not [value for value in keys.values() if value in shown]


def test_environment_of_the_job() -> None:
    environment = {
        "AIM_DOWNLOADER_PROTOCOL": "XET,HF_TRANSFER",
        "HF_TOKEN": "hf_secret\n",
        "HF_ENDPOINT": "http://hub/",
        "MOUNT_PATH": "/cache",
        "TARGET_DIR": "/cache/here",
        "EXPECTED_SIZE_BYTES": "1024",
        "STALL_TIMEOUT": "15",
        "PROGRESS_INTERVAL": "0",
        "KUBERNETES_SERVICE_HOST": "fd00::1",
        "KUBERNETES_SERVICE_PORT": "6443",
    }
    settings = settings_from(environment, "hf://org/name")
    assert (settings.token, settings.endpoint) == ("hf_secret", "http://hub")
    assert settings.target == Path("/cache/here")
    assert settings.protocols == ("XET", "HF_TRANSFER")
    assert (settings.expected_bytes, settings.stall_timeout) == (1024, 15.0)
    assert settings.progress_interval > 0
    assert settings.api_server == "https://[fd00::1]:6443"


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-1"])
def test_a_number_that_is_none_is_a_bad_request(value: str) -> None:
    for name in ("STALL_TIMEOUT", "EXPECTED_SIZE_BYTES"):
        with pytest.raises(DownloadFailure) as raised:
            settings_from({name: value}, "hf://org/name")
        assert raised.value.reason.exit_code == 26


def test_an_endpoint_without_a_scheme_is_a_bad_request() -> None:
    with pytest.raises(DownloadFailure, match="HF_ENDPOINT"):
        settings_from({"HF_ENDPOINT": "hub.example"}, "hf://org/name")


def test_exit_codes_are_contract() -> None:
    """Prove ART-RUN-6."""
    codes = {reason.text: reason.exit_code for reason in Reason}
    assert codes == {
        "AuthError": 20,
        "SourceNotFound": 21,
        "StorageFull": 22,
        "DownloadStalled": 23,
        "VerificationFailed": 24,
        "NetworkError": 25,
        "InvalidSource": 26,
        "DownloadFailed": 1,
        "SimulatedFailure": 1,
    }


def test_termination_message_fits_into_what_kubernetes_keeps(tmp_path: Path) -> None:
    location = tmp_path / "termination"
    write_termination(location, DownloadFailure(Reason.NETWORK, "x" * 9000), {"protocol": "HTTP", "attempt": 1})
    text = location.read_text()
    assert len(text) <= 4096
    assert json.loads(text)["reason"] == "NetworkError"


def test_outside_a_container_nothing_is_left_in_dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tmp_path / "termination-log"
    monkeypatch.setattr("aimd.downloads.run.TERMINATION_LOG", absent)
    write_termination(absent, DownloadFailure(Reason.NETWORK, "x"))
    assert not absent.exists()
