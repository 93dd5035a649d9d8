"""Progress where no line can be rewritten."""

import pytest

from aimd.cli.progress import progress_line


def test_a_log_has_a_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_line() as show:
        for line in ("Building etcd", "Building etcd: 1 of 9", "Building helm: 1 of 2", "Building helm: 2 of 2"):
            show(line)
    assert capsys.readouterr().err.splitlines() == ["Building etcd", "Building helm: 1 of 2"]


def test_a_long_step_has_a_line_from_time_to_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("aimd.cli.progress.time.monotonic", lambda: now)
    with progress_line() as show:
        for second in range(0, 60, 5):
            now = 100.0 + second
            show(f"Building etcd: {second}")
    assert capsys.readouterr().err.splitlines() == [f"Building etcd: {second}" for second in (0, 25, 50)]
