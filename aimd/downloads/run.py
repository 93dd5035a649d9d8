"""One download job or size check, from its settings to its exit code.

A job makes one attempt for each protocol of the sequence, and ends at once on a failure that no other attempt can
change. The cause is in the termination message as one JSON object, for the controller, and in one line on stderr, for
people.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import structlog

from aimd.api.source_uri import InvalidSourceUri, Scheme, SourceUri
from aimd.downloads import simulation
from aimd.downloads.artifact_status import ArtifactStatus
from aimd.downloads.failures import DownloadFailure, Reason, disk_failure
from aimd.downloads.fetch import SnapshotFetcher
from aimd.downloads.listing import list_source, pinned_snapshot
from aimd.downloads.progress import Progress, describe, report_regularly, watch_for_stall
from aimd.downloads.settings import KNOWN_PROTOCOLS, OBJECT_STORE, TERMINATION_LOG, DownloadSettings
from aimd.downloads.snapshot import Snapshot
from aimd.downloads.tree import Tree

_LONGEST_DETAIL = 1500  # Kubernetes keeps 4096 bytes of a termination message

_log = structlog.get_logger()
Show = Callable[[Progress], None]


@dataclass(slots=True)
class _Job:
    """State of a running job; the source URI is None until it has been parsed."""

    settings: DownloadSettings
    status: ArtifactStatus
    show: Show
    source: SourceUri | None = None
    progress: Progress = field(default_factory=Progress)
    snapshot: Snapshot | None = None
    fetcher: SnapshotFetcher | None = None
    protocol: str = ""
    attempt: int = 0

    @property
    def total(self) -> int:
        return self.progress.total or self.settings.expected_bytes

    @property
    def position(self) -> dict[str, Any]:
        """Progress of the job for the termination message; `sizeBytes` is the size of the snapshot, once known."""
        known = {"sizeBytes": self.snapshot.size} if self.snapshot is not None else {}
        return {"protocol": self.protocol, "attempt": self.attempt, "bytes": self.progress.present, **known}

    async def report_progress(self) -> None:
        self.show(self.progress)
        percentage = self.progress.percentage
        figures = {
            "percentage": percentage,
            "displayPercentage": f"{percentage} %",
            "downloadedBytes": self.progress.shown,
            "totalBytes": self.total,
        }
        message = f"{self.transport}: {describe(self.progress)}" if self.protocol else ""
        await self.status.report(progress=figures, **self._state(message))

    async def report_complete(self) -> None:
        """Report that all bytes are downloaded: 100 percent tells the controller that verification has started."""
        complete = {"percentage": 100, "displayPercentage": "100 %"}
        figures = {**complete, "downloadedBytes": self.total, "totalBytes": self.total}
        await self.status.report(progress=figures, **self._state("Verifying" if self.protocol else ""))

    async def report_attempt(self, message: str) -> None:
        state = self._state(message)
        if state:
            await self.status.report(**state)

    def _state(self, message: str) -> dict[str, dict[str, Any]]:
        """Return `status.download`; empty without a sequence of protocols."""
        if not message or not self.sequence:
            return {}
        return {
            "download": {
                "protocol": self.protocol,
                "attempt": self.attempt,
                "totalAttempts": len(self.sequence),
                "protocolSequence": ",".join(self.sequence) if self.is_bucket else self.settings.sequence,
                "message": message,
            }
        }

    @property
    def transport(self) -> str:
        """Transport in use: not every file is in Xet, and HF_TRANSFER is only a name for HTTP (ART-RUN-1)."""
        over_xet = self.fetcher is not None and self.fetcher.over_xet
        return self.protocol if over_xet or self.protocol in ("HTTP", OBJECT_STORE) else f"{self.protocol} as HTTP"

    @property
    def is_bucket(self) -> bool:
        return self.source is not None and self.source.scheme is Scheme.S3

    @property
    def sequence(self) -> tuple[str, ...]:
        """Protocols to try; an object store has only one."""
        return (OBJECT_STORE,) if self.is_bucket else self.settings.protocols


async def download(settings: DownloadSettings, show: Show = lambda _progress: None) -> int:
    """Download and verify, and return the exit code. Never raises for an expected failure."""
    job = _Job(settings, ArtifactStatus(settings), show)
    try:
        await _download(job)
    except DownloadFailure as failure:
        _log.error("download failed", reason=failure.reason.text, detail=failure.detail)
        write_termination(settings.termination_log, failure, job.position)
        return failure.reason.exit_code
    except Exception as error:
        bug = DownloadFailure(Reason.FAILED, f"{type(error).__name__}: {error}")
        write_termination(settings.termination_log, bug, job.position)
        raise
    snapshot = job.snapshot
    known = {"revision": snapshot.revision, "files": len(snapshot.files)} if snapshot else {}
    write_termination(settings.termination_log, None, {**job.position, **known})
    return 0


async def check_size(settings: DownloadSettings) -> int:
    """Print the size of the weights as the last line of stdout, and return the exit code."""
    try:
        source = _parse(settings.uri)
        snapshot = await list_source(source, settings, Progress(), checksums=False)
        if snapshot.size <= 0:
            raise DownloadFailure(Reason.NOT_FOUND, f"{settings.uri} contains no files")
    except DownloadFailure as failure:
        print(failure.detail, file=sys.stderr)
        write_termination(settings.termination_log, failure)
        return failure.reason.exit_code
    print(json.dumps({"url": settings.uri, "sizeBytes": snapshot.size}), flush=True)
    return 0


def _parse(uri: str) -> SourceUri:
    """Parse the source URI of the job. Raises DownloadFailure."""
    try:
        return SourceUri.parse(uri)
    except InvalidSourceUri as error:
        raise DownloadFailure(Reason.BAD_REQUEST, str(error)) from None


async def _download(job: _Job) -> None:
    switches = job.settings.simulation
    job.progress.total = job.settings.expected_bytes
    # Before the URI is parsed, and in this order: test suites use the switches with any URI (ART-RUN-9).
    if switches.hang:
        await _guarded(job, simulation.hang)
    if switches.fail:
        raise DownloadFailure(Reason.SIMULATED, "AIM_DEBUG_CAUSE_FAILURE is set")
    if switches.download:
        await _guarded(job, lambda: simulation.simulate_download(job.settings, job.progress))
        await job.report_complete()
        await simulation.simulate_verification(job.settings, job.progress)
        return
    job.source = _parse(job.settings.uri)
    await _attempts(job, job.source)
    await job.report_complete()
    if job.snapshot is not None:
        await anyio.to_thread.run_sync(Tree(job.settings.target).verify, job.snapshot.files)


async def _attempts(job: _Job, source: SourceUri) -> None:
    """Try the protocols left to right (ART-RUN-1); without a sequence, make one attempt without a record of it."""
    protocols = job.sequence or ("HTTP",)
    last: DownloadFailure | None = None
    for number, protocol in enumerate(protocols, 1):
        job.protocol, job.attempt = protocol, number
        if protocol not in KNOWN_PROTOCOLS:
            _log.warning("unknown protocol skipped", protocol=protocol, known=sorted(KNOWN_PROTOCOLS))
            continue
        # The first progress report is sent at once and contains the protocol, so that the start needs none of its own.
        try:
            await _guarded(job, lambda protocol=protocol: _attempt(job, source, protocol))  # type: ignore[misc]
        except DownloadFailure as failure:
            last = failure
            await job.report_attempt(f"{protocol} failed: {failure.detail}")
            if not failure.reason.transient:
                raise
            _log.warning("attempt failed", protocol=protocol, reason=failure.reason.text, detail=failure.detail)
        else:
            return
    raise last or DownloadFailure(
        Reason.BAD_REQUEST,
        f"AIM_DOWNLOADER_PROTOCOL={job.settings.sequence!r} contains no known protocol: use XET, HF_TRANSFER or HTTP",
    )


async def _attempt(job: _Job, source: SourceUri, protocol: str) -> None:
    settings = job.settings
    if settings.simulation.protocols:
        await simulation.simulate_attempt(settings, protocol, job.progress)
        return
    tree = Tree(settings.target)
    with tree.locked():
        job.snapshot = await pinned_snapshot(source, settings, tree, job.progress)
        job.progress.total = job.snapshot.size
        _log.info("files listed", source=settings.uri, revision=job.snapshot.revision, bytes=job.snapshot.size)
        job.fetcher = SnapshotFetcher(job.snapshot, settings, job.progress, xet=protocol == "XET")
        await job.fetcher.run()


async def _guarded(job: _Job, work: Callable[[], Any]) -> None:
    """Run an attempt together with its stall watch and its progress reports, and raise the first failure of them."""
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_for_stall, job.progress, job.settings.stall_timeout)
            tasks.start_soon(report_regularly, job.progress, job.settings.progress_interval, job.report_progress)
            await work()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failure = _first_failure(group)
        if isinstance(failure, OSError):
            raise disk_failure(failure, str(job.settings.target)) from failure
        raise failure from None


def _first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one failure of nested task groups, an expected one if there is any."""
    expected, other = group.split(DownloadFailure)
    inner: BaseException = expected or other or group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner


def write_termination(location: Path, failure: DownloadFailure | None, more: Mapping[str, Any] | None = None) -> None:
    """Write the termination message, one JSON object with `reason`, `detail` and `more` (ART-RUN-6).

    Without a failure, the reason is `Completed`. Outside a container nothing is written to the default path.
    """
    message = {
        "reason": failure.reason.text if failure else "Completed",
        "detail": failure.detail[:_LONGEST_DETAIL] if failure else "",
        **(more or {}),
    }
    if location == TERMINATION_LOG and not location.exists():
        return  # not in a container
    with contextlib.suppress(OSError):
        location.write_text(json.dumps(message))
