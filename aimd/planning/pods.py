"""Health of a group of pods: one probe for the pods of predictors and of Jobs.

Pods that are being deleted do not count, a Failed pod counts only while no pod beside it is newer or Ready, and a
container that cannot start is reported with its reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
from aimd.planning.component import Component, Direction, State
from aimd.planning.objects import (
    View,
    Waiting,
    condition_of,
    containers_of,
    event_time,
    has_condition,
    involved_uid,
    is_being_deleted,
    phase_of,
    text,
)
from aimd.planning.pod_failures import DOWNLOADER_EXIT_CODES, log_excerpt, needs_log, pod_failure
from aimd.planning.time import age_seconds
from aimd.runtime.objects import Category, Failure, Manifest, key_of, metadata_of, uid_of

_PULLING = frozenset({ForeignReason.IMAGE_PULL_BACK_OFF, "ErrImagePull"})
_CRASHING = ForeignReason.CRASH_LOOP_BACK_OFF
_CANNOT_START = frozenset(
    {
        ForeignReason.CREATE_CONTAINER_CONFIG_ERROR,
        ForeignReason.CREATE_CONTAINER_ERROR,
        ForeignReason.INVALID_IMAGE_NAME,
        ForeignReason.RUN_CONTAINER_ERROR,
        _CRASHING,
    }
)
_ORDINARY_WAITS = frozenset({"", "ContainerCreating", "PodInitializing"})
_BLOCKING_EVENTS = frozenset(
    {
        ForeignReason.FAILED_SCHEDULING,
        ForeignReason.FAILED_MOUNT,
        ForeignReason.FAILED_ATTACH_VOLUME,
        ForeignReason.FAILED_CREATE_POD_SANDBOX,
    }
)
_AUTH_WORDS = ("unauthorized", "authentication", "401", "403", "forbidden", "denied", "credentials")
_MISSING_WORDS = ("not found", "404", "manifest unknown", "name unknown", "no such")
_LONGEST_EVENT_WAIT = 60.0

STARTING_SECONDS = 3.0
"""Time that a pod or a claim may take to start.

Until then the steps of its start are one state and no events are read: each step would be a write on the artifact and,
through the caches, on every service that waits for it.
"""


@dataclass(frozen=True, slots=True)
class PodHealth:
    """Health of a group of pods.

    `failure` is the cause when the state is not a normal one. `trouble` is the failure of another pod while one is
    Ready; the group is Ready then, and its owner may show the trouble.
    """

    state: State
    reason: str
    message: str
    failure: Failure | None = None
    trouble: Failure | None = None

    def component(self, type_: str, direction: Direction = Direction.UNSPECIFIED) -> Component:
        """Return the health as a component; pods never block applying."""
        failures = (self.failure,) if self.failure is not None else ()
        return Component(type_, self.state, self.reason, self.message, direction, failures=failures)


@dataclass(frozen=True, slots=True)
class EventsNeeded:
    """A group of pods whose start only Events can explain.

    `pod` is the one to read the Events of, None while it is too young to be worth a request. `again_after` is when to
    look again, in seconds.
    """

    pod: Manifest | None
    again_after: float


def probe_pods(
    pods: Iterable[Manifest],
    *,
    logs: Mapping[str, str] | None = None,
    events: Sequence[View] = (),
    exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES,
) -> PodHealth:
    """Return the health of pods that serve one purpose.

    `logs` has ends of logs by pod name (of the pod that `find_pod_to_log` returns), `events` are those of pending pods,
    `exit_codes` gives the meaning of exit codes (empty for images that have none).
    """
    living = sorted((pod for pod in pods if not is_being_deleted(pod)), key=_age, reverse=True)
    if not living:
        missing = Failure(Category.MISSING_DOWNSTREAM, Reason.NO_PODS, "No pod exists yet")
        return PodHealth(State.PROGRESSING, missing.reason, missing.message, missing)
    ready = any(is_ready_pod(pod) for pod in living)
    # A Failed pod no longer counts once another is Ready or younger (OBJ-POD-1).
    counted = [pod for index, pod in enumerate(living) if phase_of(pod) != "Failed" or (index == 0 and not ready)]
    troubles = [trouble for pod in counted if (trouble := _trouble(pod, logs or {}, exit_codes)) is not None]
    if ready:
        aside = troubles[0] if troubles else None
        return PodHealth(State.READY, Reason.PODS_READY, "Pods are ready", trouble=aside)
    if troubles:
        cause = troubles[0]
        return PodHealth(state_of_failure(cause), cause.reason, cause.message, cause)
    if any(phase_of(pod) == "Running" for pod in counted):
        return PodHealth(State.STARTING, Reason.PODS_STARTING, "Pods are running and not ready yet")
    pending = [pod for pod in counted if phase_of(pod) == "Pending"]
    if pending:
        return _pending(pending[0], events)
    return PodHealth(State.PROGRESSING, Reason.PODS_PROGRESSING, "Pods are being set up")


def log_explains(pod: View, exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES) -> bool:
    """Return whether only the end of its log explains why a pod failed or fails repeatedly."""
    if phase_of(pod) == "Failed":
        return needs_log(pod, exit_codes)
    return any(waiting.reason == _CRASHING for waiting in _waits(pod))


def find_pod_to_log(pods: Iterable[Manifest], exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES) -> Manifest | None:
    """Return the youngest pod whose log explains its failure, None without one (OBJ-POD-2).

    A younger pod that only waits does not hide it.
    """
    return newest(pod for pod in pods if log_explains(pod, exit_codes))


def newest(pods: Iterable[Manifest]) -> Manifest | None:
    """Return the youngest pod that is not being deleted."""
    living = [pod for pod in pods if not is_being_deleted(pod)]
    return max(living, key=_age, default=None)


def state_of_failure(failure: Failure) -> State:
    """Return the state of a group of pods that failed for this reason."""
    if failure.category in (Category.MISSING_UPSTREAM, Category.INFRASTRUCTURE):
        return State.DEGRADED
    return State.FAILED


def needs_events(pod: View) -> bool:
    """Return whether only Events can explain why a pod does not start: it has a node, and nothing runs."""
    return phase_of(pod) == "Pending" and _unschedulable(pod) is None and not _waits(pod)


def events_needed(pods: Iterable[Manifest], now: datetime) -> EventsNeeded | None:
    """Return which Events to read about a group of pods; None when their own status says enough (OBJ-POD-3).

    Events of pods are not watched. They are read after a few seconds, then at growing intervals.
    """
    living = [pod for pod in pods if not is_being_deleted(pod)]
    if any(phase_of(pod) not in ("Pending", "Failed") for pod in living):
        return None
    pod = newest(pod for pod in living if phase_of(pod) == "Pending")
    if pod is None or not needs_events(pod):
        return None
    waited = max(age_seconds(pod, now), 0.0)
    if waited < STARTING_SECONDS:
        return EventsNeeded(None, STARTING_SECONDS - waited)
    return EventsNeeded(pod, min(waited, _LONGEST_EVENT_WAIT))


def has_issue(pod: View) -> bool:
    """Return whether a container cannot start or the pod cannot be placed; predicates compare this."""
    return any(wait.reason in _PULLING | _CANNOT_START for wait in _waits(pod)) or _unschedulable(pod) is not None


def is_ready_pod(pod: View) -> bool:
    """Return whether a pod has completed, or runs and is Ready."""
    return phase_of(pod) == "Succeeded" or _runs_and_is_ready(pod)


def count_ready(pods: Iterable[Manifest]) -> int:
    """Return how many pods answer requests: they run, are Ready, and are not being deleted."""
    return sum(1 for pod in pods if _runs_and_is_ready(pod) and not is_being_deleted(pod))


def pull_failure(message: str) -> Failure:
    """Return why an image cannot be pulled, by the words of the message (OBJ-POD-2).

    Refused credentials are looked for before a missing image, since registries name both at once.
    """
    words = message.lower()
    if any(word in words for word in _AUTH_WORDS):
        return Failure(
            Category.AUTH, Reason.IMAGE_PULL_AUTH_FAILURE, f"The registry refused access to the image: {message}"
        )
    if any(word in words for word in _MISSING_WORDS):
        return Failure(Category.MISSING_UPSTREAM, Reason.IMAGE_NOT_FOUND, f"The image does not exist: {message}")
    return Failure(Category.INFRASTRUCTURE, ForeignReason.IMAGE_PULL_BACK_OFF, f"The image cannot be pulled: {message}")


def _trouble(pod: Manifest, logs: Mapping[str, str], exit_codes: Mapping[int, str]) -> Failure | None:
    name, waits = key_of(pod).name, _waits(pod)
    for wait in waits:
        if wait.reason in _PULLING:
            return pull_failure(wait.message or wait.reason)
    if phase_of(pod) == "Failed":
        return pod_failure(pod, logs.get(name, ""), exit_codes)
    for container in containers_of(pod):
        last = container.last_ended
        if last is not None and last.reason == ForeignReason.OOM_KILLED and not container.ready:
            said = f"Container {container.name} was killed because it ran out of memory: raise its memory limit"
            return Failure(Category.RESOURCE_EXHAUSTION, ForeignReason.OOM_KILLED, said)
    for wait in waits:
        if wait.reason in _CANNOT_START:
            details = [wait.message or f"A container cannot start: {wait.reason}"]
            details += [log_excerpt(logs[name])] if wait.reason == _CRASHING and name in logs else []
            return Failure(Category.INVALID_SPEC, wait.reason, ": ".join(filter(None, details)))
    return None


def _pending(pod: Manifest, events: Sequence[View]) -> PodHealth:
    unschedulable = _unschedulable(pod)
    if unschedulable is not None:
        return PodHealth(State.PENDING, ForeignReason.FAILED_SCHEDULING, unschedulable)
    uid = uid_of(pod)
    own = sorted((event for event in events if uid and involved_uid(event) == uid), key=event_time, reverse=True)
    for event in own:
        if text(event, "reason") in _BLOCKING_EVENTS:
            return PodHealth(State.PENDING, text(event, "reason"), text(event, "message"))
    for event in own:
        if text(event, "reason") == ForeignReason.PULLING:
            return PodHealth(State.PROGRESSING, ForeignReason.PULLING, text(event, "message"))
    return PodHealth(State.PENDING, Reason.PODS_PENDING, "Pod is waiting to start")


def _runs_and_is_ready(pod: View) -> bool:
    return phase_of(pod) == "Running" and has_condition(pod, "Ready")


def _age(pod: View) -> tuple[str, str]:
    return text(metadata_of(pod), "creationTimestamp"), key_of(pod).name


def _unschedulable(pod: View) -> str | None:
    placed = condition_of(pod, "PodScheduled")
    if placed is not None and placed.status == "False" and placed.reason == "Unschedulable":
        return placed.message or "No node fits the pod"
    return None


def _waits(pod: View) -> list[Waiting]:
    """Return why containers wait, apart from the ordinary steps of a start."""
    waits = (container.waiting for container in containers_of(pod))
    return [wait for wait in waits if wait is not None and wait.reason not in _ORDINARY_WAITS]
