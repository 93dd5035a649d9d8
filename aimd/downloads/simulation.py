"""Simulated downloads: the debug switches that test suites of the API rely on (ART-RUN-9)."""

import os

import anyio

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.progress import Progress
from aimd.downloads.settings import DownloadSettings

_DEFAULT_BYTES = 2**20
_PROTOCOL_BYTES = 102_400


async def simulate_attempt(settings: DownloadSettings, protocol: str, progress: Progress) -> None:
    """Simulate one attempt: wait, then fail if the protocol is listed as failing, else write some bytes."""
    simulation = settings.simulation
    await _busy(simulation.protocol_seconds, progress)
    if protocol in simulation.failing_protocols:
        raise DownloadFailure(Reason.SIMULATED, f"simulated failure of protocol {protocol}")
    _write(settings, _PROTOCOL_BYTES, progress)


async def simulate_download(settings: DownloadSettings, progress: Progress) -> None:
    """Write half the bytes at once and the rest after the simulated time."""
    size = settings.expected_bytes or _DEFAULT_BYTES
    _write(settings, size // 2, progress)
    await _busy(settings.simulation.download_seconds, progress)
    _write(settings, size, progress)


async def simulate_verification(settings: DownloadSettings, progress: Progress) -> None:
    """Wait as long as a verification would, then fail if that is asked for."""
    await _busy(settings.simulation.verify_seconds, progress)
    if settings.simulation.verify_fails:
        raise DownloadFailure(Reason.VERIFICATION, "simulated verification failure")


async def hang() -> None:
    """Do nothing forever; the stall watch ends it."""
    await anyio.sleep_forever()


async def _busy(seconds: float, progress: Progress) -> None:
    with anyio.move_on_after(seconds):
        while True:
            progress.active()
            await anyio.sleep(0.5)


def _write(settings: DownloadSettings, size: int, progress: Progress) -> None:
    settings.target.mkdir(parents=True, exist_ok=True)
    path = settings.target / "simulated_data"
    with path.open("wb") as stream:
        stream.truncate(size)
    os.utime(path)
    progress.present = size
    progress.active()
