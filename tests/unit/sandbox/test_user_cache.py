"""The sandbox's folder in the user's cache."""

from pathlib import Path

import pytest

from aimd.sandbox.user_cache import cache_folder, locked, publish


def test_the_folder_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "aimd"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "aimd"


def test_a_published_file_is_complete(tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    unfinished.write_text("content")
    publish(unfinished, tmp_path / "final")
    assert (tmp_path / "final").read_text() == "content"
    assert not unfinished.exists()


def test_a_free_lock_is_not_reported(tmp_path: Path) -> None:
    lines: list[str] = []
    for _ in range(2):
        with locked(tmp_path / "new" / "folder", lines.append):
            assert (tmp_path / "new" / "folder").is_dir()
    assert lines == []
