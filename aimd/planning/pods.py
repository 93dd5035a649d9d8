"""Health of a group of pods: one probe for predictor pods and the pods of Jobs.

Pods being deleted don't count, a Failed pod counts only while nothing newer or Ready is beside it, and a container that
cannot start says why.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
from aimd.planning.component import Component, Direction, State
from aimd.planning.objects import has_condition, is_being_deleted
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
_LOOK_AGAIN_AT_MOST = 60.0
STARTING_SECONDS = 3.0
"""So long a pod or a claim may take to get going. The steps of its start are one state meanwhile, as each would be a
write on the artifact and, by way of the caches, on every service that waits; and nobody asks what keeps it."""


@dataclass(frozen=True, slots=True)
class PodHealth:
    """What a group of pods is up to.

    `failure` is the cause when the state is not a normal one. `trouble` is what ails another pod while one is
    Ready; the group is Ready then, and its owner may show the trouble.
    """

    state: State
    reason: str
    message: str
    failure: Failure | None = None
    trouble: Failure | None = None

    def component(self, type_: str, direction: Direction = Direction.UNSPECIFIED) -> Component:
        """As the component with this condition type; children never block applying."""
        failures = (self.failure,) if self.failure is not None else ()
        return Component(type_, self.state, self.reason, self.message, direction, failures=failures)


def probe_pods(
    pods: Iterable[Manifest],
    *,
    logs: Mapping[str, str] | None = None,
    events: Sequence[Manifest] = (),
    exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES,
) -> PodHealth:
    """Health of pods that stand for one thing.

    `logs` gives log tails by pod name (of the pod that `telling_in_its_log` asked for), `events` the events
    of pending pods, `exit_codes` the meaning of exit codes (empty for images that have none).
    """
    living = sorted((pod for pod in pods if not metadata_of(pod).get("deletionTimestamp")), key=_age, reverse=True)
    if not living:
        missing = Failure(Category.MISSING_DOWNSTREAM, Reason.NO_PODS, "There is no pod yet")
        return PodHealth(State.PROGRESSING, missing.reason, missing.message, missing)
    ready = any(is_ready_pod(pod) for pod in living)
    # A Failed pod is a leftover once another is Ready or younger (OBJ-POD-1).
    counted = [pod for index, pod in enumerate(living) if _phase(pod) != "Failed" or (index == 0 and not ready)]
    troubles = [trouble for pod in counted if (trouble := _trouble(pod, logs or {}, exit_codes)) is not None]
    if ready:
        aside = troubles[0] if troubles else None
        return PodHealth(State.READY, Reason.PODS_READY, "Pods are ready", trouble=aside)
    if troubles:
        cause = troubles[0]
        return PodHealth(state_of_failure(cause), cause.reason, cause.message, cause)
    if any(_phase(pod) == "Running" for pod in counted):
        return PodHealth(State.STARTING, Reason.PODS_STARTING, "Pods run but are not ready yet")
    pending = [pod for pod in counted if _phase(pod) == "Pending"]
    if pending:
        return _pending(pending[0], events)
    return PodHealth(State.PROGRESSING, Reason.PODS_PROGRESSING, "Pods are being set up")


def tells_in_its_log(pod: Mapping[str, Any], exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES) -> bool:
    """Whether the end of its log is what tells why a pod failed, or fails again and again."""
    if _phase(pod) == "Failed":
        return needs_log(pod, exit_codes)
    return any(reason == _CRASHING for reason, _ in _waiting(pod))


def telling_in_its_log(
    pods: Iterable[Manifest], exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES
) -> Manifest | None:
    """The youngest pod whose log tells why it fails, also where a younger one only waits; None when none does
    (OBJ-POD-2)."""
    return newest(pod for pod in pods if tells_in_its_log(pod, exit_codes))


def newest(pods: Iterable[Manifest]) -> Manifest | None:
    """The youngest pod that is not being deleted."""
    living = [pod for pod in pods if not metadata_of(pod).get("deletionTimestamp")]
    return max(living, key=_age, default=None)


def state_of_failure(failure: Failure) -> State:
    """The state of a group of pods that has failed so."""
    if failure.category in (Category.MISSING_UPSTREAM, Category.INFRASTRUCTURE):
        return State.DEGRADED
    return State.FAILED


def is_waiting_for_events(pod: Mapping[str, Any]) -> bool:
    """Whether only the pod's events can tell why it does not start: it is placed, and nothing runs."""
    return _phase(pod) == "Pending" and _unschedulable(pod) is None and not any(_waiting(pod))


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A group of pods none of which has started. `pod` is the one whose events may tell why, None while it is too
    young for that to be worth a request; `again_after` is when to look again, in seconds."""

    pod: Manifest | None
    again_after: float


def unexplained(pods: Iterable[Manifest], now: datetime) -> Unexplained | None:
    """What only events can tell about a group of pods; None when their own status says enough (OBJ-POD-3).

    Events of pods are not watched: they are asked for after a few seconds, then ever more seldom.
    """
    living = [pod for pod in pods if not metadata_of(pod).get("deletionTimestamp")]
    if any(_phase(pod) not in ("Pending", "Failed") for pod in living):
        return None
    pod = newest(pod for pod in living if _phase(pod) == "Pending")
    if pod is None or not is_waiting_for_events(pod):
        return None
    waited = max(age_seconds(pod, now), 0.0)
    if waited < STARTING_SECONDS:
        return Unexplained(None, STARTING_SECONDS - waited)
    return Unexplained(pod, min(waited, _LOOK_AGAIN_AT_MOST))


def has_issue(pod: Mapping[str, Any]) -> bool:
    """Whether a container cannot start or the pod cannot be placed; what watches look at."""
    waiting = any(reason in _PULLING | _CANNOT_START for reason, _ in _waiting(pod))
    return waiting or _unschedulable(pod) is not None


def pull_failure(message: str) -> Failure:
    """Why an image cannot be pulled, by the words of the message; login trouble before a missing image (OBJ-POD-2)."""
    text = message.lower()
    if any(word in text for word in _AUTH_WORDS):
        return Failure(
            Category.AUTH, Reason.IMAGE_PULL_AUTH_FAILURE, f"The registry refused access to the image: {message}"
        )
    if any(word in text for word in _MISSING_WORDS):
        return Failure(Category.MISSING_UPSTREAM, Reason.IMAGE_NOT_FOUND, f"The image does not exist: {message}")
    return Failure(Category.INFRASTRUCTURE, ForeignReason.IMAGE_PULL_BACK_OFF, f"The image cannot be pulled: {message}")


def _trouble(pod: Manifest, logs: Mapping[str, str], exit_codes: Mapping[int, str]) -> Failure | None:
    for reason, message in _waiting(pod):
        if reason in _PULLING:
            return pull_failure(message or reason)
    if _phase(pod) == "Failed":
        return pod_failure(pod, logs.get(key_of(pod).name, ""), exit_codes)
    for container in _statuses(pod):
        last = (container.get("lastState") or {}).get("terminated") or {}
        if last.get("reason") == ForeignReason.OOM_KILLED and not container.get("ready"):
            name = container.get("name")
            text = f"Container {name} was killed for its memory use: raise its memory limit"
            return Failure(Category.RESOURCE_EXHAUSTION, ForeignReason.OOM_KILLED, text)
    for reason, message in _waiting(pod):
        if reason in _CANNOT_START:
            told = [message or f"A container cannot start: {reason}"]
            told += [log_excerpt(logs[key_of(pod).name])] if reason == _CRASHING and key_of(pod).name in logs else []
            return Failure(Category.INVALID_SPEC, reason, ": ".join(filter(None, told)))
    return None


def _pending(pod: Manifest, events: Sequence[Manifest]) -> PodHealth:
    unschedulable = _unschedulable(pod)
    if unschedulable is not None:
        return PodHealth(State.PENDING, ForeignReason.FAILED_SCHEDULING, unschedulable)
    own = sorted((event for event in events if _is_about(event, pod)), key=_moment, reverse=True)
    for event in own:
        if event.get("reason") in _BLOCKING_EVENTS:
            return PodHealth(State.PENDING, str(event["reason"]), str(event.get("message") or ""))
    for event in own:
        if event.get("reason") == ForeignReason.PULLING:
            return PodHealth(State.PROGRESSING, ForeignReason.PULLING, str(event.get("message") or ""))
    return PodHealth(State.PENDING, Reason.PODS_PENDING, "The pod waits to be started")


def _is_about(event: Mapping[str, Any], pod: Manifest) -> bool:
    about = event.get("involvedObject") or {}
    return bool(about.get("uid")) and about.get("uid") == uid_of(pod)


def _moment(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max(str(time or "") for time in times)


def _age(pod: Mapping[str, Any]) -> tuple[str, str]:
    return str(metadata_of(pod).get("creationTimestamp") or ""), key_of(pod).name


def _phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def is_ready_pod(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod has completed, or runs and is Ready."""
    return _phase(pod) == "Succeeded" or _runs_and_is_ready(pod)


def count_ready(pods: Iterable[Manifest]) -> int:
    """Return how many pods answer requests: they run, are Ready, and are not being deleted."""
    return sum(1 for pod in pods if _runs_and_is_ready(pod) and not is_being_deleted(pod))


def _runs_and_is_ready(pod: Mapping[str, Any]) -> bool:
    return _phase(pod) == "Running" and has_condition(pod, "Ready")


def _pod_condition(pod: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == type_), {})


def _unschedulable(pod: Mapping[str, Any]) -> str | None:
    placed = _pod_condition(pod, "PodScheduled")
    if placed.get("status") == "False" and placed.get("reason") == "Unschedulable":
        return str(placed.get("message") or "No node fits the pod")
    return None


def _statuses(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]


def _waiting(pod: Mapping[str, Any]) -> list[tuple[str, str]]:
    waits = ((container.get("state") or {}).get("waiting") or {} for container in _statuses(pod))
    return [
        (str(wait["reason"]), str(wait.get("message") or ""))
        for wait in waits
        if wait.get("reason") and wait["reason"] not in ("ContainerCreating", "PodInitializing")
    ]
