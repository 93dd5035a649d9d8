"""Kubernetes' own shapes as far as aimd's kinds contain them: metadata, env, resources, affinity, conditions.

`EnvVar.value_from` and node affinities are passed on, never looked into, so they are read as raw JSON; the classes
beside them exist for the structure in the CRD only.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeAlias

from aimd.api.schema import (
    DEFAULTED,
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
"""A JSON object that is only passed on."""


class OwnerReference(ApiModel):
    """An owner of an object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(ApiModel):
    """The metadata that controllers read; the rest of it is ignored."""

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
    """A root object. Subclasses add `spec` and `status`, both empty-tolerant."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = ()

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()


class ConfigMapKeySelector(ApiModel):
    """A key of a ConfigMap."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    key: Annotated[str, REQUIRED] = ""
    """Key to read."""
    name: Annotated[str, DEFAULTED] = ""
    """Name of the ConfigMap, in the namespace of the container."""
    optional: bool | None = None
    """Start the container even if the ConfigMap or the key is missing."""


class SecretKeySelector(ApiModel):
    """A key of a Secret."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    key: Annotated[str, REQUIRED] = ""
    """Key to read."""
    name: Annotated[str, DEFAULTED] = ""
    """Name of the Secret, in the namespace of the container."""
    optional: bool | None = None
    """Start the container even if the Secret or the key is missing."""


class ObjectFieldSelector(ApiModel):
    """A field of the pod."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    api_version: str = ""
    """API version that `fieldPath` is written for; `v1` when left out."""
    field_path: Annotated[str, REQUIRED] = ""
    """Path of the field, for example `metadata.name` or `status.podIP`."""


class FileKeySelector(ApiModel):
    """A key of an env file in a volume."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    key: Annotated[str, REQUIRED] = ""
    """Key to read from the file."""
    optional: Annotated[bool, DEFAULTED] = False
    """Leave the variable out instead of failing when the file or the key is missing."""
    path: Annotated[str, REQUIRED] = ""
    """Path of the file inside the volume, relative, without `..`."""
    volume_name: Annotated[str, REQUIRED] = ""
    """Name of the volume that holds the file."""


class ResourceFieldSelector(ApiModel):
    """A resource figure of a container."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    container_name: str = ""
    """Container whose figure to read; needed in volumes, optional for variables."""
    divisor: Quantity = ""
    """Unit to express the figure in, for example `1Mi`; `1` when left out."""
    resource: Annotated[str, REQUIRED] = ""
    """Which figure, for example `limits.memory`."""


class EnvVarSource(ApiModel):
    """Where the value of a variable comes from; exactly one source may be given."""

    config_map_key_ref: ConfigMapKeySelector | None = None
    """Take the value from a ConfigMap."""
    field_ref: ObjectFieldSelector | None = None
    """Take the value from a field of the pod, such as its name or address."""
    file_key_ref: FileKeySelector | None = None
    """Take the value from an env file in a volume of the pod."""
    resource_field_ref: ResourceFieldSelector | None = None
    """Take the value from the resource requests or limits of a container."""
    secret_key_ref: SecretKeySelector | None = None
    """Take the value from a Secret; the usual way to hand over a token."""


class EnvVar(ApiModel):
    """An environment variable of a container."""

    name: Annotated[str, REQUIRED] = ""
    """Name of the variable; unique within the list."""
    value: str | None = None
    """Literal value. `$(NAME)` refers to a variable defined earlier, `$$(NAME)` is taken literally. Not together with
    `valueFrom`."""
    value_from: Annotated[dict[str, Any] | None, Schema(shape=EnvVarSource)] = None
    """Where to take the value from when the container starts, for example a key of a Secret. Not together with
    `value`."""


EnvList: TypeAlias = Annotated[tuple[EnvVar, ...], Schema(list_type="map", list_keys=("name",))]


class LocalObjectReference(ApiModel):
    """An object of the same namespace, by name."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    name: Annotated[str, DEFAULTED] = ""
    """Name of the object."""


class ResourceClaim(ApiModel):
    """A claim of the pod that a container uses."""

    name: Annotated[str, REQUIRED] = ""
    """Name of an entry of the pod's resource claims."""
    request: str = ""
    """Which request of the claim to make available; all of them when left out."""


class ResourceRequirements(ApiModel):
    """Compute resources of a container."""

    claims: Annotated[tuple[ResourceClaim, ...], Schema(list_type="map", list_keys=("name",))] = ()
    """Dynamic resource claims. Accepted for completeness; aimd does not carry them over to pods."""
    limits: Mapping[str, Quantity] = {}
    """Most that the container may use, by resource name, for example `memory: 64Gi`."""
    requests: Mapping[str, Quantity] = {}
    """What the scheduler sets aside for the container, by resource name. Where a limit is given and no request, the
    request equals the limit."""


class NodeSelectorRequirement(ApiModel):
    """A comparison with a node's labels or fields."""

    key: Annotated[str, REQUIRED] = ""
    """Label key or field name to compare."""
    operator: Annotated[str, REQUIRED] = ""
    """`In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`."""
    values: Annotated[tuple[str, ...], ATOMIC_LIST] = ()
    """Values to compare with: some for `In` and `NotIn`, one integer for `Gt` and `Lt`, none otherwise."""


class NodeSelectorTerm(ApiModel):
    """Requirements that must hold together."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], ATOMIC_LIST] = ()
    """Requirements on labels of the node."""
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], ATOMIC_LIST] = ()
    """Requirements on fields of the node, such as `metadata.name`."""


class PreferredSchedulingTerm(ApiModel):
    """A preference with its weight."""

    preference: Annotated[NodeSelectorTerm, REQUIRED] = NodeSelectorTerm()
    """What the preferred nodes have in common."""
    weight: Annotated[Int32, REQUIRED] = 0
    """How much a matching node gains, from 1 to 100."""


class NodeSelector(ApiModel):
    """Terms of which one must hold."""

    structure: ClassVar[Schema] = ATOMIC_MAP

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Schema(required=True, list_type="atomic")] = ()
    """Terms; a node has to satisfy at least one."""


class NodeAffinity(ApiModel):
    """Which nodes a pod may or should run on."""

    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredSchedulingTerm, ...], ATOMIC_LIST
    ] = ()
    """Preferences; the scheduler favours nodes with a high sum of weights."""
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Requirement; a pod is only put on a node that satisfies it."""


class ParentReference(ApiModel):
    """What a route attaches to, usually a Gateway."""

    group: Annotated[
        str,
        Schema(
            defaulted=True,
            max_length=253,
            pattern=r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
    ] = "gateway.networking.k8s.io"
    """API group of the parent; empty means the core group."""
    kind: Annotated[
        str,
        Schema(defaulted=True, min_length=1, max_length=63, pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"),
    ] = "Gateway"
    """Kind of the parent."""
    name: Annotated[str, Schema(required=True, min_length=1, max_length=253)] = ""
    """Name of the parent."""
    namespace: Annotated[str, Schema(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = ""
    """Namespace of the parent; the route's own namespace when left out. The parent has to allow routes from there."""
    port: Annotated[Int32 | None, Schema(minimum=1, maximum=65535)] = None
    """Listener port to attach to; all ports when left out."""
    section_name: Annotated[
        str,
        Schema(
            min_length=1,
            max_length=253,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
    ] = ""
    """Listener to attach to by name; all listeners when left out."""


class Condition(ApiModel):
    """One aspect of an object's state."""

    type: Annotated[
        str,
        Schema(
            required=True,
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ] = ""
    """Which aspect, for example `Ready` or `ModelReady`; unique within the list."""
    status: Annotated[str, Schema(required=True, enum=("True", "False", "Unknown"))] = ""
    """Whether the aspect is as it should be."""
    reason: Annotated[
        str,
        Schema(required=True, min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ] = ""
    """Why, in one CamelCase word that programs can rely on."""
    message: Annotated[str, Schema(required=True, max_length=32768)] = ""
    """Why, in a sentence for people."""
    last_transition_time: Annotated[Timestamp, REQUIRED] = ""
    """When status or reason last changed; a new message alone does not count."""
    observed_generation: Annotated[Int64 | None, Schema(minimum=0)] = None
    """Generation of the object that the condition was judged on; lower than `metadata.generation` means outdated."""


Conditions: TypeAlias = Annotated[tuple[Condition, ...], Schema(list_type="map", list_keys=("type",))]
