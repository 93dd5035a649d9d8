"""The version of the running aimd."""

import platform

import pytest

from aimd import __version__
from aimd.cli.version import commit, version_text


@pytest.mark.parametrize(("variable", "expected"), [("abc123", "abc123"), ("", "unknown")])
def test_the_commit_is_that_of_the_image(variable: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMD_COMMIT", variable)
    assert commit() == expected
    assert version_text() == f"aimd {__version__} (commit {expected}, Python {platform.python_version()})"
