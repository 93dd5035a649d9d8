"""The size of an artifact: given, or determined by a Job."""

import pytest

from aimd.planning.artifact.needs import pods_to_read
from tests.unit.planning.artifact.world import World


def test_the_size_is_asked_for_when_nobody_gives_it() -> None:
    """Prove ART-SIZ-1."""
    world = World()
    world.turn()
    assert world.written == ["create Job"]
    assert world.condition("CheckSizeJobReady") == ("False", "ResourceNotReady")
    world.pod("Running", part="check-size")
    world.turn()
    assert world.condition("CheckSizeJobReady") == ("False", "JobRunning")
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete", part="check-size")
    assert [pod["metadata"]["name"] for pod in pods_to_read(world.observe())] == ["pod-0"]
    world.turn()
    assert world.condition("CheckSizeOutputReady") == ("False", "SizeUnavailable")
    world.logs["pod-0"] = 'some noise\n{"url": "hf://Qwen/Qwen3-32B", "sizeBytes": 9094593249}'
    world.turn()
    assert world.written == ["create PersistentVolumeClaim"]
    assert world.artifact["status"]["discoveredSizeBytes"] == 9094593249
    assert world.condition("CheckSizeJobReady") == ("", "")
    claim = world.child("cache")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    assert pods_to_read(world.observe()) == ()
    world.turn()
    assert "discoveredSizeBytes" not in world.changed_status


@pytest.mark.parametrize(
    "line", ["oops", "{}", '{"sizeBytes": 0}', '{"sizeBytes": "5"}', f'{{"sizeBytes": {2**50 + 1}}}']
)
def test_a_size_must_be_a_size(line: str) -> None:
    """Prove ART-SIZ-2."""
    world = World()
    world.turn()
    world.pod("Succeeded", part="check-size")
    world.finish("Complete", part="check-size")
    world.logs["pod-0"] = line
    world.turn()
    assert world.condition("CheckSizeOutputReady") == ("False", "InvalidSizeOutput")


def test_a_size_check_that_failed_is_repeated() -> None:
    """Prove ART-SIZ-3."""
    world = World()
    world.turn()
    world.pod("Failed", part="check-size", exit_code=21)
    world.turn()
    assert (world.word, world.condition("CheckSizeJobPodsReady")) == ("Progressing", ("False", "CheckSizeRetrying"))
    world.finish("Failed", part="check-size", reason="PodFailurePolicy")
    world.turn()
    assert (world.word, world.condition("Ready")) == ("Failed", ("False", "InvalidSpec"))
    assert world.condition("CheckSizeJobPodsReady") == ("False", "SourceNotFound")
    world.turn(301)
    assert world.written == ["delete retry"]
