"""How a Job of an artifact appears as components."""

from datetime import timedelta

import pytest

from aimd.planning.artifact.needs import objects_to_explain
from tests.unit.planning.artifact.world import World


@pytest.mark.parametrize(
    ("exit_code", "reason", "ready_reason"),
    [
        (20, "AuthError", "AuthError"),
        (22, "StorageFull", "StorageFull"),
        (23, "DownloadStalled", "DownloadStalled"),
        (24, "VerificationFailed", "InvalidSpec"),
        (25, "NetworkError", "NetworkError"),
        (1, "PodFailed", "InvalidSpec"),
    ],
)
def test_the_cause_in_the_pod_wins_over_the_job(exit_code: int, reason: str, ready_reason: str) -> None:
    """Prove ART-DWN-8."""
    world = World(size="1Gi")
    world.turn()
    world.turn()
    world.pod("Failed", exit_code=exit_code)
    world.finish("Failed", reason="BackoffLimitExceeded")
    summary = world.turn()
    assert world.word == "Failed"
    assert world.condition("DownloadJobPodsReady") == ("False", reason)
    assert world.condition("DownloadJobReady") == ("False", "JobBackoffLimitExceeded")
    assert world.condition("Ready") == ("False", ready_reason)
    assert not summary.retry


@pytest.mark.parametrize(
    ("given", "reason"), [("DeadlineExceeded", "JobDeadlineExceeded"), ("Evicted", "JobEvicted"), ("", "JobFailed")]
)
def test_why_a_job_was_given_up(given: str, reason: str) -> None:
    world = World(size="1Gi")
    world.turn()
    world.turn()
    world.finish("Failed", reason=given)
    world.turn()
    assert (world.word, world.condition("DownloadJobReady")) == ("Failed", ("False", reason))


def test_a_pod_that_failed_is_no_failure_while_the_job_retries() -> None:
    """Prove ART-DWN-7."""
    world = World(size="1Gi").downloading()
    world.pods[-1]["status"]["phase"] = "Failed"
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 25}}
    world.turn()
    assert world.word == "Progressing"
    assert world.condition("DownloadJobPodsReady") == ("False", "DownloadRetrying")
    world.now += timedelta(seconds=10)
    world.pod("Running")
    world.turn()
    assert world.condition("DownloadJobPodsReady") == ("True", "PodsReady")
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    world.turn()
    assert world.word == "Ready"


def test_an_unschedulable_pod_shows_as_pending() -> None:
    world = World(size="1Gi").downloading()
    world.pods[-1]["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}],
    }
    world.turn()
    assert (world.word, world.condition("DownloadJobPodsReady")) == ("Pending", ("False", "FailedScheduling"))


def test_the_steps_of_a_quick_start_are_one_state() -> None:
    """Each would be a write here, in the cache and in every service; what lasts shows after a moment."""
    world = World(size="1Gi")
    world.turn()
    world.turn()
    world.pod("Pending")
    seen = set()
    for change in ({}, {"phase": "Running"}):
        world.pods[-1]["status"] |= change
        world.turn(seconds=0.1)
        seen.add((world.word, world.condition("DownloadJobPodsReady")))
        assert world.plan.requeue_after in (2.9, 3.0)
    assert seen == {("Pending", ("False", "PodsPending"))}
    world.pods[-1]["status"] |= {"phase": "Running"}
    world.turn(seconds=3)
    assert (world.word, world.condition("DownloadJobPodsReady")) == ("Progressing", ("False", "PodsStarting"))


@pytest.mark.parametrize(
    ("size", "part", "type_"),
    [("1Gi", "download", "DownloadJobPodsReady"), ("", "check-size", "CheckSizeJobPodsReady")],
)
def test_pods_refused_at_admission_are_explained(size: str, part: str, type_: str) -> None:
    """Prove ART-DWN-9."""
    world = World(size=size)
    world.turn()
    world.turn()
    job = world.child(part)
    assert job is not None
    assert objects_to_explain(world.observe(), world.now + timedelta(seconds=3)) == (job,)
    world.events = [
        {"reason": "FailedCreate", "message": "exceeded quota", "involvedObject": {"uid": job["metadata"]["uid"]}}
    ]
    world.turn()
    assert (world.word, world.condition(type_)) == ("Pending", ("False", "FailedCreate"))
