"""AIMClusterModelSource: imports models from an image registry (spec/api.md 3.4)."""

from typing import Annotated, ClassVar

from aimd.api.core import ApiObject, LocalObjectReference
from aimd.api.schema import DEFAULTED, ApiModel, PrinterColumn, Schema, Timestamp
from aimd.api.shared import BaseStatus, Status


class ModelSourceFilter(ApiModel):
    """Which images to import."""

    image: Annotated[str, Schema(required=True, max_length=512)] = ""
    """Repository, for example `amdenterpriseai/aim-*`, in which `*` stands for any text. A registry may stand in front
    and a tag behind; with a tag, just that image is imported without asking the registry."""
    exclude: tuple[str, ...] = ()
    """Repositories to leave out, written exactly and without the registry."""
    versions: tuple[str, ...] = ()
    """Version constraints for the tags of this filter, such as `>=0.8.4` or `~1.2.0`, instead of the source's; all have
    to hold."""


class AIMClusterModelSourceSpec(ApiModel):
    """Which images to import, and how often to look."""

    filters: Annotated[tuple[ModelSourceFilter, ...], Schema(required=True, min_items=1, max_items=100)] = ()
    """What to import; an image that matches any of the filters is taken."""
    registry: Annotated[str, DEFAULTED] = "docker.io"
    """Registry for filters that do not name one."""
    versions: tuple[str, ...] = ()
    """Version constraints for the tags of all filters without their own, such as `>=0.8.4`; all have to hold. Tags that
    are no semantic versions never match a constraint."""
    sync_interval: Annotated[str, DEFAULTED] = "1h"
    """Pause between two looks at the registry, as a duration such as `30m`."""
    max_models: Annotated[int, Schema(defaulted=True, minimum=1, maximum=10000)] = 100
    """Most models this source creates. Existing ones are never removed to get below it."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Credentials for the registry: Secrets in the operator's namespace. Also handed to every model created."""


class AIMClusterModelSourceStatus(BaseStatus):
    """What was found in the registry."""

    status: Annotated[
        str,
        Schema(
            enum=(
                Status.PENDING,
                Status.STARTING,
                Status.PROGRESSING,
                Status.READY,
                Status.RUNNING,
                Status.DEGRADED,
                Status.NOT_AVAILABLE,
                Status.FAILED,
            )
        ),
    ] = ""
    """`Ready` when every filter was answered, `Degraded` when some were not, `Failed` when none was."""
    available_models: int = 0
    """Images that passed the filters."""
    discovered_models: int = 0
    """Models of this source that exist."""
    models_limit_reached: bool = False
    """Whether `maxModels` kept images from being imported."""
    last_sync_time: Timestamp = ""
    """When the registry was last looked at."""


class AIMClusterModelSource(ApiObject):
    """Watches an image registry and creates an AIMClusterModel for every image that passes its filters. Never deletes a
    model while it exists."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Status", ".status.status"),
        PrinterColumn("Models", ".status.discoveredModels", "integer"),
        PrinterColumn("LastSync", ".status.lastSyncTime", "date"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: AIMClusterModelSourceSpec = AIMClusterModelSourceSpec()
    """Which images to import, and how often to look."""
    status: AIMClusterModelSourceStatus = AIMClusterModelSourceStatus()
    """What was found in the registry; written by aimd."""
