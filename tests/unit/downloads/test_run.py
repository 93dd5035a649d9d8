"""One job from its settings to its exit code, as far as no source is asked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aimd.downloads.run import check_size, download
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
