"""One job from its settings to its exit code, as far as no source is asked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.run import check_size, download, write_termination
from aimd.downloads.settings import settings_from

MALFORMED = [
    *("", "plain", "ftp://x", "hf://", "hf://org/name@", "hf://org/na me", "hf://../x", "hf://a/b@../c", "hf://a/b?x"),
    *("hf://acme/tiny/extra", "hf://a/b@rev:1", "s3://", "s3:///x", "s3://bu cket/x", "s3:/bucket"),
]


@pytest.mark.parametrize("uri", MALFORMED)
async def test_a_malformed_source_uri_ends_the_job_at_once(tmp_path: Path, uri: str) -> None:
    settings = replace(settings_from({}, uri, tmp_path / "target"), termination_log=tmp_path / "termination")
    for run in (download, check_size):
        assert await run(settings) == 26
        message = json.loads((tmp_path / "termination").read_text())
        assert message["reason"] == "InvalidSource"
        assert message["detail"].startswith(f"{uri!r} is not a valid source URI: ")
    assert not (tmp_path / "target").exists()


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
