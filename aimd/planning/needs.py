"""Live reads: what a plan lacks, asked for as values, and what reading them gave.

A plan names its needs; the pipeline reads them and plans again, until a plan lacks nothing. So a decision says itself
what it has to know, and observing is nothing but lookups in the cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aimd.runtime.objects import Key, Kind, Manifest

MOST_LIVE_READS = 32
"""Requests to the API server that one pass may make to decide (OBJ-BND-3)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A read that failed; `missing` is whether the object does not exist, `message` is the server's."""

    message: str
    missing: bool = False


@dataclass(frozen=True, slots=True)
class ReadLog:
    """The end of a pod's log, as text: `lines` of it, at most `limit_bytes` (0: no limit).

    A log that the decision hangs on is `required`: trouble that passes is retried, not answered as Refused.
    """

    pod: Key
    lines: int
    container: str = ""
    limit_bytes: int = 0
    required: bool = False


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The Events about the object with this key and UID, as a tuple of manifests."""

    about: Key
    uid: str


@dataclass(frozen=True, slots=True)
class ReadObject:
    """One object that no informer selects, as a manifest."""

    kind: Kind
    key: Key


@dataclass(frozen=True, slots=True)
class ReadList:
    """The objects of a kind as the server has them now, as a tuple of manifests; the cache may lag behind.

    It is never Refused: what goes wrong is retried as an error of the reconcile.
    """

    kind: Kind
    namespace: str
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class ReadReference:
    """Whether a Secret or ConfigMap has these keys, as a `Reference`; its contents are never kept."""

    kind: Kind
    object: Key
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known about a referenced object; `version` changes with it, and is empty while it does not exist."""

    exists: bool
    missing_keys: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One object from the cache, by a name that only the plan knows, as a manifest; None when it does not exist."""

    kind: Kind
    key: Key


@dataclass(frozen=True, slots=True)
class DiscoverySlot:
    """A slot for a discovery Job of this template, held until the reconcile ends; as a bool, whether it was granted."""

    kind: Kind
    template: Key


@dataclass(frozen=True, slots=True)
class InspectImage:
    """What a model's image says about itself, as an `Inspection` (planning.image_inspection).

    `owner`, of kind `kind`, is the model or template that asks. `pull_secrets` are its own, which must exist;
    `shared_pull_secrets` are those of its users, which need not.
    """

    kind: Kind
    owner: Key
    uid: str
    image: str
    pull_secrets: tuple[str, ...] = ()
    service_account: str = ""
    shared_pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListImages:
    """The images that the filters of a model source match, as a `Listed` (planning.model_source.plan)."""

    source: Key


Need: TypeAlias = (
    ReadLog | ReadEvents | ReadObject | ReadList | ReadReference | Lookup | DiscoverySlot | InspectImage | ListImages
)


@dataclass(frozen=True, slots=True)
class Reads:
    """What was read so far, by need."""

    answers: Mapping[Need, Any] = field(default_factory=dict)

    def __contains__(self, need: Need) -> bool:
        return need in self.answers

    def log(self, need: ReadLog) -> str | Refused | None:
        """Return the text, why it could not be read, or None while it was not read."""
        answer: str | Refused | None = self.answers.get(need)
        return answer

    def events(self) -> tuple[Manifest, ...]:
        """Return all Events that were read."""
        return tuple(
            event
            for need, answer in self.answers.items()
            if isinstance(need, ReadEvents) and not isinstance(answer, Refused)
            for event in answer
        )

    def logs(self) -> dict[str, str]:
        """Return the logs that were read, by the pod's name."""
        return {
            need.pod.name: answer
            for need, answer in self.answers.items()
            if isinstance(need, ReadLog) and isinstance(answer, str)
        }

    def object(self, need: ReadObject) -> Manifest | Refused | None:
        """Return the object, why it could not be read, or None while it was not read."""
        answer: Manifest | Refused | None = self.answers.get(need)
        return answer

    def list(self, need: ReadList) -> tuple[Manifest, ...] | None:
        """Return the objects, or None while they were not listed."""
        answer: tuple[Manifest, ...] | None = self.answers.get(need)
        return answer

    def reference(self, need: ReadReference) -> Reference | Refused | None:
        """Return what is known about a referenced object, why it could not be read, or None while it was not read."""
        answer: Reference | Refused | None = self.answers.get(need)
        return answer

    def found(self, need: Lookup) -> Manifest | None:
        """Return the object, None when it does not exist or was not looked up."""
        answer: Manifest | None = self.answers.get(need)
        return answer

    def granted(self, need: DiscoverySlot) -> bool:
        """Return whether the slot was granted."""
        return self.answers.get(need) is True


NO_READS = Reads()
