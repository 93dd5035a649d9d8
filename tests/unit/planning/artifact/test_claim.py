"""The claim of an artifact: created, expanded, refused."""

from datetime import timedelta

import pytest

from aimd.planning.artifact.needs import objects_to_explain
from aimd.planning.artifact.plan import plan_artifact
from aimd.planning.time import timestamp
from tests.unit.planning.artifact.world import GIB, World, fail_for_space, grow, taken_over


def test_a_claim_being_deleted_is_waited_for() -> None:
    """Prove ART-CLM-5."""
    world = World(size="1Gi").downloading()
    claim = world.child("cache")
    assert claim is not None
    claim["metadata"]["deletionTimestamp"] = timestamp(world.now)
    world.turn()
    assert world.condition("CachePvcReady") == ("False", "PvcTerminating")
    assert world.written == ["delete stale"]
    world.turn()
    assert world.written == []
    del world.children["weights-cache-9179ba0d"]
    world.turn()
    assert world.written == ["create PersistentVolumeClaim"]


def test_storage_comes_from_artifact_then_config() -> None:
    """Prove ART-CLM-2."""
    config = {"storage": {"defaultStorageClassName": "nfs", "pvcHeadroomPercent": 0}}
    for spec, expected in (({}, "nfs"), ({"storageClassName": "fast"}, "fast")):
        world = World(size="10Gi", config=config, **spec)
        world.turn()
        claim = world.child("cache")
        assert claim is not None
        assert claim["spec"]["storageClassName"] == expected
        assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"


@pytest.mark.parametrize(
    ("phase", "event", "word", "reason"),
    [
        ("Pending", None, "Progressing", "PvcPending"),
        ("Pending", "ProvisioningFailed", "Degraded", "PvcProvisioningFailed"),
        ("Lost", None, "Degraded", "PvcLost"),
    ],
)
def test_trouble_with_the_volume(phase: str, event: str | None, word: str, reason: str) -> None:
    """Prove ART-CLM-5."""
    world = World(size="1Gi")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    claim["status"]["phase"] = phase
    if event is not None:
        assert objects_to_explain(world.observe(), world.now + timedelta(seconds=3)) == (claim,)
        world.events = [
            {"reason": event, "message": "no such class", "involvedObject": {"uid": claim["metadata"]["uid"]}}
        ]
    world.turn()
    assert (world.word, world.condition("CachePvcReady")[1]) == (word, reason)
    # WaitForFirstConsumer: the pod has to exist before the claim is bound.
    assert (world.child("download") is not None) is (phase == "Pending")


@pytest.mark.parametrize("reason", ["ProvisioningFailed", "FailedBinding"])
def test_what_the_provisioner_says_is_in_the_condition(reason: str) -> None:
    """Prove ART-CLM-6."""
    world = World(size="1Gi")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    claim["status"] = {"phase": "Pending"}
    text = "ReadWriteMany is not supported"
    world.events = [{"reason": reason, "message": text, "involvedObject": {"uid": claim["metadata"]["uid"]}}]
    world.turn()
    (shown,) = [c for c in world.artifact["status"]["conditions"] if c["type"] == "CachePvcReady"]
    assert (shown["reason"], shown["message"]) == ("PvcProvisioningFailed", f"{reason}: {text}")


def test_a_volume_that_turned_out_too_small_grows_and_the_download_goes_on() -> None:
    """Prove ART-CLM-3."""
    world = World(size="1Gi")
    world.storage_class = {"allowVolumeExpansion": True}
    world.downloading()
    fail_for_space(world, 5 * GIB)
    world.turn()
    assert world.written == ["resize 6Gi"]
    assert (world.word, world.condition("DownloadJobPodsReady")) == ("Failed", ("False", "StorageFull"))
    assert world.condition("CachePvcReady") == ("False", "PvcExpanding")
    world.turn()
    assert world.written == []
    grow(world)
    world.turn()
    assert world.written == ["delete inputs-changed"]
    world.turn()
    assert "create Job" in world.written
    assert world.artifact["status"]["allocatedSize"] == "6Gi"
    assert world.condition("CachePvcReady") == ("True", "Ready")
    world.pod("Running")
    world.turn()
    assert world.word == "Progressing"


@pytest.mark.parametrize("size", [5 * GIB, 0, -1, 2**60, True])
def test_a_volume_that_may_not_grow_stays_and_the_failure_waits(size: int) -> None:
    """Prove ART-CLM-3."""
    world = World(size="1Gi")
    world.storage_class = {"allowVolumeExpansion": size != 5 * GIB}
    world.downloading()
    fail_for_space(world, size)
    for _ in range(3):
        world.turn()
        assert (world.word, world.written) == ("Failed", [])
        assert world.condition("Ready") == ("False", "StorageFull")
    assert world.plan.requeue_after == pytest.approx(597, abs=3)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_larger_size_in_the_spec(allowed: bool) -> None:
    world = World(size="1Gi")
    world.storage_class = {"allowVolumeExpansion": allowed}
    world.turn()
    world.artifact["spec"]["size"] = "10Gi"
    world.turn()
    assert world.child("download") is None
    if not allowed:
        assert (world.word, world.condition("Ready")) == ("Failed", ("False", "ClaimTooSmall"))
        return
    assert world.written == ["resize 11Gi"]
    world.turn()
    assert (world.written, world.condition("CachePvcReady")) == ([], ("False", "PvcExpanding"))
    claim = world.child("cache")
    assert claim is not None
    claim["status"]["conditions"] = [{"type": "FileSystemResizePending", "status": "True"}]
    assert objects_to_explain(world.observe(), world.now + timedelta(seconds=3)) == (claim,)
    world.turn()
    assert "create Job" in world.written


def test_a_size_raised_after_completion_changes_nothing() -> None:
    world = World(size="1Gi").ready()
    world.storage_class = {"allowVolumeExpansion": True}
    world.artifact["spec"]["size"] = "10Gi"
    world.turn()
    assert (world.word, world.written) == ("Ready", [])


def test_another_headroom_in_force_does_not_touch_a_claim() -> None:
    """Prove ART-CLM-4."""
    config = {"storage": {"pvcHeadroomPercent": 10}}
    world = World(size="10Gi", config=config)
    world.storage_class = {"allowVolumeExpansion": True}
    world.downloading()
    config["storage"]["pvcHeadroomPercent"] = 90
    world.turn()
    assert world.written == []


def test_the_claim_names_its_source() -> None:
    for uri, label in (
        ("hf://Qwen/Qwen3-32B", "qwen_qwen3-32b"),
        ("hf://Qwen/Qwen3-32B@v1", "qwen_qwen3-32b_v1"),
        ("s3://my-bucket/weights/", "my-bucket_weights"),
    ):
        world = World(sourceUri=uri, size="1Gi")
        world.turn()
        claim = world.child("cache")
        assert claim is not None
        assert claim["metadata"]["labels"]["aim.eai.amd.com/source-model"] == label


def test_labels_of_a_live_claim_stay() -> None:
    """Prove ART-CLM-6."""
    world = taken_over("2026-01-01T00:00:10Z")
    plan = plan_artifact(world.observe(), world.now)
    (desired,) = plan.desired
    assert desired.manifest["metadata"]["labels"] == {"aim.eai.amd.com/template.index": "0"}
