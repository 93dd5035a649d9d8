"""Kubernetes types that aimd's kinds contain: metadata, environment, resources, affinity, conditions.

`EnvVar.value_from` and node affinities are passed through unread, so they are kept as raw JSON. The classes of their
structure exist only for the schema in the CRD.
"""

# tests: tests/unit/api/test_models.py

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self, TypeAlias

from pydantic import ModelWrapValidatorHandler, PrivateAttr, model_validator

from aimd.api.bounds import excess_of
from aimd.api.schema import (
    DEFAULTED,
    LONG,
    REQUIRED,
    ApiModel,
    Int32,
    Int64,
    PrinterColumn,
    Quantity,
    Schema,
    Timestamp,
)

ATOMIC_MAP = Schema(map_type="atomic")
ATOMIC_LIST = Schema(list_type="atomic")

RawJson: TypeAlias = Mapping[str, Any]
"""A JSON object that is passed through unread."""


class OwnerReference(ApiModel):
    """An owner of an object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(ApiModel):
    """The metadata fields that controllers read; the others are ignored."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Timestamp = ""
    deletion_timestamp: Timestamp = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class ApiObject(ApiModel):
    """A root object. Subclasses add `spec` and `status`, either of which may be absent."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = ()

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    _excess: str = PrivateAttr("")

    @property
    def excess(self) -> str:
        """What the spec has too much of, if it was stored before its bounds existed; empty if nothing (OBJ-BND-2)."""
        return self._excess

    @model_validator(mode="wrap")
    @classmethod
    def _measured(cls, data: Any, parse: ModelWrapValidatorHandler[Self]) -> Self:
        parsed = parse(data)
        if isinstance(data, Mapping) and data.get("spec"):
            parsed._excess = excess_of(cls.model_fields["spec"], data["spec"])  # noqa: SLF001 - of this class
        return parsed


class ConfigMapKeySelector(ApiModel):
    """A key of a ConfigMap."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    key: Annotated[str, REQUIRED] = ""
    """Key to select."""
    name: Annotated[str, DEFAULTED] = ""
    """Name of the ConfigMap in the pod's namespace."""
    optional: bool | None = None
    """Whether the container may start without the ConfigMap or the key. Defaults to false."""


class SecretKeySelector(ApiModel):
    """A key of a Secret."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    key: Annotated[str, REQUIRED] = ""
    """Key to select."""
    name: Annotated[str, DEFAULTED] = ""
    """Name of the Secret in the pod's namespace."""
    optional: bool | None = None
    """Whether the container may start without the Secret or the key. Defaults to false."""


class ObjectFieldSelector(ApiModel):
    """A field of the pod."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    api_version: str = ""
    """API version that `fieldPath` refers to. Defaults to `v1`."""
    field_path: Annotated[str, REQUIRED] = ""
    """Path of the field, for example `metadata.name` or `status.podIP`."""


class FileKeySelector(ApiModel):
    """A key of an env file in a volume."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    key: Annotated[str, REQUIRED] = ""
    """Key to select from the file."""
    optional: Annotated[bool, DEFAULTED] = False
    """Whether the container may start without the file or the key; the variable is then not set."""
    path: Annotated[str, REQUIRED] = ""
    """Path of the file, relative to the root of the volume. Must not contain `..`."""
    volume_name: Annotated[str, REQUIRED] = ""
    """Name of the volume that contains the file."""


class ResourceFieldSelector(ApiModel):
    """A resource request or limit of a container."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    container_name: str = ""
    """Name of the container. Required in volumes, optional in environment variables."""
    divisor: Quantity = ""
    """Unit of the resulting value, for example `1Mi`. Defaults to `1`."""
    resource: Annotated[str, REQUIRED] = ""
    """Resource to select, for example `limits.memory`."""


class EnvVarSource(ApiModel):
    """Source of the value of an environment variable. Exactly one field must be set."""

    config_map_key_ref: ConfigMapKeySelector | None = None
    """Selects a key of a ConfigMap."""
    field_ref: ObjectFieldSelector | None = None
    """Selects a field of the pod, such as its name or IP address."""
    file_key_ref: FileKeySelector | None = None
    """Selects a key of an env file in a volume of the pod."""
    resource_field_ref: ResourceFieldSelector | None = None
    """Selects a resource request or limit of a container."""
    secret_key_ref: SecretKeySelector | None = None
    """Selects a key of a Secret; the usual way to provide a token."""


class EnvVar(ApiModel):
    """An environment variable of a container."""

    name: Annotated[str, REQUIRED] = ""
    """Name of the variable, unique within the list."""
    value: Annotated[str | None, LONG] = None
    """Literal value. `$(NAME)` expands to the value of a variable defined earlier; `$$(NAME)` yields a literal
    `$(NAME)`. Mutually exclusive with `valueFrom`."""
    value_from: Annotated[dict[str, Any] | None, Schema(shape=EnvVarSource)] = None
    """Source of the value, resolved when the container starts, for example a key of a Secret. Mutually exclusive with
    `value`."""


EnvList: TypeAlias = Annotated[tuple[EnvVar, ...], Schema(list_type="map", list_keys=("name",))]


class LocalObjectReference(ApiModel):
    """A reference to an object in the same namespace."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    name: Annotated[str, DEFAULTED] = ""
    """Name of the object."""


class ResourceClaim(ApiModel):
    """A resource claim of the pod that a container uses."""

    name: Annotated[str, REQUIRED] = ""
    """Name of an entry in the pod's resource claims."""
    request: str = ""
    """Request of the claim to make available. Defaults to all requests."""


class ResourceRequirements(ApiModel):
    """Compute resources of a container."""

    claims: Annotated[tuple[ResourceClaim, ...], Schema(list_type="map", list_keys=("name",))] = ()
    """Dynamic resource claims. Accepted for compatibility; aimd does not pass them on to pods."""
    limits: Mapping[str, Quantity] = {}
    """Maximum amount of each resource the container may use, by resource name, for example `memory: 64Gi`."""
    requests: Mapping[str, Quantity] = {}
    """Amount of each resource reserved for the container, by resource name. Defaults to the limit of the same resource
    if that is set."""


class NodeSelectorRequirement(ApiModel):
    """A requirement on a node's labels or fields."""

    key: Annotated[str, REQUIRED] = ""
    """Label key or field name that the requirement applies to."""
    operator: Annotated[str, REQUIRED] = ""
    """Operator: `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`."""
    values: Annotated[tuple[str, ...], ATOMIC_LIST] = ()
    """Values to compare with: at least one for `In` and `NotIn`, one integer for `Gt` and `Lt`, none otherwise."""


class NodeSelectorTerm(ApiModel):
    """A set of node requirements, all of which must be met."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], ATOMIC_LIST] = ()
    """Requirements on the node's labels."""
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], ATOMIC_LIST] = ()
    """Requirements on the node's fields, such as `metadata.name`."""


class PreferredSchedulingTerm(ApiModel):
    """A scheduling preference and its weight."""

    preference: Annotated[NodeSelectorTerm, REQUIRED] = NodeSelectorTerm()
    """Requirements that preferred nodes meet."""
    weight: Annotated[Int32, REQUIRED] = 0
    """Weight added to the score of a matching node, from 1 to 100."""


class NodeSelector(ApiModel):
    """A set of node selector terms, at least one of which must match."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Schema(required=True, list_type="atomic")] = ()
    """Node selector terms. A node must match at least one."""


class NodeAffinity(ApiModel):
    """Nodes that a pod may or should run on."""

    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredSchedulingTerm, ...], ATOMIC_LIST
    ] = ()
    """Preferences. The scheduler favors the nodes with the highest sum of weights."""
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Requirement. A pod is scheduled only to nodes that meet it."""


class ParentReference(ApiModel):
    """A parent that a route attaches to, usually a Gateway."""

    group: Annotated[
        str,
        Schema(
            defaulted=True,
            max_length=253,
            pattern=r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
    ] = "gateway.networking.k8s.io"
    """API group of the parent. Empty means the core group."""
    kind: Annotated[
        str,
        Schema(defaulted=True, min_length=1, max_length=63, pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"),
    ] = "Gateway"
    """Kind of the parent."""
    name: Annotated[str, Schema(required=True, min_length=1, max_length=253)] = ""
    """Name of the parent."""
    namespace: Annotated[str, Schema(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = ""
    """Namespace of the parent. Defaults to the namespace of the route. The parent must allow routes from that
    namespace."""
    port: Annotated[Int32 | None, Schema(minimum=1, maximum=65535)] = None
    """Listener port to attach to. Defaults to all ports."""
    section_name: Annotated[
        str,
        Schema(
            min_length=1,
            max_length=253,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
    ] = ""
    """Name of the listener to attach to. Defaults to all listeners."""


class Condition(ApiModel):
    """One aspect of the object's state."""

    type: Annotated[
        str,
        Schema(
            required=True,
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ] = ""
    """Type of the condition, for example `Ready` or `ModelReady`; unique within the list."""
    status: Annotated[str, Schema(required=True, enum=("True", "False", "Unknown"))] = ""
    """Status of the condition: `True`, `False` or `Unknown`."""
    reason: Annotated[
        str,
        Schema(required=True, min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ] = ""
    """Reason for the status, as a CamelCase word that programs can rely on."""
    message: Annotated[str, Schema(required=True, max_length=32768)] = ""
    """Human-readable explanation of the status."""
    last_transition_time: Annotated[Timestamp, REQUIRED] = ""
    """Time at which `status` or `reason` last changed. A new message alone does not count."""
    observed_generation: Annotated[Int64 | None, Schema(minimum=0)] = None
    """Generation of the object that the condition was computed for. If it is lower than `metadata.generation`, the
    condition is out of date."""


Conditions: TypeAlias = Annotated[tuple[Condition, ...], Schema(list_type="map", list_keys=("type",))]
