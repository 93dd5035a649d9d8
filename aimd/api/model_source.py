"""AIMClusterModelSource: imports models from an image registry."""

# tests: tests/unit/api/test_models.py, tests/unit/api/test_crd_facts.py

from enum import StrEnum
from typing import Annotated, ClassVar

from aimd.api.core import ApiObject, LocalObjectReference
from aimd.api.schema import DEFAULTED, ApiModel, PrinterColumn, Schema, Timestamp
from aimd.api.shared import BaseStatus, Status


class ModelSourceCondition(StrEnum):
    """Condition types of an AIMClusterModelSource, beside those of every object."""

    EXISTING_MODELS_READY = "ExistingModelsReady"
    """The models of this source are counted."""
    FILTERS_READY = "FiltersReady"
    """The registry answered for the filters."""
    SYNC_INTERVAL_READY = "SyncIntervalReady"
    """`spec.syncInterval` is a duration. Present only if it is not; the registry is then queried every hour."""
    MAX_MODELS_LIMIT_REACHED = "MaxModelsLimitReached"
    """`True` if images are not imported because of `spec.maxModels`."""


class ModelSourceFilter(ApiModel):
    """A selection of images to import."""

    image: Annotated[str, Schema(required=True, max_length=512)] = ""
    """Repository, for example `amdenterpriseai/aim-*`, where `*` matches any text. A registry may precede it, and a tag
    may follow it; with a tag, only that image is imported, without querying the registry."""
    exclude: tuple[str, ...] = ()
    """Repositories to exclude, by exact name without the registry."""
    versions: tuple[str, ...] = ()
    """Version constraints for the tags of this filter, such as `>=0.8.4` or `~1.2.0`, all of which must be met. Replace
    the source's `versions`."""


class AIMClusterModelSourceSpec(ApiModel):
    """Desired state of the model source: the images to import, and how often to query the registry."""

    filters: Annotated[tuple[ModelSourceFilter, ...], Schema(required=True, min_items=1, max_items=100)] = ()
    """Images to import. An image is imported if it matches any of the filters."""
    registry: Annotated[str, DEFAULTED] = "docker.io"
    """Registry of filters that do not name one."""
    versions: tuple[str, ...] = ()
    """Version constraints, such as `>=0.8.4`, for the tags of filters without their own. All of them must be met. Tags
    that are not semantic versions never meet a constraint."""
    sync_interval: Annotated[str, DEFAULTED] = "1h"
    """Interval between queries of the registry, as a duration such as `30m`."""
    max_models: Annotated[int, Schema(defaulted=True, minimum=1, maximum=10000)] = 100
    """Maximum number of models that this source creates. Existing models are never deleted to meet it."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Pull secrets for the registry, in the operator's namespace. Also passed on to every model that this source
    creates."""


class AIMClusterModelSourceStatus(BaseStatus):
    """Observed state of the model source."""

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
    """Overall state. `Ready`: the registry answered for every filter. `Degraded`: some filters failed. `Failed`: all
    filters failed."""
    available_models: int = 0
    """Number of images that match the filters."""
    discovered_models: int = 0
    """Number of models that exist for this source."""
    models_limit_reached: bool = False
    """Whether images were not imported because of `maxModels`."""
    last_sync_time: Timestamp = ""
    """Time at which the registry was last queried."""


class AIMClusterModelSource(ApiObject):
    """AIMClusterModelSource imports models from an image registry. It creates an AIMClusterModel for every image that
    matches its filters, and never deletes one while the source exists.
    """

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Status", ".status.status"),
        PrinterColumn("Models", ".status.discoveredModels", "integer"),
        PrinterColumn("LastSync", ".status.lastSyncTime", "date"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: AIMClusterModelSourceSpec = AIMClusterModelSourceSpec()
    """Desired state of the model source."""
    status: AIMClusterModelSourceStatus = AIMClusterModelSourceStatus()
    """Observed state of the model source, set by the controller."""
