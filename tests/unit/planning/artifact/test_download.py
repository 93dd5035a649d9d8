"""The download of an artifact: retried, believed, recorded."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aimd.planning.artifact.needs import references_to_read
from aimd.planning.artifact.observed import References
from aimd.planning.artifact.plan import plan_artifact
from aimd.planning.labels import DOWNLOAD_COMPLETE_ANNOTATION
from aimd.planning.settings import ControllerSettings
from tests.unit.planning.artifact.world import GIB, World, fail, fail_for_space


def test_a_job_of_a_former_claim_is_not_believed() -> None:
    """Prove ART-DWN-2."""
    world = World(size="1Gi").downloading()
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    del world.children["weights-cache-9179ba0d"]
    world.turn()
    world.turn()
    assert world.word == "Progressing"
    claim = world.child("cache")
    assert claim is not None
    assert DOWNLOAD_COMPLETE_ANNOTATION not in claim["metadata"].get("annotations", {})


def test_a_missing_source_fails_waits_and_heals() -> None:
    """Prove ART-DWN-4."""
    world = World(size="1Gi").downloading()
    world.pods[-1]["status"]["phase"] = "Failed"
    message = json.dumps({"reason": "SourceNotFound", "detail": "no such repository"})
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 21, "message": message}}
    world.finish("Failed", reason="PodFailurePolicy")
    world.turn()
    assert world.word == "Failed"
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert world.condition("ConfigValid") == ("False", "InvalidSpec")
    assert world.condition("DownloadJobPodsReady") == ("False", "SourceNotFound")
    assert world.condition("DownloadComplete") == ("False", "Downloading")
    assert world.artifact["status"]["progress"]["displayPercentage"] == "N/A"
    assert world.plan.requeue_after == pytest.approx(599, abs=2)
    assert world.written == []

    world.turn(300)
    assert (world.word, world.written) == ("Failed", [])
    world.turn(300)
    assert (world.word, world.written) == ("Failed", ["delete retry"])
    world.turn()
    assert "create Job" in world.written
    world.pod("Running")
    world.turn()
    assert world.word == "Progressing"
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    world.turn()
    assert (world.word, world.condition("ConfigValid")) == ("Ready", ("True", "ConfigurationValid"))


def test_waits_double_while_a_permanent_failure_lasts() -> None:
    """Prove ART-DWN-4."""
    world = World(size="1Gi")
    world.turn()
    waits = []
    for _ in range(6):
        fail(world)
        assert world.plan.requeue_after is not None
        waits.append(world.plan.requeue_after)
        job = world.child("download")
        assert job is not None
        assert job["spec"]["ttlSecondsAfterFinished"] >= waits[-1]
        world.turn(waits[-1] + 1)
        assert "delete retry" in world.written
    assert [round(wait / 600) for wait in waits] == [1, 1, 2, 4, 8, 16]


def test_waits_have_a_limit_and_transient_failures_wait_the_base() -> None:
    """Prove ART-DWN-4."""
    world = World(size="1Gi").downloading()
    world.turn(100_000)
    world.pods[-1]["status"]["phase"] = "Failed"
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 21}}
    world.finish("Failed")
    world.turn()
    assert world.plan.requeue_after == pytest.approx(6 * 3600, abs=2)
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 25}}
    world.turn()
    assert world.plan.requeue_after == pytest.approx(600, abs=3)


def test_an_hour_without_the_endpoint_is_borne() -> None:
    """Attempt after attempt, without anybody doing anything; never longer than the base between two of them."""
    world = World(size="1Gi")
    world.turn()
    down_until = world.now + timedelta(hours=1)
    attempts = 0
    while world.now < down_until:
        fail(world, exit_code=25)
        attempts += 1
        assert world.condition("DownloadJobPodsReady") == ("False", "NetworkError")
        assert world.plan.requeue_after is not None
        assert world.plan.requeue_after == pytest.approx(600, abs=2)
        world.turn(world.plan.requeue_after + 1)
        assert "delete retry" in world.written
        world.turn()
    assert attempts >= 5
    world.pod("Running")
    world.turn()
    assert world.word == "Progressing"
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    world.turn()
    assert world.word == "Ready"


def test_a_pod_that_goes_with_its_node_is_no_failure() -> None:
    """Drained, or deleted because its node is gone: the Job makes another pod (ART-DWN-7)."""
    world = World(size="1Gi").downloading()
    world.pods.clear()
    world.turn()
    assert (world.word, world.written) == ("Progressing", [])
    world.pod("Failed", exit_code=137, reason="Evicted")
    world.pods[-1]["status"] |= {"reason": "Evicted", "containerStatuses": []}
    world.turn()
    assert (world.word, world.written) == ("Progressing", [])
    assert world.condition("DownloadJobPodsReady") == ("False", "DownloadRetrying")
    world.pod("Running")
    world.turn()
    assert world.condition("DownloadJobPodsReady") == ("True", "PodsReady")


@pytest.mark.parametrize("change", [{"env": [{"name": "HF_TOKEN", "value": "new"}]}, {"modelDownloadImage": "x"}])
def test_a_change_of_the_inputs_retries_at_once(change: dict[str, Any]) -> None:
    """Prove ART-DWN-5."""
    world = World(size="1Gi")
    world.turn()
    fail(world)
    world.artifact["spec"] |= change
    world.turn()
    assert world.written == ["delete inputs-changed"]


def test_deleting_the_failed_job_retries_at_once() -> None:
    world = World(size="1Gi")
    world.turn()
    fail(world)
    del world.children["weights-download-9179ba0d"]
    world.turn()
    assert world.written == ["create Job"]


def test_a_verification_that_failed() -> None:
    world = World(size="1Gi").downloading()
    world.progress(100)
    world.turn()
    world.pods[-1]["status"]["phase"] = "Failed"
    world.finish("Failed")
    world.turn()
    assert world.condition("DownloadComplete") == ("False", "VerificationFailed")
    assert world.artifact["status"]["progress"] == {"percentage": 100, "displayPercentage": "N/A"}


def test_a_full_volume_that_is_large_enough_is_no_reason_to_hurry() -> None:
    world = World(size="10Gi")
    world.storage_class = {"allowVolumeExpansion": True}
    world.downloading()
    fail_for_space(world, 5 * GIB)
    world.turn()
    assert world.written == []


def test_a_secret_that_was_put_right_is_a_reason_to_try_at_once() -> None:
    """Prove ART-DWN-5."""
    secret = {"valueFrom": {"secretKeyRef": {"name": "huggingface", "key": "token"}}}
    world = World(size="1Gi", env=[{"name": "HF_TOKEN", **secret}])
    world.references = References(versions="one")
    world.turn()
    fail(world, exit_code=20)
    assert references_to_read(world.observe()) == (("Secret", "huggingface", "token"),)
    assert (world.word, world.plan.requeue_after) == ("Failed", 60)
    world.turn(100)
    assert world.written == []
    assert world.plan.requeue_after == pytest.approx(101, abs=2)
    world.references = References()  # could not be read
    world.turn()
    assert world.written == []
    world.references = References(versions="two")
    world.turn()
    assert world.written == ["delete inputs-changed"]
    world.turn()
    assert "create Job" in world.written


def test_the_record_keeps_what_the_downloader_reports() -> None:
    world = World(size="1Gi").downloading()
    report = json.dumps({"revision": "abc", "files": 3, "bytes": 5})
    world.pods[-1]["status"] |= {
        "phase": "Succeeded",
        "containerStatuses": [{"name": "model-download", "state": {"terminated": {"exitCode": 0, "message": report}}}],
    }
    world.finish("Complete")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    record = json.loads(claim["metadata"]["annotations"][DOWNLOAD_COMPLETE_ANNOTATION])
    assert (record["source"], record["revision"], record["files"]) == ("hf://Qwen/Qwen3-32B", "abc", 3)


def test_settings_lower_the_waits() -> None:
    world = World(size="1Gi")
    world.turn()
    fail(world)
    observed = replace(world.observe(), settings=ControllerSettings(downloader_image="aimd:test", retry_base_seconds=2))
    plan = plan_artifact(observed, world.now)
    assert plan.requeue_after is not None
    assert plan.requeue_after <= 3
