"""Simulated downloads (ART-RUN-9): what they write, and how they fail."""

from pathlib import Path

import pytest

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.progress import Progress
from aimd.downloads.settings import DownloadSettings, Simulation
from aimd.downloads.simulation import simulate_attempt, simulate_download, simulate_verification


def settings(target: Path, **switches: float | bool | frozenset[str]) -> DownloadSettings:
    short = {"download_seconds": 0.0, "verify_seconds": 0.0, "protocol_seconds": 0.0}
    return DownloadSettings("x", target / "target", expected_bytes=1000, simulation=Simulation(**{**short, **switches}))  # type: ignore[arg-type]


async def test_an_attempt_writes_or_fails_as_listed(tmp_path: Path) -> None:
    progress = Progress()
    given = settings(tmp_path, failing_protocols=frozenset({"XET"}))
    with pytest.raises(DownloadFailure, match="XET") as raised:
        await simulate_attempt(given, "XET", progress)
    assert (raised.value.reason, progress.present) == (Reason.SIMULATED, 0)
    await simulate_attempt(given, "HTTP", progress)
    assert progress.present == (tmp_path / "target/simulated_data").stat().st_size == 102_400


async def test_a_download_ends_with_the_expected_size(tmp_path: Path) -> None:
    progress = Progress()
    await simulate_download(settings(tmp_path), progress)
    assert progress.present == (tmp_path / "target/simulated_data").stat().st_size == 1000


async def test_a_verification_fails_only_if_asked_to(tmp_path: Path) -> None:
    await simulate_verification(settings(tmp_path), Progress())
    with pytest.raises(DownloadFailure) as raised:
        await simulate_verification(settings(tmp_path, verify_fails=True), Progress())
    assert raised.value.reason is Reason.VERIFICATION
