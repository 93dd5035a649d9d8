"""Settings of a download job: what its environment may say."""

from pathlib import Path

import pytest

from aimd.downloads.failures import DownloadFailure
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
