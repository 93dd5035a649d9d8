"""What is read live about an artifact."""

import pytest

from aimd.planning.artifact.needs import artifact_needs, objects_to_explain, references_to_read, with_reads
from aimd.planning.artifact.observed import References
from aimd.planning.needs import MOST_LIVE_READS, NO_READS, ReadReference
from tests.unit.planning.artifact.world import World


@pytest.mark.parametrize("part", ["download", "check-size"])
def test_a_missing_secret_is_named_and_no_job_is_made(part: str) -> None:
    """Prove ART-DWN-6."""
    secret = {"valueFrom": {"secretKeyRef": {"name": "huggingface", "key": "token"}}}
    world = World(size="1Gi" if part == "download" else "", env=[{"name": "HF_TOKEN", **secret}])
    world.bind = True
    if part == "download":
        world.turn()
    assert references_to_read(world.observe()) == (("Secret", "huggingface", "token"),)
    world.references = References(("Secret huggingface",))
    world.turn()
    assert world.child(part) is None
    assert (world.word, world.condition("ConfigValid")) == ("Failed", ("False", "ReferenceNotFound"))
    assert world.plan.requeue_after == 60
    world.references = References()
    world.turn(60)
    assert world.child(part) is not None
    assert references_to_read(world.observe()) == ()


@pytest.mark.parametrize(("part", "type_"), [("download", "DownloadJobReady"), ("check-size", "CheckSizeJobReady")])
def test_too_many_references_are_not_looked_up(part: str, type_: str) -> None:
    """Prove OBJ-BND-3."""
    names = [f"s{n}" for n in range(MOST_LIVE_READS + 1)]
    env = [{"name": f"E{n}", "valueFrom": {"secretKeyRef": {"name": s, "key": "k"}}} for n, s in enumerate(names)]
    world = World(size="1Gi" if part == "download" else "", env=env)
    world.bind = True
    if part == "download":
        world.turn()
    observed = world.observe()
    assert not [need for need in artifact_needs(observed, world.now) if isinstance(need, ReadReference)]
    world.references = with_reads(observed, NO_READS).references
    assert world.references == References(too_many=33)
    world.turn()
    assert world.child(part) is None
    assert world.condition(type_) == ("False", "SpecTooLarge")
    few = World(size="1Gi", env=env[:MOST_LIVE_READS])
    few.bind = True
    few.turn()
    assert len(artifact_needs(few.observe(), few.now)) == MOST_LIVE_READS


def test_nobody_asks_about_what_has_only_just_been_made() -> None:
    world = World(size="1Gi")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    claim["status"]["phase"] = "Pending"
    world.turn(seconds=1)
    assert objects_to_explain(world.observe(), world.now) == ()
    assert world.plan.requeue_after == 2.0
    world.turn(seconds=5)
    assert objects_to_explain(world.observe(), world.now) == (claim, world.child("download"))
    assert world.plan.requeue_after == 10.0
