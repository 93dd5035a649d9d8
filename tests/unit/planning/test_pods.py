"""The probe of pods."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.service import ServiceCondition
from aimd.planning.component import State
from aimd.planning.pods import (
    PodHealth,
    count_ready,
    events_needed,
    find_pod_to_log,
    has_issue,
    is_ready_pod,
    log_explains,
    needs_events,
    probe_pods,
    pull_failure,
)
from tests.unit.planning.pod_makers import ended, pod, waiting


def shown(health: PodHealth) -> str:
    """The reason in the condition of a predictor's pods."""
    return health.component(ServiceCondition.INFERENCE_SERVICE_PODS_READY).effective_reason


@pytest.mark.parametrize(
    ("found", "is_ready", "counts"),
    [
        (pod("Running", ready=True), True, 1),
        (pod("Running"), False, 0),
        (pod("Pending"), False, 0),
        (pod("Succeeded"), True, 0),
        (pod("Running", ready=True, deletionTimestamp="2026-01-01T00:00:00Z"), True, 0),
    ],
)
def test_a_pod_counts_as_a_replica_only_while_it_answers(found: dict[str, Any], is_ready: bool, counts: int) -> None:
    """Prove SVC-SCL-6: a pod that has completed is ready for what it was made for, and answers nobody."""
    assert is_ready_pod(found) is is_ready
    assert count_ready([found, pod("Failed")]) == counts


@pytest.mark.parametrize(
    ("pods", "state", "reason"),
    [
        ([], State.PROGRESSING, "NoPods"),
        ([pod("Running", ready=True)], State.READY, "PodsReady"),
        ([pod("Succeeded")], State.READY, "PodsReady"),
        ([pod("Running")], State.STARTING, "PodsStarting"),
        ([pod("Pending")], State.PENDING, "PodsPending"),
        ([pod("Unknown")], State.PROGRESSING, "PodsProgressing"),
        ([pod("Pending", container=waiting("ContainerCreating"))], State.PENDING, "PodsPending"),
        (
            [pod("Pending", container=waiting("CreateContainerConfigError", 'secret "x"'))],
            State.FAILED,
            "CreateContainerConfigError",
        ),
        ([pod("Pending", container=waiting("CreateContainerError"))], State.FAILED, "CreateContainerError"),
        ([pod("Pending", container=waiting("InvalidImageName"))], State.FAILED, "InvalidImageName"),
        ([pod("Pending", container=waiting("RunContainerError"))], State.FAILED, "RunContainerError"),
        ([pod("Running", container=waiting("CrashLoopBackOff"))], State.FAILED, "CrashLoopBackOff"),
        (
            [
                pod(
                    "Running",
                    container={**waiting("CrashLoopBackOff"), "lastState": {"terminated": {"reason": "OOMKilled"}}},
                )
            ],
            State.FAILED,
            "OOMKilled",
        ),
        (
            [pod("Pending", container=waiting("ErrImagePull", "pull access denied"))],
            State.FAILED,
            "ImagePullAuthFailure",
        ),
        ([pod("Pending", container=waiting("ImagePullBackOff", "manifest unknown"))], State.DEGRADED, "ImageNotFound"),
        ([pod("Pending", container=waiting("ImagePullBackOff", "timeout"))], State.DEGRADED, "ImagePullBackOff"),
        ([pod("Failed", container=ended(1))], State.FAILED, "PodFailed"),
        ([pod("Failed", container=ended(137, "OOMKilled"))], State.FAILED, "PodOOMKilled"),
        ([pod("Failed", container=ended(1, "DeadlineExceeded"))], State.FAILED, "PodDeadlineExceeded"),
        ([pod("Failed", container=ended(1, "Evicted"))], State.DEGRADED, "PodEvicted"),
    ],
)
def test_what_a_group_of_pods_is_up_to(pods: list[dict[str, Any]], state: State, reason: str) -> None:
    """Prove OBJ-POD-2."""
    health = probe_pods(pods, exit_codes={})
    assert (health.state, health.reason) == (state, reason)
    assert shown(health) == reason


def test_unschedulable_counts_before_its_event_arrives() -> None:
    lonely = pod(
        "Pending",
        conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}],
    )
    assert probe_pods([lonely]) == PodHealth(State.PENDING, "FailedScheduling", "0/3 nodes")
    assert has_issue(lonely)
    assert not needs_events(lonely)


@pytest.mark.parametrize("reason", ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"])
def test_events_tell_why_a_placed_pod_does_not_start(reason: str) -> None:
    """Prove OBJ-POD-3."""
    stuck = pod("Pending")
    about = {"uid": "uid-p"}
    mount = {
        "reason": reason,
        "message": "no volume",
        "involvedObject": about,
        "lastTimestamp": "2026-01-01T00:00:02Z",
    }
    pulling = {
        "reason": "Pulling",
        "message": "pulling x",
        "involvedObject": about,
        "lastTimestamp": "2026-01-01T00:00:03Z",
    }
    foreign = {**mount, "involvedObject": {"uid": "other"}}
    assert needs_events(stuck)
    blocked, started = probe_pods([stuck], events=[pulling, mount]), probe_pods([stuck], events=[pulling, foreign])
    assert blocked.reason == shown(blocked) == reason
    assert started == PodHealth(State.PROGRESSING, "Pulling", "pulling x")
    assert shown(started) == "Pulling"


@pytest.mark.parametrize(
    ("pods", "waited", "asked", "again"),
    [
        ([pod("Pending")], 1, None, 2.0),
        ([pod("Pending")], 3, "p", 3.0),
        ([pod("Pending"), pod("Failed", "dead")], 30, "p", 30.0),
        ([pod("Pending")], 3600, "p", 60.0),
        ([pod("Pending")], -60, None, 3.0),
        ([pod("Pending", made="")], 0, "p", 60.0),
    ],
)
def test_events_of_a_pod_that_does_not_start_are_asked_for_ever_more_seldom(
    pods: list[dict[str, Any]], waited: int, asked: str | None, again: float
) -> None:
    """Prove OBJ-POD-3."""
    found = events_needed(pods, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=waited))
    assert found is not None
    assert (found.pod["metadata"]["name"] if found.pod else None, found.again_after) == (asked, again)


@pytest.mark.parametrize(
    "pods",
    [
        [],
        [pod("Running")],
        [pod("Pending"), pod("Running", "other", ready=True)],
        [pod("Pending", container=waiting("ErrImagePull"))],
        [pod("Pending", deletionTimestamp="2026-01-01T00:00:00Z")],
    ],
)
def test_events_are_not_asked_for_where_the_status_tells(pods: list[dict[str, Any]]) -> None:
    assert events_needed(pods, datetime(2026, 1, 1, 1, tzinfo=UTC)) is None


def test_a_crashing_container_is_quoted() -> None:
    """Prove OBJ-POD-2."""
    crashing = pod("Running", container=waiting("CrashLoopBackOff", "back-off 10s"))
    assert log_explains(crashing)
    assert not log_explains(pod("Pending", container=waiting("ErrImagePull")))
    assert probe_pods([crashing]).message == "back-off 10s"
    assert probe_pods([crashing], logs={"p": "a\nb\n\nc\nd\n"}).message == "back-off 10s: b\nc\nd"
    full = probe_pods([crashing], logs={"p": "start\nOSError: No space left on device\nbye"})
    assert full.reason == "CrashLoopBackOff"
    assert "volume is too small" in full.message
    assert "No space left" in full.message


def test_the_log_of_a_crashing_pod_is_asked_for_beside_a_younger_one_that_waits() -> None:
    crashing = pod("Running", "a", container=waiting("CrashLoopBackOff", "back-off 10s"), made="2026-01-01T00:00:00Z")
    older = pod("Running", "c", container=waiting("CrashLoopBackOff"), made="2025-12-31T23:59:59Z")
    pending = pod("Pending", "b", made="2026-01-01T00:00:00Z")
    assert find_pod_to_log([pending, older, crashing], {}) == crashing
    health = probe_pods([pending, crashing], logs={"a": "no such model"})
    assert "no such model" in health.message
    assert find_pod_to_log([pending], {}) is None


def test_a_dead_pod_does_not_outrank_a_younger_one() -> None:
    """Prove OBJ-POD-1."""
    dead = pod("Failed", "old", container=ended(1))
    young = pod("Running", "new", made="2026-01-01T00:01:00Z")
    assert probe_pods([dead, young]).reason == "PodsStarting"
    assert (
        probe_pods([dead, pod("Failed", "new", made="2026-01-01T00:01:00Z", container=ended(21))]).reason
        == "SourceNotFound"
    )


def test_a_ready_pod_keeps_the_group_ready_beside_a_bad_one() -> None:
    bad = pod("Running", "bad", container=waiting("CrashLoopBackOff"), made="2026-01-01T00:01:00Z")
    health = probe_pods([pod("Running", "good", ready=True), bad])
    assert health.state is State.READY
    assert health.trouble is not None
    assert health.trouble.reason == "CrashLoopBackOff"


def test_a_failed_pod_does_not_count_beside_a_ready_one() -> None:
    """Prove OBJ-POD-1."""
    evicted = pod("Failed", "evicted", made="2026-01-01T00:01:00Z", container=ended(1, "Evicted"))
    health = probe_pods([pod("Running", "good", ready=True), evicted])
    assert (health.reason, health.trouble) == ("PodsReady", None)


def test_pods_being_deleted_do_not_count() -> None:
    """Prove OBJ-POD-1."""
    gone = pod("Running", ready=True, deletionTimestamp="2026-01-01T00:02:00Z")
    assert probe_pods([gone]).reason == "NoPods"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("401 Unauthorized", "ImagePullAuthFailure"),
        ("pull access denied, repository does not exist", "ImagePullAuthFailure"),
        ("manifest unknown", "ImageNotFound"),
        ("i/o timeout", "ImagePullBackOff"),
    ],
)
def test_pull_messages(message: str, reason: str) -> None:
    """Prove OBJ-POD-2."""
    assert pull_failure(message).reason == reason


statuses = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", ""]),
        "reason": st.sampled_from(["Evicted", "", None]),
        "conditions": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["Ready", "PodScheduled"]),
                    "status": st.sampled_from(["True", "False"]),
                    "reason": st.sampled_from(["Unschedulable", ""]),
                }
            ),
            max_size=2,
        ),
        "containerStatuses": st.lists(
            st.one_of(
                st.builds(waiting, st.sampled_from(["ErrImagePull", "CrashLoopBackOff", "x"]), st.text(max_size=5)),
                st.builds(ended, st.integers(0, 255), st.sampled_from(["Error", "OOMKilled", ""]), st.text(max_size=9)),
                st.just({}),
            ),
            max_size=2,
        ),
    },
)


@given(st.lists(statuses, max_size=4), st.text(max_size=60))
def test_the_probe_is_total(found: list[dict[str, Any]], log: str) -> None:
    pods = [{"metadata": {"name": f"p{i}", "uid": f"u{i}"}, "status": status} for i, status in enumerate(found)]
    health = probe_pods(pods, logs={f"p{i}": log for i in range(len(pods))})
    assert health.reason
    assert health.component(ServiceCondition.INFERENCE_SERVICE_PODS_READY).effective_state is health.state
