"""Health of what runs, and the trouble that a running service outlives."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from aimd.planning.component import State, may_apply
from aimd.planning.service.plan import plan_service
from aimd.runtime.objects import Manifest
from tests.unit.planning.service.makers import Maker
from tests.unit.planning.service.plans import READY, component, kinds, reasons, rendered, root, summary, with_service


@pytest.mark.parametrize("change", ["template-missing", "template-not-ready", "model-missing", "model-failed"])
def test_a_running_service_outlives_its_inputs(
    serving: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime, change: str
) -> None:
    """Grace, then Degraded, never worse; the InferenceService stays as it is (SVC-TPL-6, SVC-ORD-3)."""
    changed = {
        "template-missing": {"templates": []},
        "template-not-ready": {"templates": [template(status="NotAvailable")]},
        "model-missing": {"models": []},
        "model-failed": {"models": [model(status="Failed")]},
    }[change]
    part = change.partition("-")[0].capitalize()
    stored = {"resolvedTemplate": {"name": "qwen-latency", "scope": "Namespace"}, "status": "Running"}
    named = service_manifest(template={"name": "qwen-latency"}, status=stored)
    before = serving(service=named)
    observed = serving(service=named, inference_service=before.inference_service, **changed)
    plan = plan_service(observed, now)
    assert may_apply(plan.components)
    assert root(plan, now) == "Running"
    assert plan.requeue_after == 10
    condition = next(item for item in summary(plan, now).conditions if item.type == f"{part}Ready")
    assert condition.status == "False"

    def seen(seconds: int, word: str) -> dict[str, Any]:
        since = (now - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [{"type": f"{part}Ready", "status": "False", "reason": "x", "lastTransitionTime": since}]
        manifest: Manifest = service_manifest(
            template={"name": "qwen-latency"}, status={**stored, "status": word, "conditions": conditions}
        )
        return manifest

    within = plan_service(with_service(observed, seen(4, "Running"), observed.inference_service), now)
    assert (root(within, now), within.requeue_after) == ("Running", 6)
    after = plan_service(with_service(observed, seen(11, "Running"), observed.inference_service), now)
    assert (root(after, now), after.requeue_after) == ("Degraded", None)
    later = plan_service(with_service(observed, seen(1, "Degraded"), observed.inference_service), now)
    assert root(later, now) == "Degraded"
    if part == "Model":
        live = observed.inference_service
        assert rendered(after, "InferenceService")["spec"] == live["spec"]
    else:
        assert kinds(after) == []


def test_pods_decide_while_the_inference_service_is_not_ready(serving: Maker, now: datetime) -> None:
    waiting = serving(isvc_status={}, pods=[])
    assert (reasons(plan_service(waiting, now))["InferenceServicePods"], root(plan_service(waiting, now), now)) == (
        "NoPods",
        "Starting",
    )
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}]
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": conditions}}
    unschedulable = plan_service(serving(isvc_status={}, pods=[pod]), now)
    assert reasons(unschedulable)["InferenceServicePods"] == "FailedScheduling"
    assert root(unschedulable, now) == "Pending"
    running = {"metadata": {"name": "p"}, "status": {"phase": "Running"}}
    assert root(plan_service(serving(isvc_status={}, pods=[running]), now), now) == "Starting"


def test_trouble_of_children_never_blocks(serving: Maker, now: datetime) -> None:
    """Prove SVC-ORD-1."""
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "unauthorized"}}
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Pending", "containerStatuses": [{"state": waiting}]}}
    plan = plan_service(serving(isvc_status={}, pods=[pod]), now)
    assert reasons(plan)["InferenceServicePods"] == "ImagePullAuthFailure"
    assert root(plan, now) == "Failed"
    assert may_apply(plan.components)
    assert kinds(plan) == ["InferenceService"]


def test_a_bad_pod_beside_a_ready_one_degrades(serving: Maker, now: datetime) -> None:
    """Prove SVC-HLT-1."""
    good = {
        "metadata": {"name": "good", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}
    bad = {
        "metadata": {"name": "bad", "creationTimestamp": "2026-01-01T01:00:00Z"},
        "status": {"phase": "Pending", "containerStatuses": [{"state": waiting}]},
    }
    plan = plan_service(serving(pods=[good, bad]), now)
    assert component(plan, "InferenceServicePods").effective_state is State.READY
    assert root(plan, now) == "Degraded"


def test_kserve_events_count_only_while_they_are_news(serving: Maker, now: datetime) -> None:
    """Prove SVC-HLT-2."""

    def event(minutes: float, message: str = "boom") -> dict[str, Any]:
        moment = (now - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"uid": "uid-InferenceService"}
        return {
            "type": "Warning",
            "reason": "InternalError",
            "message": message,
            "involvedObject": about,
            "lastTimestamp": moment,
        }

    def state(events: Any, status: Any = None) -> str:
        observed = serving(isvc_status=status or {}, pods=[], inference_service_events=events)
        return reasons(plan_service(observed, now))["InferenceService"]

    assert state([event(1)]) == "InternalError"
    assert state([{**event(60), "reason": "ServerlessModeRejected"}]) == "ServerlessModeRejected"
    assert state([event(6)]) == "CreatingRuntime"
    assert state([event(1, "the object has been modified")]) == "CreatingRuntime"
    assert state([event(1)], READY) == "RuntimeReady"
    newer = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T11:59:59Z"}]}
    assert state([event(1)], newer) == "CreatingRuntime"


def test_scaling_keeps_a_service_that_served_running(serving: Maker, service_manifest: Maker, now: datetime) -> None:
    """Prove SVC-HLT-3."""
    stored = {"conditions": [{"type": "InferenceServiceReady", "status": "True", "reason": "RuntimeReady"}]}
    plan = plan_service(serving(service=service_manifest(status=stored), isvc_status={}), now)
    assert (reasons(plan)["InferenceService"], root(plan, now)) == ("RuntimeScaling", "Running")
    first = plan_service(serving(isvc_status={}), now)
    assert (reasons(first)["InferenceService"], root(first, now)) == ("CreatingRuntime", "Starting")
