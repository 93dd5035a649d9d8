"""AIMRuntimeConfig and AIMClusterRuntimeConfig: defaults of a namespace or of the cluster."""

# tests: tests/unit/api/test_models.py, tests/unit/api/test_crd_facts.py

from enum import StrEnum
from typing import Annotated, TypeAlias

from aimd.api.core import ApiObject, EnvList
from aimd.api.schema import DEFAULTED, ApiModel, Int32
from aimd.api.shared import BaseStatus, ClusterRouting, Routing, Storage


class RuntimeConfigCondition(StrEnum):
    """Condition types of an AIMRuntimeConfig and an AIMClusterRuntimeConfig, beside those of every object.

    Both are present only while there is a problem.
    """

    LABEL_PROPAGATION_READY = "LabelPropagationReady"
    """The patterns of `labelPropagation.match` are valid."""
    ROUTING_READY = "RoutingReady"
    """`routing.pathTemplate`, `routing.requiredPathPrefix` and `routing.requestTimeout` are valid."""


class LabelPropagation(ApiModel):
    """Propagation of labels to the objects created for a parent."""

    enabled: Annotated[bool, DEFAULTED] = False
    """Whether labels are copied. `false` in an AIMRuntimeConfig does not override `true` in the
    AIMClusterRuntimeConfig, because the API server fills in the default and `false` cannot be distinguished from
    unset."""
    match: tuple[str, ...] = ()
    """Keys of the labels to copy, as patterns where `*` matches any text and `?` one character within one part of the
    key, for example `team.example.com/*`. An empty list copies nothing. Labels under `aim.eai.amd.com/` are always
    copied."""


class ModelDefaults(ApiModel):
    """Defaults for models."""

    auto_discovery: bool | None = None
    """Whether to inspect the image and create templates for models that do not set `discovery`. Defaults to true."""


class AIMRuntimeConfigSpec(ApiModel):
    """Defaults that the config provides."""

    storage: Storage | None = None
    """Storage of weights."""
    routing: Routing | None = None
    """HTTP routes of services."""
    env: EnvList = ()
    """Environment variables of inference containers and downloads. Those of the template, the model and the service
    take precedence, by name; the values of `AIM_ENGINE_ARGS` are merged as JSON objects."""
    label_propagation: LabelPropagation | None = None
    """Labels to copy from a service, model, template or cache to the objects created for it."""
    model: ModelDefaults | None = None
    """Defaults for models."""
    default_storage_class_name: str = ""
    """Deprecated: use `storage.defaultStorageClassName`, which takes precedence."""
    pvc_headroom_percent: Int32 | None = None
    """Deprecated: use `storage.pvcHeadroomPercent`, which takes precedence."""


class AIMClusterRuntimeConfigSpec(AIMRuntimeConfigSpec):
    """Defaults that the config provides."""

    routing: ClusterRouting | None = None
    """HTTP routes of services."""


class AIMRuntimeConfigStatus(BaseStatus):
    """Observed state of the config. Usually empty, because a config takes effect without being reconciled."""


class AIMRuntimeConfig(ApiObject):
    """AIMRuntimeConfig provides defaults for the services, models, templates and downloads of a namespace: storage,
    routing, environment variables, labels. It overrides the AIMClusterRuntimeConfig of the same name, field by field.
    The config named `default` applies to every object that does not name another.
    """

    spec: AIMRuntimeConfigSpec = AIMRuntimeConfigSpec()
    """Defaults that the config provides."""
    status: AIMRuntimeConfigStatus = AIMRuntimeConfigStatus()
    """Observed state of the config."""


class AIMClusterRuntimeConfig(ApiObject):
    """AIMClusterRuntimeConfig provides defaults for all namespaces: storage, routing, environment variables, labels. An
    AIMRuntimeConfig of the same name overrides it in that namespace. The config named `default` applies to every object
    that does not name another.
    """

    spec: AIMClusterRuntimeConfigSpec = AIMClusterRuntimeConfigSpec()
    """Defaults that the config provides."""
    status: AIMRuntimeConfigStatus = AIMRuntimeConfigStatus()
    """Observed state of the config."""


AnyRuntimeConfig: TypeAlias = AIMRuntimeConfig | AIMClusterRuntimeConfig
"""A runtime config of either scope."""
