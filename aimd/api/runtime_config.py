"""AIMRuntimeConfig and AIMClusterRuntimeConfig: defaults of a namespace or of the cluster (spec/api.md 3.5, 3.6)."""

from typing import Annotated

from aimd.api.core import ApiObject, EnvList
from aimd.api.schema import DEFAULTED, ApiModel, Int32
from aimd.api.shared import BaseStatus, Routing, Storage


class LabelPropagation(ApiModel):
    """Copying of labels to the objects made for a parent."""

    enabled: Annotated[bool, DEFAULTED] = False
    """Whether labels are copied. `false` in a namespace does not undo `true` in the cluster's config, because the API
    fills it in and "unset" cannot be told from "off"."""
    match: tuple[str, ...] = ()
    """Keys to copy, as patterns in which `*` and `?` stand for any text within one part of the key, for example
    `team.example.com/*`. An empty list copies nothing. Labels under `aim.eai.amd.com/` are always copied."""


class ModelDefaults(ApiModel):
    """Defaults for models."""

    auto_discovery: bool | None = None
    """Whether models that do not say so themselves (`discovery`) have their image inspected and templates made. On when
    left out."""


class AIMRuntimeConfigSpec(ApiModel):
    """The defaults."""

    storage: Storage | None = None
    """How volumes for weights are claimed."""
    routing: Routing | None = None
    """How services are reached from outside."""
    env: EnvList = ()
    """Environment of inference containers and downloads, under everything that template, model or service say. Merged
    by name; `AIM_ENGINE_ARGS` as a JSON object."""
    label_propagation: LabelPropagation | None = None
    """Which labels of a service, model, template or cache are copied to the objects made for it."""
    model: ModelDefaults | None = None
    """Defaults for models."""
    default_storage_class_name: str = ""
    """Deprecated: use `storage.defaultStorageClassName`, which wins where both are set."""
    pvc_headroom_percent: Int32 | None = None
    """Deprecated: use `storage.pvcHeadroomPercent`, which wins where both are set."""


class AIMRuntimeConfigStatus(BaseStatus):
    """State of the config. Nothing has to happen for a config to take effect, so it usually stays empty."""


class AIMRuntimeConfig(ApiObject):
    """Defaults for the services, models, templates and downloads of a namespace: storage, routing, environment, labels.
    Laid over the AIMClusterRuntimeConfig of the same name, field by field; the one named `default` applies to
    everything that names no other."""

    spec: AIMRuntimeConfigSpec = AIMRuntimeConfigSpec()
    """The defaults."""
    status: AIMRuntimeConfigStatus = AIMRuntimeConfigStatus()
    """State of the config."""


class AIMClusterRuntimeConfig(ApiObject):
    """Defaults for all namespaces: storage, routing, environment, labels. An AIMRuntimeConfig of the same name is laid
    over it in its namespace; the one named `default` applies to everything that names no other."""

    spec: AIMRuntimeConfigSpec = AIMRuntimeConfigSpec()
    """The defaults."""
    status: AIMRuntimeConfigStatus = AIMRuntimeConfigStatus()
    """State of the config."""
