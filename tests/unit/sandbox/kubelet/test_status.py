"""A pod's status from its containers' states."""

from typing import Any

import pytest

from aimd.sandbox.kubelet.status import (
    ContainerState,
    ContainerStatus,
    PodState,
    Running,
    Terminated,
    Waiting,
    phase,
    pod_status,
    restart_delay,
    will_restart,
)

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
CREATING, RUNS = Waiting("ContainerCreating"), Running(THEN)
DONE, BROKEN = Terminated(0, "Completed"), Terminated(1, "Error")


def container(state: ContainerState, **changes: Any) -> ContainerStatus:
    return ContainerStatus("main", "image", state, **changes)


def state(*main: ContainerStatus, init: tuple[ContainerStatus, ...] = ()) -> PodState:
    return PodState(init, main, "10.250.0.1", THEN)


@pytest.mark.parametrize(
    ("policy", "states", "expected"),
    [
        ("Always", [CREATING], "Pending"),
        ("Always", [RUNS, CREATING], "Running"),
        ("Always", [DONE], "Running"),
        ("OnFailure", [BROKEN], "Running"),
        ("OnFailure", [DONE], "Succeeded"),
        ("Never", [DONE, DONE], "Succeeded"),
        ("Never", [DONE, BROKEN], "Failed"),
        ("Never", [RUNS, BROKEN], "Running"),
    ],
)
def test_phase(policy: str, states: list[ContainerState], expected: str) -> None:
    assert phase(policy, state(*(container(item) for item in states))) == expected


def test_phase_with_init_containers() -> None:
    assert phase("Never", state(container(CREATING), init=(container(RUNS),))) == "Pending"
    assert phase("Never", state(container(CREATING), init=(container(BROKEN),))) == "Failed"
    assert phase("Always", state(container(CREATING), init=(container(BROKEN),))) == "Pending"
    assert phase("Never", state(container(RUNS), init=(container(DONE),))) == "Running"


def test_a_crash_loop_is_running() -> None:
    assert phase("Always", state(container(Waiting("CrashLoopBackOff"), last=BROKEN))) == "Running"


def test_restarts() -> None:
    assert [restart_delay(failures) for failures in range(1, 8)] == [0, 10, 20, 40, 80, 160, 300]
    assert will_restart("Always", DONE)
    assert not will_restart("OnFailure", DONE)
    assert not will_restart("Never", BROKEN)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


def pod(**changes: Any) -> dict[str, Any]:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": THEN, "reason": ""}
    spec = {"restartPolicy": "Always", **changes.pop("spec", {})}
    return {"metadata": {"generation": 2}, "spec": spec, "status": {"conditions": [scheduled], **changes}}


def test_a_ready_pod() -> None:
    status = pod_status(pod(), state(container(RUNS, ready=True, container_id="process://1")), NOW)
    assert status["phase"] == "Running"
    assert conditions(status) == {
        "PodScheduled": ("True", ""),
        "PodReadyToStartContainers": ("True", ""),
        "Initialized": ("True", ""),
        "ContainersReady": ("True", ""),
        "Ready": ("True", ""),
    }
    assert status["podIPs"] == [{"ip": "10.250.0.1"}]
    assert status["containerStatuses"][0]["state"] == {"running": {"startedAt": THEN}}
    assert status["observedGeneration"] == 2


def test_why_a_pod_is_not_ready() -> None:
    unready = pod_status(pod(), state(container(RUNS)), NOW)
    assert conditions(unready)["Ready"] == ("False", "ContainersNotReady")
    gated = pod_status(pod(spec={"readinessGates": [{"conditionType": "x"}]}), state(container(RUNS, ready=True)), NOW)
    assert conditions(gated)["ContainersReady"] == ("True", "")
    assert conditions(gated)["Ready"] == ("False", "ReadinessGatesNotReady")
    completed = pod_status(pod(spec={"restartPolicy": "Never"}), state(container(DONE)), NOW)
    assert conditions(completed)["Ready"] == ("False", "PodCompleted")
    waiting = pod_status(pod(), state(container(CREATING), init=(container(RUNS),)), NOW)
    assert conditions(waiting)["Initialized"] == ("False", "ContainersNotInitialized")


def test_conditions_keep_their_times_until_they_change() -> None:
    first = pod_status(pod(), state(container(RUNS)), THEN)
    second = pod_status(pod(**first), state(container(RUNS, ready=True)), NOW)
    times = {item["type"]: item["lastTransitionTime"] for item in second["conditions"]}
    assert (times["Initialized"], times["Ready"]) == (THEN, NOW)


def test_how_a_container_ended() -> None:
    ended = Terminated(137, "Error", "killed", THEN, NOW)
    manifest = container(Waiting("CrashLoopBackOff", "wait"), last=ended, restarts=2).manifest()
    assert manifest["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "wait"}}
    assert manifest["lastState"]["terminated"] == {
        "exitCode": 137,
        "reason": "Error",
        "message": "killed",
        "startedAt": THEN,
        "finishedAt": NOW,
    }
    assert manifest["restartCount"] == 2
