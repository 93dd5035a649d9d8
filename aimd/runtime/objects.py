"""Values that reconcilers and pure planning code share: keys, kinds, desired objects, failures, conditions.

No I/O, no clock, no Kubernetes client: the only module of the runtime that planning imports, with `kinds` and `errors`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

Manifest: TypeAlias = dict[str, Any]
"""A Kubernetes object as JSON. Objects from a store are shared: don't modify them."""


class Key(NamedTuple):
    """Identifies an object of a known kind; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type, spelled out so that no API discovery is needed."""

    group: str
    """Empty for the core group."""
    version: str
    name: str
    plural: str
    """Name in URLs."""
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`; for the core group just the version."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def manifest(self, metadata: Mapping[str, Any], **parts: Any) -> Manifest:
        """Return an object of this kind; `parts` are its other top-level fields, such as `spec` or `data`."""
        return {"apiVersion": self.api_version, "kind": self.name, "metadata": dict(metadata), **parts}

    def __str__(self) -> str:
        return self.name


class Remnant(Manifest):
    """What could be read of an object that cannot be handled as a whole: kind, metadata, and more near the surface.

    It is in the cache, so that others know that the object exists; `Cache.parse` raises for it.
    """

    def __init__(self, problem: str, found: Mapping[str, Any] | None = None) -> None:
        super().__init__(found or {})
        self.problem = problem
        """Why the object cannot be handled."""


class Category(StrEnum):
    """Who or what is to blame for a failure; decides conditions, retries and whether children are applied."""

    INFRASTRUCTURE = "Infrastructure"
    UNKNOWN = "Unknown"
    AUTH = "Auth"
    INVALID_SPEC = "InvalidSpec"
    MISSING_UPSTREAM = "MissingUpstream"
    MISSING_DOWNSTREAM = "MissingDownstream"
    RESOURCE_EXHAUSTION = "ResourceExhaustion"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a value: a stable CamelCase reason and a message that says what to change."""

    category: Category
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A `metav1.Condition`."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str = ""
    """RFC 3339, UTC, in whole seconds."""
    observed_generation: int | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """An object that must exist as rendered."""

    kind: Kind
    manifest: Manifest
    """The complete object, with name, labels and owner references."""
    reason: str
    """Why it is written: the label `reason` of the write metric."""
    filled: tuple[str, ...] = ()
    """Fields that webhooks or API defaults add inside of what is rendered; such additions are no difference.

    Dotted paths, with `[]` for every item of a list, such as `spec.predictor.containers[].resources.limits`.
    """
    shared: bool = False
    """It has no controller, because several owners use it (OBJ-OWN-2)."""
    once: bool = False
    """An existing object of ours is left as it is."""

    @property
    def key(self) -> Key:
        """Key of the object."""
        return key_of(self.manifest)


@dataclass(frozen=True, slots=True)
class Deletion:
    """An object that must not exist."""

    kind: Kind
    key: Key
    uid: str
    """A new object of the same name is left alone."""
    reason: str
    """Why it is deleted: the label `reason` of the write metric."""
    shared: bool = False
    """It has no controller, because several owners use it (OBJ-OWN-2)."""
    controller: str = ""
    """UID of its controller, where that is not the owner but something made for it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of applying a plan."""

    written: int = 0
    """Number of objects that were created, updated or deleted."""
    failures: tuple[tuple[Kind, Key, Failure], ...] = ()
    """The objects that could not be written, and why."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to reconcile."""

    key: Key
    reasons: tuple[str, ...] = ()
    """What woke the key, for logs only."""


@dataclass(frozen=True, slots=True)
class Result:
    """When to reconcile the object again."""

    requeue_after: float | None = None
    """After so many seconds; if None, only when something changes."""
    retry: bool = False
    """After the key's backoff, as after an error, but without logging one."""
    written: int = 0
    """Number of objects written, for the log."""


def metadata_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object's metadata, empty if it has none."""
    metadata: Mapping[str, Any] = manifest.get("metadata") or {}
    return metadata


def copied(manifest: Manifest) -> Manifest:
    """Return a copy of an object and its metadata, whose other parts are shared."""
    found = {**manifest, "metadata": {**metadata_of(manifest)}}
    return Remnant(manifest.problem, found) if isinstance(manifest, Remnant) else found


def surface(value: Any, levels: int = 12) -> Any:
    """Return a copy of JSON in which objects and lists below some levels are empty."""
    if isinstance(value, dict):
        return {name: surface(item, levels - 1) for name, item in value.items()} if levels else {}
    if isinstance(value, list):
        return [surface(item, levels - 1) for item in value] if levels else []
    return value


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Return the key of an object."""
    metadata = metadata_of(manifest)
    return Key(metadata.get("namespace") or "", metadata.get("name") or "")


def uid_of(manifest: Mapping[str, Any]) -> str:
    """Return the UID of an object, empty if it has none yet."""
    return str(metadata_of(manifest).get("uid") or "")


def version_number(version: str) -> int:
    """Return a resourceVersion as a number, 0 if it is none; larger is newer.

    The order is part of the API's contract since Kubernetes 1.35, and etcd's before.
    """
    return int(version) if version.isdigit() else 0


def resource_version(manifest: Mapping[str, Any]) -> int:
    """Return the object's resourceVersion as a number, 0 if it has none."""
    return version_number(str(metadata_of(manifest).get("resourceVersion") or ""))


def is_ended(manifest: Manifest) -> bool:
    """Return whether nothing holds a deleted object any more: no finalizer and no grace period."""
    metadata = metadata_of(manifest)
    being_deleted = bool(metadata.get("deletionTimestamp"))
    return being_deleted and not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")


def is_older(manifest: Manifest, version: int, known: Manifest) -> bool:
    """Return whether `manifest` brings nothing new; versions that are no numbers are new unless they are equal."""
    known_version = resource_version(known)
    if version and known_version:
        return version <= known_version
    text = metadata_of(manifest).get("resourceVersion")
    return bool(text) and text == metadata_of(known).get("resourceVersion")


def labels_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the labels of an object, empty if it has none."""
    labels: Mapping[str, str] = metadata_of(manifest).get("labels") or {}
    return labels


def is_apply(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry of `managedFields` records a server-side apply, other than of a subresource."""
    return entry.get("operation") == "Apply" and not entry.get("subresource")


def controller_of(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the owner reference of the controller, or None."""
    references = metadata_of(manifest).get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def owners_of(manifest: Mapping[str, Any]) -> Iterable[str]:
    """Return the UIDs of all owners: the index `owner`, which every store has."""
    references = metadata_of(manifest).get("ownerReferences")
    return [str(reference.get("uid")) for reference in references] if references else ()


def owner_reference(kind: Kind, owner: Mapping[str, Any]) -> Manifest:
    """Return an owner reference to the controller `owner`, without `blockOwnerDeletion` (OBJ-APL-5)."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": key_of(owner).name,
        "uid": uid_of(owner),
        "controller": True,
    }
