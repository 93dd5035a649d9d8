"""The life of an artifact, played through against a small world."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.component import may_apply
from aimd.planning.labels import DOWNLOAD_COMPLETE_ANNOTATION
from aimd.planning.time import timestamp
from tests.unit.planning.artifact.world import GIB, MALFORMED, World, taken_over

WORDS = {"Pending", "Progressing", "Ready", "Degraded", "Failed", "NotAvailable"}


def test_from_nothing_to_ready() -> None:
    world = World(size="16Gi")
    world.turn()
    assert world.written == ["create PersistentVolumeClaim"]
    assert (world.word, world.condition("CachePvcReady"), world.condition("DownloadJobReady")) == (
        "Progressing",
        ("False", "ResourceNotReady"),
        ("False", "ResourceNotReady"),
    )
    claim = world.child("cache")
    assert claim is not None
    assert claim["spec"] == {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "18Gi"}}}
    assert claim["metadata"]["name"] == "weights-cache-9179ba0d"
    assert claim["metadata"]["labels"]["aim.eai.amd.com/source-model"] == "qwen_qwen3-32b"
    assert "aim.eai.amd.com/cache.type" not in claim["metadata"]["labels"]

    world.turn()
    assert world.written == ["create ServiceAccount", "create Role", "create RoleBinding", "create Job"]
    status = world.artifact["status"]
    assert (status["allocatedSize"], status["headroomPercent"], status["displaySize"], status["mode"]) == (
        "18Gi",
        10,
        "16 GiB",
        "Shared",
    )
    assert status["persistentVolumeClaim"] == "weights-cache-9179ba0d"

    world.pod("Running")
    world.turn()
    assert world.word == "Progressing"
    assert world.condition("DownloadJobReady") == ("False", "JobRunning")
    assert world.condition("DownloadJobPodsReady") == ("True", "PodsReady")
    assert world.condition("DownloadComplete") == ("False", "Downloading")

    world.progress(42)
    world.turn()
    assert (world.written, world.changed_status) == ([], set())

    world.progress(100)
    world.turn()
    assert (world.word, world.condition("DownloadComplete")) == ("Progressing", ("True", "Verifying"))

    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    summary = world.turn()
    assert (world.word, world.condition("DownloadComplete")) == ("Ready", ("True", "Verified"))
    assert world.condition("Ready") == ("True", "AllComponentsReady")
    assert world.written == ["update PersistentVolumeClaim"]
    assert world.artifact["status"]["progress"] == {
        "percentage": 100,
        "displayPercentage": "100 %",
        "downloadedBytes": 16 * GIB,
        "totalBytes": 16 * GIB,
    }
    assert not summary.retry
    world.turn()
    assert (world.written, world.changed_status, world.plan.requeue_after) == ([], set(), None)


def test_a_named_config_must_exist_until_the_weights_are_there() -> None:
    world = World(size="1Gi", config_name="team")
    world.turn()
    assert (world.word, world.written) == ("Failed", [])
    assert world.condition("RuntimeConfigReady") == ("False", "ReferenceNotFound")
    ready = World(size="1Gi", config={}).ready()
    ready.config, ready.artifact["spec"]["runtimeConfigName"] = None, "team"
    ready.turn()
    assert (ready.word, ready.condition("RuntimeConfigReady")) == ("Ready", ("True", "ConfigNotNeeded"))


@pytest.mark.parametrize("size", ["1Gi", ""])
@pytest.mark.parametrize("uri", MALFORMED)
def test_a_malformed_source_uri_is_refused_before_anything_is_created(uri: str, size: str) -> None:
    """(ART-SRC-1)"""
    world = World(sourceUri=uri, size=size)
    for _ in range(3):
        summary = world.turn()
        assert (world.written, world.plan.desired, world.plan.requeue_after) == ([], (), None)
    assert not may_apply(world.plan.components)
    assert (world.word, world.condition("SourceReady")) == ("Failed", ("False", "InvalidSource"))
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert world.condition("ConfigValid")[0] == "False"
    (message,) = (each.message for each in summary.conditions if each.type == "SourceReady")
    assert message.startswith(f"spec.sourceUri {uri!r} is not a valid source URI: ")


def test_a_valid_source_uri_shows_no_condition_of_its_own() -> None:
    assert World(size="1Gi").ready().condition("SourceReady") == ("", "")


@pytest.mark.parametrize("uri", MALFORMED)
def test_a_malformed_source_uri_changes_nothing_once_the_weights_are_there(uri: str) -> None:
    """(ART-SRC-1)"""
    world = taken_over("2026-01-01T00:00:10Z")
    world.artifact["spec"]["sourceUri"] = uri
    world.turn()
    assert (world.word, world.written, world.changed_status) == ("Ready", ["update PersistentVolumeClaim"], set())
    claim = world.child("cache")
    assert claim is not None
    assert json.loads(claim["metadata"]["annotations"][DOWNLOAD_COMPLETE_ANNOTATION])["source"] == uri
    world.turn()
    assert (world.word, world.written, world.condition("SourceReady")) == ("Ready", [], ("", ""))


def test_a_download_that_already_runs_may_end_whatever_its_source_uri() -> None:
    """(ART-SRC-1) Another image than ours may know more forms."""
    world = World(size="1Gi").downloading()
    world.artifact["spec"]["sourceUri"] = "hf://acme/tiny/extra"
    world.turn()
    assert (world.word, world.condition("SourceReady")) == ("Progressing", ("", ""))
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    world.turn()
    assert world.word == "Ready"


def test_a_download_that_failed_is_not_repeated_with_a_malformed_source_uri() -> None:
    world = World(size="1Gi").downloading()
    world.artifact["spec"]["sourceUri"] = "hf://acme/tiny/extra"
    world.pod("Failed", exit_code=26)
    world.finish("Failed")
    world.turn()
    assert (world.written, world.condition("SourceReady")) == ([], ("False", "InvalidSource"))


def test_an_owned_artifact_is_dedicated() -> None:
    world = World(size="1Gi")
    world.artifact["metadata"]["ownerReferences"] = [{"uid": "x", "kind": "AIMTemplateCache", "name": "c"}]
    world.turn()
    assert world.artifact["status"]["mode"] == "Dedicated"


steps = st.sampled_from(
    [
        "turn",
        "run",
        "fail",
        "succeed",
        "complete",
        "give up",
        "ttl",
        "drop claim",
        "lose",
        "terminate",
        "progress",
        "wait",
    ]
)


@given(st.lists(steps, max_size=25), st.sampled_from(["1Gi", "", "0"]))
def test_whatever_happens_the_plan_is_total_and_ready_means_complete(events: list[str], size: str) -> None:
    world = World(size=size)
    for event in events:
        happen(world, event)
        world.turn(1 if event != "wait" else 700)
        assert world.word in WORDS
        claim = world.child("cache")
        if world.word == "Ready":
            assert claim is not None
            assert DOWNLOAD_COMPLETE_ANNOTATION in claim["metadata"].get("annotations", {})
        assert len([1 for item in world.plan.desired if item.kind.name == "Job"]) <= 1


def happen(world: World, event: str) -> None:
    job, claim = world.child("download") or world.child("check-size"), world.child("cache")
    part = "download" if world.child("download") is not None else "check-size"
    if event == "drop claim":
        world.children.pop("weights-cache-9179ba0d", None)
    elif event == "progress" and world.artifact.get("status"):
        world.progress(100)
    elif event in ("lose", "terminate") and claim is not None:
        claim["status"]["phase"] = "Lost" if event == "lose" else "Bound"
        claim["metadata"] |= {"deletionTimestamp": timestamp(world.now)} if event == "terminate" else {}
    if job is None:
        return
    if event in ("run", "fail", "succeed"):
        world.pod({"run": "Running", "fail": "Failed", "succeed": "Succeeded"}[event], part=part, exit_code=21)
        world.logs[world.pods[-1]["metadata"]["name"]] = '{"sizeBytes": 1073741824}'
    elif event == "complete":
        world.finish("Complete", part=part)
    elif event == "give up":
        world.finish("Failed", part=part)
    elif event == "ttl":
        world.children.pop(job["metadata"]["name"], None)


@pytest.mark.parametrize("size", ["1Gi", ""])
def test_an_image_that_is_not_listed_is_refused_before_anything_is_created(size: str) -> None:
    """Prove ART-JOB-9: of those that are, and of the operator's own, nothing is said."""
    world = World(size=size, modelDownloadImage="evil.example/tools/x:1")
    world.settings = replace(world.settings, allowed_download_images=("registry.example/tools/*",))
    world.turn()
    assert (world.written, world.plan.desired, world.word) == ([], (), "Failed")
    assert world.condition("DownloadJobReady") == ("False", "ReferenceNotAllowed")
    for image in ("registry.example/tools/x:1", "aimd:test", ""):
        world.artifact["spec"]["modelDownloadImage"] = image
        assert world.settings.may_download(image or world.settings.downloader_image)
    world.turn()
    assert world.written
