"""Typed views of objects as the API server has them: conditions, phases, containers, claims, Events, predictors.

A view never raises: what is missing or malformed reads as empty, because objects of other kinds are written by others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Condition, controller_of, metadata_of

View = Mapping[str, Any]
"""Part of an object as JSON; read it, never change it."""

_NOTHING: View = {}


def part(parent: View, name: str) -> View:
    """Return the object under `name`, empty when there is none."""
    value = parent.get(name)
    return value if isinstance(value, Mapping) else _NOTHING


def parts(parent: View, name: str) -> tuple[View, ...]:
    """Return the objects in the list under `name`, empty when there is none."""
    value = parent.get(name)
    return tuple(item for item in value if isinstance(item, Mapping)) if isinstance(value, list | tuple) else ()


def text(parent: View, name: str) -> str:
    """Return the value under `name` as text, empty when there is none."""
    value = parent.get(name)
    return "" if value is None else str(value)


def whole_number(parent: View, name: str) -> int:
    """Return the whole number under `name`, 0 when there is none."""
    value = parent.get(name)
    return int(value) if isinstance(value, int | float) else 0


def spec_of(manifest: View) -> View:
    """Return the spec, empty when there is none."""
    return part(manifest, "spec")


def status_of(manifest: View) -> View:
    """Return the status, empty when there is none."""
    return part(manifest, "status")


def annotations_of(manifest: View) -> Mapping[str, str]:
    """Return the annotations, empty when there are none."""
    return part(metadata_of(manifest), "annotations")


def generation_of(manifest: View) -> int:
    """Return the generation of the spec, 0 when the server has not set one."""
    return whole_number(metadata_of(manifest), "generation")


def is_being_deleted(manifest: View) -> bool:
    """Return whether the object has a deletion timestamp."""
    return bool(metadata_of(manifest).get("deletionTimestamp"))


def is_controlled_by(manifest: View | None, uid: str) -> bool:
    """Return whether the controlling owner of the object has the UID."""
    owner = controller_of(manifest) if manifest is not None else None
    return owner is not None and owner.get("uid") == uid


def phase_of(manifest: View) -> str:
    """Return `status.phase` of a Pod, claim or Namespace."""
    return text(status_of(manifest), "phase")


def status_word(manifest: View) -> str:
    """Return `status.status`, the status word of our own kinds; empty before the first reconcile."""
    return text(status_of(manifest), "status")


def conditions_of(manifest: View) -> tuple[Condition, ...]:
    """Return the stored conditions, in their order."""
    return conditions_in(status_of(manifest))


def conditions_in(status: View) -> tuple[Condition, ...]:
    """Return the conditions of a status, or of a part of one, such as of one parent of a route."""
    return tuple(_conditions(parts(status, "conditions")))


def condition_of(manifest: View, type_: str) -> Condition | None:
    """Return the stored condition of a type, None when there is none."""
    items = (item for item in parts(status_of(manifest), "conditions") if item.get("type") == type_)
    return next(_conditions(items), None)


def has_condition(manifest: View, type_: str, status: str = "True") -> bool:
    """Return whether the stored condition of a type has the status."""
    found = condition_of(manifest, type_)
    return found is not None and found.status == status


class _Typed(Protocol):
    @property
    def type(self) -> str: ...


_ConditionT = TypeVar("_ConditionT", bound=_Typed)


def find_condition(conditions: Iterable[_ConditionT], type_: str) -> _ConditionT | None:
    """Return the condition of a type, None when there is none."""
    return next((condition for condition in conditions if condition.type == type_), None)


def _conditions(items: Iterable[View]) -> Iterator[Condition]:
    for item in items:
        generation = item.get("observedGeneration")
        yield Condition(
            type=text(item, "type"),
            status=text(item, "status"),
            reason=text(item, "reason"),
            message=text(item, "message"),
            last_transition_time=text(item, "lastTransitionTime"),
            observed_generation=int(generation) if isinstance(generation, int) else None,
        )


# Pods


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container waits to run."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Terminated:
    """How a container ended; `message` is its termination message."""

    reason: str
    message: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class ContainerState:
    """State of one container of a pod; `last_ended` is how its run before this one ended."""

    name: str
    ready: bool = False
    running: bool = False
    waiting: Waiting | None = None
    ended: Terminated | None = None
    last_ended: Terminated | None = None


def containers_of(pod: View) -> tuple[ContainerState, ...]:
    """Return the states of a pod's containers, then of its init containers."""
    status = status_of(pod)
    listed = (*parts(status, "containerStatuses"), *parts(status, "initContainerStatuses"))
    return tuple(
        ContainerState(
            name=text(item, "name"),
            ready=item.get("ready") is True,
            running="running" in part(item, "state"),
            waiting=_waiting(part(part(item, "state"), "waiting")),
            ended=_ended(part(part(item, "state"), "terminated")),
            last_ended=_ended(part(part(item, "lastState"), "terminated")),
        )
        for item in listed
    )


def _waiting(state: View) -> Waiting | None:
    return Waiting(text(state, "reason"), text(state, "message")) if state else None


def _ended(state: View) -> Terminated | None:
    if not state:
        return None
    return Terminated(text(state, "reason"), text(state, "message"), whole_number(state, "exitCode"))


# Claims


def requested_storage(claim: View) -> str:
    """Return the storage that a claim requests, as a quantity; empty when it requests none."""
    return text(part(part(spec_of(claim), "resources"), "requests"), "storage")


def granted_storage(claim: View) -> str:
    """Return the capacity of a claim's volume, as a quantity; empty while it has none."""
    return text(part(status_of(claim), "capacity"), "storage")


def storage_class_of(claim: View) -> str:
    """Return the storage class of a claim, empty for the cluster's default."""
    return text(spec_of(claim), "storageClassName")


def allows_expansion(storage_class: View | None) -> bool:
    """Return whether claims of a storage class may grow; False for a class that is not known."""
    return storage_class is not None and storage_class.get("allowVolumeExpansion") is True


# Events


def involved_uid(event: View) -> str:
    """Return the UID of the object that an Event is about."""
    return text(part(event, "involvedObject"), "uid")


def involved_name(event: View) -> str:
    """Return the name of the object that an Event is about."""
    return text(part(event, "involvedObject"), "name")


def event_time(event: View) -> str:
    """Return when an Event was last observed, as RFC 3339 text; empty when it does not say."""
    times = (
        text(part(event, "series"), "lastObservedTime"),
        text(event, "lastTimestamp"),
        text(event, "eventTime"),
    )
    return max(times)


def newest_event(events: Iterable[View], about: str, reasons: frozenset[str]) -> View | None:
    """Return the latest Event about the object with the UID `about` that has one of the reasons."""
    own = [event for event in events if involved_uid(event) == about and text(event, "reason") in reasons]
    return max(own, key=event_time, default=None)


# InferenceServices


def predictor_of(inference_service: View | None) -> View:
    """Return the predictor of an InferenceService, empty without one."""
    return part(spec_of(inference_service), "predictor") if inference_service is not None else _NOTHING


def predictor_container(inference_service: View | None) -> View:
    """Return the container of the predictor, empty without one."""
    return next(iter(parts(predictor_of(inference_service), "containers")), _NOTHING)


def claim_of(volume: View) -> str:
    """Return the claim behind a pod's volume, empty for a volume without one."""
    return text(part(volume, "persistentVolumeClaim"), "claimName")


def mounted_claims(inference_service: View | None) -> tuple[str, ...]:
    """Return the names of the claims that an InferenceService mounts, in the order of its volumes."""
    volumes = parts(predictor_of(inference_service), "volumes")
    return tuple(name for volume in volumes if (name := claim_of(volume)))


def last_transition(manifest: View) -> datetime | None:
    """Return when a condition last changed its status, None when none says so."""
    moments = (parse_timestamp(condition.last_transition_time) for condition in conditions_of(manifest))
    return max((moment for moment in moments if moment is not None), default=None)


def names_in(references: Sequence[View]) -> tuple[str, ...]:
    """Return the names in a list of local object references."""
    return tuple(name for item in references if (name := text(item, "name")))
