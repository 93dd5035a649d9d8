"""AIMTemplateCache: the weights of a template in a namespace (spec/api.md 3.9)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from aimd.api.core import ApiObject, EnvList, LocalObjectReference
from aimd.api.schema import REQUIRED, ApiModel, PrinterColumn, Schema
from aimd.api.shared import (
    BaseStatus,
    CacheMode,
    CacheModeText,
    ComponentStatusText,
    ModelSource,
    ResolvedReference,
    Scope,
    Status,
)


class AIMTemplateCacheSpec(ApiModel):
    """Which weights to have, and how."""

    template_name: Annotated[str, Schema(required=True, min_length=1)] = ""
    """Template whose weights to download."""
    template_scope: Annotated[str, Schema(required=True, enum=(Scope.NAMESPACE, Scope.CLUSTER, Scope.UNKNOWN))] = ""
    """Where the template is: `Namespace` for an AIMServiceTemplate of this namespace, `Cluster` for an
    AIMClusterServiceTemplate, `Unknown` to look in the namespace first and in the cluster next."""
    mode: Annotated[CacheModeText, Schema(defaulted=True)] = CacheMode.SHARED.value
    """`Shared` uses or makes artifacts that outlive this cache; `Dedicated` makes artifacts that are deleted with
    it."""
    model_sources: tuple[ModelSource, ...] = ()
    """What to download instead of the template's sources. Left out, the template's count, as soon as they are known."""
    env: EnvList = ()
    """Environment of downloads, such as tokens; a source's own environment wins, by name."""
    storage_class_name: str = ""
    """Storage class of the volumes. Left out, artifacts of any class are used, and new ones take the runtime
    config's."""
    download_image: str = ""
    """Image of the download jobs. Left out, the operator's own."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets for pulling the download image."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply; `default` when left out, any other name has to exist."""


class CachedArtifact(ApiModel):
    """An artifact in use."""

    name: Annotated[str, REQUIRED] = ""
    """Name of the artifact."""
    uid: Annotated[str, REQUIRED] = ""
    """UID of the artifact."""
    model: Annotated[str, REQUIRED] = ""
    """Id of the weights that it holds (`modelId` of the source)."""
    status: Annotated[str, REQUIRED] = ""
    """State of the artifact."""
    persistent_volume_claim: str = ""
    """Claim that holds the weights."""
    mount_point: str = ""
    """Where services mount the weights; `/workspace/cache/<model>` when left out."""


class AIMTemplateCacheStatus(BaseStatus):
    """Which weights are there."""

    status: ComponentStatusText = Status.PENDING.value
    """`Ready` when all weights are there; otherwise that of the artifact that is worst off."""
    artifacts: Mapping[str, CachedArtifact] = {}
    """Artifacts in use, by their name."""
    resolved_runtime_config: ResolvedReference | None = None
    """Runtime config in force."""
    resolved_template_kind: str = ""
    """Kind of the template found: `AIMServiceTemplate` or `AIMClusterServiceTemplate`."""


class AIMTemplateCache(ApiObject):
    """Asks for all weights of a template to be present in a namespace, and tells which claims hold them. Usually made
    for a service."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Template", ".spec.templateName"),
        PrinterColumn("Mode", ".spec.mode"),
        PrinterColumn("Status", ".status.status"),
        PrinterColumn("Kind", ".status.resolvedTemplateKind"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: AIMTemplateCacheSpec = AIMTemplateCacheSpec()
    """Which weights to have, and how."""
    status: AIMTemplateCacheStatus = AIMTemplateCacheStatus()
    """Which weights are there; written by aimd."""
