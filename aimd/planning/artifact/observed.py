"""What one decision about an AIMArtifact is based on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aimd.api.artifact import AIMArtifact
from aimd.api.shared import CommonCondition
from aimd.api.source_uri import InvalidSourceUri, SourceUri
from aimd.planning.artifact.download_job import JobContext
from aimd.planning.component import State
from aimd.planning.jobs import JobPhase, job_phase
from aimd.planning.labels import DOWNLOAD_COMPLETE_ANNOTATION, HEADROOM_ANNOTATION
from aimd.planning.objects import View, annotations_of, is_being_deleted, phase_of, text
from aimd.planning.pods import newest
from aimd.planning.quantities import bytes_or_zero
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.settings import ControllerSettings
from aimd.planning.time import created_at, parse_timestamp
from aimd.runtime.objects import Manifest, key_of

MAXIMUM_BYTES = 2**50


@dataclass(frozen=True, slots=True)
class JobRun:
    """A Job, the pods it created, and what was read about them: ends of logs by pod name, and Events."""

    job: Manifest | None = None
    pods: tuple[Manifest, ...] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[View] = ()

    @property
    def phase(self) -> JobPhase:
        """Phase of the Job."""
        return job_phase(self.job)

    @property
    def newest_pod(self) -> Manifest | None:
        """The youngest pod that is not being deleted."""
        return newest(self.pods)

    @property
    def has_begun(self) -> bool:
        """Whether the Job runs, or remembers a failure."""
        return self.phase in (JobPhase.RUNNING, JobPhase.FAILED)

    def log_of(self, pod: Manifest) -> str:
        """Return the end of a pod's log, empty when it was not read."""
        return self.logs.get(key_of(pod).name, "")


@dataclass(frozen=True, slots=True)
class LiveClaim:
    """The claim of an artifact, the Events about it, and whether its storage class lets it grow."""

    manifest: Manifest
    events: Sequence[View] = ()
    may_grow: bool = False


@dataclass(frozen=True, slots=True)
class References:
    """What looking references up gave: which are missing, in words, and a digest of the versions of the rest.

    Both are empty when nothing was looked up; contents are never kept.
    """

    missing: tuple[str, ...] = ()
    versions: str = ""
    too_many: int = 0
    """Number of objects that the environment refers to, if they are too many to be looked up."""

    @property
    def stop(self) -> bool:
        """Whether no Job may be created."""
        return bool(self.missing or self.too_many)


@dataclass(frozen=True, slots=True)
class ObservedArtifact:
    """An artifact and everything its plan depends on.

    Logs, Events and `references` are live reads (see `needs`). `users` are the InferenceServices that mount the claim.
    """

    artifact: AIMArtifact
    config: ResolvedConfig
    settings: ControllerSettings
    claim: LiveClaim | None = None
    download: JobRun = field(default_factory=JobRun)
    check_size: JobRun = field(default_factory=JobRun)
    references: References = References()
    users: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the claim holds the complete download."""
        return self.claim is not None and is_complete(self.artifact, self.claim.manifest)

    def context(self, size_bytes: int = 0) -> JobContext:
        """Return what children are rendered from."""
        claim = key_of(self.claim.manifest).name if self.claim is not None else ""
        return JobContext(self.artifact, self.config, self.settings, size_bytes, claim)


def source_of(artifact: AIMArtifact) -> SourceUri | InvalidSourceUri:
    """Return the source URI of the spec, or what is wrong with it."""
    try:
        return SourceUri.parse(artifact.spec.source_uri)
    except InvalidSourceUri as error:
        return error


def given_size(artifact: AIMArtifact) -> int:
    """Return the size in bytes that the spec gives, 0 when it gives none (ART-SIZ-1)."""
    return bytes_or_zero(artifact.spec.size)


def stated_size(artifact: AIMArtifact) -> int:
    """Return the size in bytes that the spec gives, else the one found before; 0 while unknown (ART-SIZ-1)."""
    return given_size(artifact) or max(0, artifact.status.discovered_size_bytes)


def headroom_percent(artifact: AIMArtifact, config: ResolvedConfig) -> int:
    """Return the headroom of the claim: that of the artifact's annotation, else the config's."""
    given = artifact.metadata.annotations.get(HEADROOM_ANNOTATION, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 6 else config.headroom_percent


def completed_source(claim: View) -> str | None:
    """Return the source whose complete download the claim records, None without a record (ART-DWN-1)."""
    try:
        record = json.loads(text(annotations_of(claim), DOWNLOAD_COMPLETE_ANNOTATION) or "{}")
    except (ValueError, RecursionError):
        return None
    return text(record, "source") if isinstance(record, dict) and record else None


def is_complete(artifact: AIMArtifact, claim: View) -> bool:
    """Return whether the claim holds the complete download, by its own record or by the artifact's earlier Ready."""
    if is_being_deleted(claim):
        return False
    return completed_source(claim) == artifact.spec.source_uri or was_ready_with(artifact, claim)


def was_ready_with(artifact: AIMArtifact, claim: View) -> bool:
    """Return whether the artifact became Ready with this very volume, as another operator says (ART-DWN-3)."""
    status = artifact.status
    if status.status != State.READY or phase_of(claim) != "Bound":
        return False
    if status.persistent_volume_claim != key_of(claim).name:
        return False
    created = created_at(claim)
    became_ready = condition_since(artifact, CommonCondition.READY, "True")
    return created is not None and became_ready is not None and created < became_ready


def condition_since(artifact: AIMArtifact, type_: str, status: str, reason: str = "") -> datetime | None:
    """Return since when a stored condition has had a status (and reason), None when it has not."""
    for condition in artifact.status.conditions:
        if condition.type == type_ and condition.status == status and reason in ("", condition.reason):
            return parse_timestamp(condition.last_transition_time)
    return None
