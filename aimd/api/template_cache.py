"""AIMTemplateCache: the weights of a template in a namespace."""

# tests: tests/unit/api/test_models.py, tests/unit/api/test_crd_facts.py

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from aimd.api.core import ApiObject, EnvList, LocalObjectReference
from aimd.api.schema import REQUIRED, ApiModel, PrinterColumn, Schema
from aimd.api.shared import (
    MOST_SOURCES,
    BaseStatus,
    CacheMode,
    CacheModeText,
    ComponentStatusText,
    ModelSource,
    ResolvedReference,
    Scope,
    Status,
)


class TemplateCacheCondition(StrEnum):
    """Condition types of an AIMTemplateCache, beside those of every object."""

    SERVICE_TEMPLATE_READY = "ServiceTemplateReady"
    """The template exists and is ready. Repeats reason and message of the template's `Ready`."""
    ARTIFACTS_READY = "ArtifactsReady"
    """All artifacts are ready. Repeats the reason of the `Ready` of the artifact in the worst state."""


class AIMTemplateCacheSpec(ApiModel):
    """Desired state of the cache: the weights to download, and how."""

    template_name: Annotated[str, Schema(required=True, min_length=1)] = ""
    """Name of the template whose weights to download."""
    template_scope: Annotated[str, Schema(required=True, enum=(Scope.NAMESPACE, Scope.CLUSTER, Scope.UNKNOWN))] = ""
    """Scope of the template: `Namespace` for an AIMServiceTemplate of this namespace, `Cluster` for an
    AIMClusterServiceTemplate, `Unknown` to look in the namespace first, then in the cluster."""
    mode: Annotated[CacheModeText, Schema(defaulted=True)] = CacheMode.SHARED.value
    """Ownership of the artifacts. `Shared`: use or create artifacts that outlive this cache. `Dedicated`: create
    artifacts that are deleted with this cache."""
    model_sources: Annotated[tuple[ModelSource, ...], Schema(max_items=MOST_SOURCES)] = ()
    """Sources of the weights to download. Default to the sources of the template, once they are known."""
    env: EnvList = ()
    """Environment variables of the downloads, such as tokens. Those of a source take precedence, by name."""
    storage_class_name: str = ""
    """Storage class of the volumes. If unset, existing artifacts of any class are used, and new ones use the runtime
    config's class."""
    download_image: str = ""
    """Image of the size-check and download jobs. Defaults to the operator's own image."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets for pulling the image of the jobs."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply. Defaults to `default`, which may be absent; any other name must exist."""


class CachedArtifact(ApiModel):
    """An artifact of the cache."""

    name: Annotated[str, REQUIRED] = ""
    """Name of the artifact."""
    uid: Annotated[str, REQUIRED] = ""
    """UID of the artifact."""
    model: Annotated[str, REQUIRED] = ""
    """Name of the weights that the artifact holds: the `modelId` of their source."""
    status: Annotated[str, REQUIRED] = ""
    """Overall state of the artifact."""
    persistent_volume_claim: str = ""
    """Name of the PersistentVolumeClaim that holds the weights."""
    mount_point: str = ""
    """Path at which services mount the weights: `/workspace/cache/<model>`."""


class AIMTemplateCacheStatus(BaseStatus):
    """Observed state of the cache."""

    status: ComponentStatusText = Status.PENDING.value
    """Overall state. `Ready`: all weights are downloaded. Otherwise the worst state of the artifacts."""
    artifacts: Mapping[str, CachedArtifact] = {}
    """Artifacts of the cache, by name."""
    resolved_runtime_config: ResolvedReference | None = None
    """Runtime config in effect."""
    resolved_template_kind: str = ""
    """Kind of the resolved template: `AIMServiceTemplate` or `AIMClusterServiceTemplate`."""


class AIMTemplateCache(ApiObject):
    """AIMTemplateCache downloads all weights of a template to a namespace, and shows which claims hold them. Usually
    created for a service.
    """

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Template", ".spec.templateName"),
        PrinterColumn("Mode", ".spec.mode"),
        PrinterColumn("Status", ".status.status"),
        PrinterColumn("Kind", ".status.resolvedTemplateKind"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: AIMTemplateCacheSpec = AIMTemplateCacheSpec()
    """Desired state of the cache."""
    status: AIMTemplateCacheStatus = AIMTemplateCacheStatus()
    """Observed state of the cache, set by the controller."""
