"""What one decision about an AIMArtifact is based on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aimd.api.artifact import AIMArtifact
from aimd.api.shared import CommonCondition, Status
from aimd.api.source_uri import InvalidSourceUri, SourceUri
from aimd.planning.artifact.download_job import JobContext
from aimd.planning.jobs import JobPhase, job_phase
from aimd.planning.labels import DOWNLOAD_COMPLETE_ANNOTATION, HEADROOM_ANNOTATION
from aimd.planning.pod_failures import DOWNLOADER_EXIT_CODES
from aimd.planning.pods import newest
from aimd.planning.quantities import InvalidQuantity, parse_bytes
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.settings import ControllerSettings
from aimd.planning.time import created_at, parse_timestamp
from aimd.runtime.objects import Manifest, metadata_of

MAXIMUM_BYTES = 2**50


@dataclass(frozen=True, slots=True)
class JobRun:
    """A Job and the pods it made."""

    job: Manifest | None = None
    pods: tuple[Manifest, ...] = ()

    @property
    def phase(self) -> JobPhase:
        return job_phase(self.job)

    @property
    def newest_pod(self) -> Manifest | None:
        return newest(self.pods)


@dataclass(frozen=True, slots=True)
class References:
    """What became of looking references up: which are missing, in words, and a digest of the versions of the rest.

    Both are empty when nothing was looked up; contents are never kept.
    """

    missing: tuple[str, ...] = ()
    versions: str = ""


@dataclass(frozen=True, slots=True)
class ObservedArtifact:
    """An artifact and everything its plan depends on.

    `logs` (by pod name), `events` and `references` are live reads (see `needs`). `storage_class` is the claim's (None:
    unknown), `users` are the InferenceServices that mount the claim.
    """

    artifact: AIMArtifact
    config: ResolvedConfig
    settings: ControllerSettings
    claim: Manifest | None = None
    download: JobRun = field(default_factory=JobRun)
    check_size: JobRun = field(default_factory=JobRun)
    logs: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[Manifest] = ()
    references: References = References()
    storage_class: Manifest | None = None
    users: tuple[str, ...] = ()

    @property
    def source(self) -> SourceUri | InvalidSourceUri:
        """Source URI of the spec, or why it is none."""
        try:
            return SourceUri.parse(self.artifact.spec.source_uri)
        except InvalidSourceUri as error:
            return error

    @property
    def exit_codes(self) -> Mapping[int, str]:
        """What exit codes mean: something only when the image is aimd's."""
        return DOWNLOADER_EXIT_CODES if self.context().is_own_image else {}

    def context(self, size_bytes: int = 0) -> JobContext:
        """What children are rendered from."""
        return JobContext(self.artifact, self.config, self.settings, size_bytes)


def given_size(artifact: AIMArtifact) -> int:
    """Size in bytes that the spec gives; 0 when it gives none."""
    try:
        return max(0, parse_bytes(artifact.spec.size)) if artifact.spec.size else 0
    except (InvalidQuantity, ArithmeticError):
        return 0


def stated_size(artifact: AIMArtifact) -> int:
    """Size in bytes that the spec gives, else the one found before; 0 while unknown (ART-SIZ-1)."""
    return given_size(artifact) or max(0, artifact.status.discovered_size_bytes)


def headroom_percent(observed: ObservedArtifact) -> int:
    """Headroom of the claim: the annotation of whoever made the artifact, else the config's."""
    text = observed.artifact.metadata.annotations.get(HEADROOM_ANNOTATION, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else observed.config.headroom_percent


def completion_record(claim: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the claim says was downloaded completely to it; empty when nothing was (ART-DWN-1)."""
    annotations: Mapping[str, str] = metadata_of(claim or {}).get("annotations") or {}
    try:
        record = json.loads(annotations.get(DOWNLOAD_COMPLETE_ANNOTATION) or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def is_complete(observed: ObservedArtifact) -> bool:
    """Whether the claim holds the whole download: it says so itself, or another operator vouched for it."""
    if observed.claim is None or metadata_of(observed.claim).get("deletionTimestamp"):
        return False
    recorded = completion_record(observed.claim).get("source") == observed.artifact.spec.source_uri
    return recorded or vouched_for(observed)


def vouched_for(observed: ObservedArtifact) -> bool:
    """Whether the artifact became Ready with this very volume before aimd came (ART-DWN-3)."""
    status, claim = observed.artifact.status, observed.claim
    if claim is None or status.status != Status.READY or (claim.get("status") or {}).get("phase") != "Bound":
        return False
    if status.persistent_volume_claim != metadata_of(claim).get("name"):
        return False
    made = created_at(claim)
    became_ready = condition_since(observed.artifact, CommonCondition.READY, "True")
    return made is not None and became_ready is not None and made < became_ready


def condition_since(artifact: AIMArtifact, type_: str, status: str, reason: str = "") -> datetime | None:
    """Since when a stored condition has had a status (and reason), None when it has not."""
    for condition in artifact.status.conditions:
        if condition.type == type_ and condition.status == status and reason in ("", condition.reason):
            return parse_timestamp(condition.last_transition_time)
    return None
