"""AIMArtifact: one set of weights on one volume."""

# tests: tests/unit/api/test_models.py, tests/unit/api/test_crd_facts.py

from enum import StrEnum
from typing import Annotated, ClassVar

from aimd.api.core import ApiObject, EnvList, LocalObjectReference
from aimd.api.schema import ApiModel, Int32, Int64, PrinterColumn, Quantity, Schema, Timestamp, immutable
from aimd.api.shared import BaseStatus, CacheModeText, ComponentStatusText, Status
from aimd.api.source_uri import SOURCE_URI_PATTERN


class ArtifactCondition(StrEnum):
    """Condition types of an AIMArtifact, beside those of every object."""

    SOURCE_READY = "SourceReady"
    """The source URI is valid. Present only if it is not."""
    CHECK_SIZE_JOB_READY = "CheckSizeJobReady"
    """The Job that determines the size has finished. Absent if the size is known."""
    CHECK_SIZE_JOB_PODS_READY = "CheckSizeJobPodsReady"
    """The pods of that Job run or have finished."""
    CHECK_SIZE_OUTPUT_READY = "CheckSizeOutputReady"
    """The size that the Job determined can be read. Present only if it cannot."""
    CACHE_PVC_READY = "CachePvcReady"
    """The PersistentVolumeClaim is bound and large enough."""
    DOWNLOAD_JOB_READY = "DownloadJobReady"
    """The Job that downloads the weights has finished."""
    DOWNLOAD_JOB_PODS_READY = "DownloadJobPodsReady"
    """The pods of that Job run or have finished."""
    DOWNLOAD_COMPLETE = "DownloadComplete"
    """All files are downloaded; with reason `Verified`, also verified."""
    IN_USE = "InUse"
    """`True` while an InferenceService mounts the weights. Absent before the first use."""


class AIMArtifactSpec(ApiModel):
    """Desired state of the artifact: what to download, and where to store it."""

    source_uri: Annotated[
        str,
        Schema(required=True, min_length=1, pattern=SOURCE_URI_PATTERN, rules=(immutable("sourceUri"),)),
    ] = ""
    """Source URI of the weights: `hf://organization/repository` or `s3://bucket/prefix`. Immutable."""
    model_id: Annotated[str, Schema(pattern=r"^[a-zA-Z0-9_-]+/[a-zA-Z0-9._-]+$")] = ""
    """Name of the weights as `organization/name`. Informational; the mount path follows from the template cache."""
    size: Quantity = ""
    """Size of the weights, for example `16Gi`. If unset or `0`, a job determines the size before the download."""
    storage_class_name: str = ""
    """Storage class of the PersistentVolumeClaim. Must support `ReadWriteMany`. Defaults to the runtime config's class,
    then to the cluster's default class."""
    env: EnvList = ()
    """Environment variables of the size-check and download jobs, such as tokens. Override those of the runtime config
    by name."""
    model_download_image: str = ""
    """Image of the size-check and download jobs. Defaults to the operator's own image."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets for pulling the image of the jobs."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply. Defaults to `default`, which may be absent; any other name must exist."""


class DownloadProgress(ApiModel):
    """Download progress."""

    percentage: Annotated[Int32 | None, Schema(minimum=0, maximum=100)] = None
    """Share of the bytes downloaded, in percent. Verification follows after 100."""
    downloaded_bytes: Int64 = 0
    """Number of bytes downloaded."""
    total_bytes: Int64 = 0
    """Number of bytes expected."""
    display_percentage: str = ""
    """Human-readable percentage, for example `42 %`; `N/A` after a failure."""


class DownloadState(ApiModel):
    """State of the current download attempt."""

    protocol: str = ""
    """Protocol in use, for example `XET` or `HTTP`."""
    protocol_sequence: str = ""
    """Protocols to try in order, separated by commas."""
    attempt: Int32 = 0
    """Number of the current attempt, starting at 1."""
    total_attempts: Int32 = 0
    """Maximum number of attempts."""
    message: str = ""
    """Human-readable description of the current step."""


class AIMArtifactStatus(BaseStatus):
    """Observed state of the artifact."""

    status: ComponentStatusText = Status.PENDING.value
    """Overall state. `Pending`: the size or the volume is not known yet. `Progressing`: the download is running.
    `Ready`: the weights are downloaded and verified. `Degraded` and `Failed`: see the conditions."""
    mode: CacheModeText = ""
    """`Dedicated` if the artifact has an owner and is deleted with it, otherwise `Shared`."""
    progress: DownloadProgress | None = None
    """Download progress, set by the download job while it runs."""
    download: DownloadState | None = None
    """State of the current download attempt, set by the download job while it runs."""
    discovered_size_bytes: Int64 = 0
    """Size determined by the size-check job, in bytes."""
    display_size: str = ""
    """Human-readable size, for example `1.5 TiB`."""
    allocated_size: Quantity = ""
    """Size of the PersistentVolumeClaim, including headroom."""
    headroom_percent: Int32 | None = None
    """Headroom that the PersistentVolumeClaim was created with, in percent."""
    persistent_volume_claim: str = ""
    """Name of the PersistentVolumeClaim that holds the weights."""
    last_used: Timestamp = ""
    """Time at which a service last started or stopped using the weights."""


class AIMArtifact(ApiObject):
    """AIMArtifact is one set of weights on one volume. aimd determines its size unless it is given, creates the
    PersistentVolumeClaim, downloads the weights and verifies them. Usually created for an AIMTemplateCache.
    """

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Status", ".status.status"),
        PrinterColumn("Mode", ".status.mode"),
        PrinterColumn("Model Size", ".status.displaySize"),
        PrinterColumn("Progress", ".status.progress.displayPercentage"),
        PrinterColumn("Protocol", ".status.download.protocol", priority=1),
        PrinterColumn("Attempt", ".status.download.attempt", priority=1),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: AIMArtifactSpec = AIMArtifactSpec()
    """Desired state of the artifact."""
    status: AIMArtifactStatus = AIMArtifactStatus()
    """Observed state of the artifact, set by the controller and the download job."""
