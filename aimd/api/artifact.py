"""AIMArtifact: one set of weights on one volume (spec/api.md 3.10)."""

from typing import Annotated, ClassVar

from aimd.api.core import ApiObject, EnvList, LocalObjectReference
from aimd.api.schema import ApiModel, Int32, Int64, PrinterColumn, Quantity, Schema, Timestamp, immutable
from aimd.api.shared import BaseStatus, CacheModeText, ComponentStatusText, Status


class AIMArtifactSpec(ApiModel):
    """What to download, and where to."""

    source_uri: Annotated[
        str,
        Schema(required=True, min_length=1, pattern=r"^(hf|s3)://[^ \t\r\n]+$", rules=(immutable("sourceUri"),)),
    ] = ""
    """What to download: `hf://organisation/repository` or `s3://bucket/prefix`. Cannot be changed."""
    model_id: Annotated[str, Schema(pattern=r"^[a-zA-Z0-9_-]+/[a-zA-Z0-9._-]+$")] = ""
    """Identity of the weights as `organisation/name`, for information. Where they are mounted follows from the template
    cache."""
    size: Quantity = ""
    """Size of the weights, for example `16Gi`. Left out or `0`, a job finds it out first."""
    storage_class_name: str = ""
    """Storage class of the claim; has to offer `ReadWriteMany`. Left out, the runtime config's, finally the cluster's
    default."""
    env: EnvList = ()
    """Environment of the jobs, such as tokens, over the runtime config's, by name."""
    model_download_image: str = ""
    """Image of the jobs. Left out, the operator's own."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets for pulling the image of the jobs."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply; `default` when left out, any other name has to exist."""


class DownloadProgress(ApiModel):
    """How far the download is."""

    percentage: Annotated[Int32 | None, Schema(minimum=0, maximum=100)] = None
    """Share that is there, in percent. Verification follows after 100."""
    downloaded_bytes: Int64 = 0
    """Bytes that are there."""
    total_bytes: Int64 = 0
    """Bytes expected."""
    display_percentage: str = ""
    """The share for people: `42 %`, or `N/A` after a failure."""


class DownloadState(ApiModel):
    """What the download does."""

    protocol: str = ""
    """Protocol in use, for example `XET` or `HTTP`."""
    protocol_sequence: str = ""
    """Protocols to try, in order, separated by commas."""
    attempt: Int32 = 0
    """Number of the attempt that runs, from 1."""
    total_attempts: Int32 = 0
    """How many attempts there will be at most."""
    message: str = ""
    """What it does right now."""


class AIMArtifactStatus(BaseStatus):
    """What became of the download."""

    status: ComponentStatusText = Status.PENDING.value
    """`Pending`: size or volume not settled. `Progressing`: the download runs. `Ready`: the weights are there and
    verified. `Degraded` and `Failed`: see the conditions."""
    mode: CacheModeText = ""
    """`Dedicated` when the artifact belongs to something and goes with it, else `Shared`."""
    progress: DownloadProgress | None = None
    """How far the download is; written by the download job while it runs."""
    download: DownloadState | None = None
    """What the download does; written by the download job while it runs."""
    discovered_size_bytes: Int64 = 0
    """Size that the size job found, in bytes."""
    display_size: str = ""
    """Size for people, for example `1.5 TiB`."""
    allocated_size: Quantity = ""
    """Size of the claim, headroom included."""
    headroom_percent: Int32 | None = None
    """Headroom that the claim was made with, in percent."""
    persistent_volume_claim: str = ""
    """Claim that holds the weights."""
    last_used: Timestamp = ""
    """When a service last started or stopped using the weights."""


class AIMArtifact(ApiObject):
    """One set of weights on one volume: finds out its size if need be, claims the volume, downloads and verifies.
    Usually made for an AIMTemplateCache."""

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
    """What to download, and where to."""
    status: AIMArtifactStatus = AIMArtifactStatus()
    """What became of the download; written by aimd and by the download job."""
