"""The types both sides of a reconcile share: keys, kinds, desired objects, failures, conditions.

Free of I/O, of the clock and of any Kubernetes client, so that pure planning code may import it. Everything
else of the runtime stays out of a planner's reach (docs/architecture.md, layers).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

Manifest: TypeAlias = dict[str, Any]
"""A Kubernetes object as JSON. What the store hands out is shared: read it, never change it."""


class Key(NamedTuple):
    """Identifies an object of a known kind; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type, spelled out so that no API discovery is ever needed."""

    group: str
    version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`, or just the version for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def manifest(self, metadata: Mapping[str, Any], **parts: Any) -> Manifest:
        """Return an object of this kind; `parts` are its other top-level fields, such as `spec` or `data`."""
        return {"apiVersion": self.api_version, "kind": self.name, "metadata": dict(metadata), **parts}

    def __str__(self) -> str:
        return self.name


class Category(StrEnum):
    """What sort of trouble a failure is; decides conditions, retry and whether children are applied."""

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
    """A `metav1.Condition`; `last_transition_time` is RFC 3339 in whole seconds, UTC."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str = ""
    observed_generation: int | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """An object that must exist as rendered.

    `manifest` is complete: name, labels, owner references. `reason` says why it is written and becomes the
    `reason` label of the write metric. `filled` names the fields that webhooks or API defaults add inside what we
    render (dotted paths, `[]` for every item of a list, for example
    `spec.predictor.containers[].resources.limits`); such additions are no difference.
    """

    kind: Kind
    manifest: Manifest
    reason: str
    filled: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return key_of(self.manifest)


@dataclass(frozen=True, slots=True)
class Deletion:
    """An object that must go; `uid` guards against deleting a namesake created since."""

    kind: Kind
    key: Key
    uid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a plan did: how many objects were written, and which child failed how."""

    written: int = 0
    failures: tuple[tuple[Kind, Key, Failure], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One turn of a reconciler: the key, and what woke it (for logs)."""

    key: Key
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconcile ended.

    Ask again after `requeue_after` seconds, or when something changes (None); with `retry`, run again with the
    key's back-off, as after an error, but without one to log. `written` objects are told in the log.
    """

    requeue_after: float | None = None
    retry: bool = False
    written: int = 0


def metadata_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object's metadata, empty when it has none."""
    metadata: Mapping[str, Any] = manifest.get("metadata") or {}
    return metadata


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Namespace and name of an object."""
    metadata = metadata_of(manifest)
    return Key(metadata.get("namespace") or "", metadata.get("name") or "")


def uid_of(manifest: Mapping[str, Any]) -> str:
    """UID of an object, empty when the server has not given one yet."""
    return str(metadata_of(manifest).get("uid") or "")


def version_number(version: str) -> int:
    """Return a resourceVersion as a number, 0 if it is none; larger is newer.

    The order is part of the API's contract since Kubernetes 1.35, and etcd's before.
    """
    return int(version) if version.isdigit() else 0


def resource_version(manifest: Mapping[str, Any]) -> int:
    """Return the object's resourceVersion as a number, 0 if it has none."""
    return version_number(str(metadata_of(manifest).get("resourceVersion") or ""))


def labels_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Labels of an object, empty when it has none."""
    labels: Mapping[str, str] = metadata_of(manifest).get("labels") or {}
    return labels


def is_apply(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of `managedFields` records a server-side apply, and not one of a subresource."""
    return entry.get("operation") == "Apply" and not entry.get("subresource")


def controller_of(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The controlling owner reference, if there is one."""
    references = metadata_of(manifest).get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def owner_reference(kind: Kind, owner: Mapping[str, Any]) -> Manifest:
    """A controlling owner reference without `blockOwnerDeletion` (OBJ-APL-5)."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": key_of(owner).name,
        "uid": uid_of(owner),
        "controller": True,
    }
