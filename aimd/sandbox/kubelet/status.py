"""The status of a pod, computed from the states of its containers as a kubelet does; pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aimd.runtime.objects import Manifest, metadata_of
from aimd.sandbox.status_conditions import condition, merged

_INITIAL_DELAY = 10.0
_MAX_DELAY = 300.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that has not started, or is between two starts."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A container that has started and not ended."""

    started_at: str


@dataclass(frozen=True, slots=True)
class Terminated:
    """A container that has ended; the exit code is 128 + n if signal n ended it."""

    exit_code: int
    reason: str
    message: str = ""
    started_at: str = ""
    finished_at: str = ""


ContainerState: TypeAlias = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """The status of one container; `started` is false until the startup probe has succeeded."""

    name: str
    image: str
    state: ContainerState
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def succeeded(self) -> bool:
        """Return whether the container ended with exit code 0."""
        return isinstance(self.state, Terminated) and self.state.exit_code == 0

    def manifest(self) -> Manifest:
        """Return the entry for `containerStatuses`."""
        content: Manifest = {
            "name": self.name,
            "image": self.image,
            "imageID": self.image if self.container_id else "",
            "state": _state(self.state),
            "lastState": _state(self.last) if self.last else {},
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
        }
        return {**content, "containerID": self.container_id} if self.container_id else content


@dataclass(frozen=True, slots=True)
class PodState:
    """The state of a pod: its containers, its address, its start time as RFC 3339."""

    init: tuple[ContainerStatus, ...]
    main: tuple[ContainerStatus, ...]
    address: str
    start_time: str


def will_restart(policy: str, state: ContainerState) -> bool:
    """Return whether a container is restarted under the restart policy of its pod."""
    if not isinstance(state, Terminated):
        return True
    return policy == "Always" or (policy == "OnFailure" and state.exit_code != 0)


def restart_delay(failures: int) -> float:
    """Return the seconds to wait before a restart: 0 for the first one, then 10, 20, 40, and so on up to 300."""
    return 0.0 if failures <= 1 else float(min(_INITIAL_DELAY * 2 ** (failures - 2), _MAX_DELAY))


def phase(policy: str, state: PodState) -> str:
    """Return the phase: Pending, Running, Succeeded or Failed."""
    if any(_failed_permanently(policy, container) for container in state.init):
        return "Failed"
    if not all(container.succeeded for container in state.init):
        return "Pending"
    ended = [container for container in state.main if not will_restart(policy, container.state)]
    if len(ended) == len(state.main):
        return "Succeeded" if all(container.succeeded for container in ended) else "Failed"
    began = any(not isinstance(container.state, Waiting) or container.last for container in state.main)
    return "Running" if began else "Pending"


def pod_status(pod: Manifest, state: PodState, now: str) -> Manifest:
    """Return the status to merge into that of the pod; conditions of others (the scheduler) are kept."""
    previous = pod.get("status") or {}
    spec = pod["spec"]
    current = phase(spec.get("restartPolicy") or "Always", state)
    generation = metadata_of(pod).get("generation")
    conditions = list(_conditions(spec, current, state, previous.get("conditions") or ()))
    status: Manifest = {
        "phase": current,
        "conditions": merged(previous.get("conditions") or (), conditions, now),
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": state.address,
        "podIPs": [{"ip": state.address}],
        "startTime": state.start_time,
        "containerStatuses": [container.manifest() for container in state.main],
        "observedGeneration": generation,
    }
    if state.init:
        status["initContainerStatuses"] = [container.manifest() for container in state.init]
    return status


def _conditions(spec: Manifest, current: str, state: PodState, previous: Iterable[Manifest]) -> Iterable[Manifest]:
    yield condition("PodReadyToStartContainers", str(current in ("Pending", "Running") and bool(state.address)))
    pending = [container.name for container in state.init if not container.succeeded]
    text = f"containers with incomplete status: [{' '.join(pending)}]"
    yield (
        condition("Initialized", str(not pending), "ContainersNotInitialized", text)
        if pending
        else condition("Initialized", "True")
    )
    reason, message = _unreadiness(current, state.main)
    yield condition("ContainersReady", str(not reason), reason, message)
    gates = [gate["conditionType"] for gate in spec.get("readinessGates") or ()]
    passed = {item["type"] for item in previous if item.get("status") == "True"}
    if not reason and not passed.issuperset(gates):
        reason, message = "ReadinessGatesNotReady", "the status of a pod readiness gate is not True"
    yield condition("Ready", str(not reason), reason, message)


def _unreadiness(current: str, containers: Sequence[ContainerStatus]) -> tuple[str, str]:
    """Return reason and message of `Ready=False`, two empty texts if the containers are ready."""
    if current == "Succeeded":
        return "PodCompleted", ""
    if current == "Failed":
        return "PodFailed", ""
    unready = [container.name for container in containers if not container.ready]
    if unready:
        return "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "", ""


def _failed_permanently(policy: str, container: ContainerStatus) -> bool:
    return policy == "Never" and isinstance(container.state, Terminated) and container.state.exit_code != 0


def _state(state: ContainerState) -> dict[str, Any]:
    if isinstance(state, Waiting):
        content = {"reason": state.reason}
        return {"waiting": {**content, "message": state.message} if state.message else content}
    if isinstance(state, Running):
        return {"running": {"startedAt": state.started_at}}
    ended: dict[str, Any] = {"exitCode": state.exit_code, "reason": state.reason}
    times = {"message": state.message, "startedAt": state.started_at, "finishedAt": state.finished_at}
    return {"terminated": {**ended, **{name: value for name, value in times.items() if value}}}
