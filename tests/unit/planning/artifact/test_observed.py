"""Whether an artifact is complete."""

import pytest

from aimd.planning.labels import CLAIM_UID_ANNOTATION
from tests.unit.planning.artifact.world import World, taken_over


def test_ready_outlives_its_job() -> None:
    """Prove ART-DWN-1."""
    world = World(size="1Gi").ready()
    conditions = world.artifact["status"]["conditions"]
    del world.children["weights-download-9179ba0d"]
    world.turn()
    assert (world.word, world.written) == ("Ready", [])
    assert world.artifact["status"]["conditions"] == conditions


@pytest.mark.parametrize("with_job", [True, False])
def test_a_lost_claim_is_downloaded_anew(with_job: bool) -> None:
    """Prove ART-DWN-1."""
    world = World(size="1Gi").ready()
    del world.children["weights-cache-9179ba0d"]
    if not with_job:
        del world.children["weights-download-9179ba0d"]
    world.turn()
    assert world.word == "Progressing"
    assert ("delete stale" in world.written) is with_job
    world.turn()
    job = world.child("download")
    claim = world.child("cache")
    assert job is not None
    assert claim is not None
    assert job["metadata"]["annotations"][CLAIM_UID_ANNOTATION] == claim["metadata"]["uid"]
    assert world.artifact["status"]["progress"]["percentage"] == 0
    world.pod("Running")
    world.turn()
    assert (world.word, world.condition("DownloadComplete")) == ("Progressing", ("False", "Downloading"))


def test_a_ready_artifact_of_the_reference_is_believed() -> None:
    """Prove ART-DWN-3."""
    world = taken_over("2026-01-01T00:00:10Z")
    world.turn()
    assert (world.word, world.written, world.changed_status) == ("Ready", ["update PersistentVolumeClaim"], set())
    assert world.child("download") is None
    world.turn()
    assert world.written == []


def test_a_claim_younger_than_readiness_is_not() -> None:
    """Prove ART-DWN-3."""
    world = taken_over("2026-01-01T00:00:40Z")
    world.turn()
    assert "create Job" in world.written
