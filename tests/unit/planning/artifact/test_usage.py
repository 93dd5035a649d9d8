"""Whether services use the weights of an artifact."""

from aimd.planning.time import timestamp
from tests.unit.planning.artifact.world import World


def test_use_is_noted_when_it_starts_and_stops_and_at_no_other_time() -> None:
    """Prove ART-USE-1."""
    world = World(size="1Gi").ready()
    assert "lastUsed" not in world.artifact["status"]
    seen = []
    for users in ((), ("chat",), ("chat",), ("chat", "other"), (), (), ("chat",)):
        world.users = users
        world.turn(60)
        seen.append(("lastUsed" in world.changed_status, world.condition("InUse")[0]))
        assert world.word == "Ready"
    assert seen == [
        (False, ""),
        (True, "True"),
        (False, "True"),
        (False, "True"),
        (True, "False"),
        (False, "False"),
        (True, "True"),
    ]
    assert world.artifact["status"]["lastUsed"] == timestamp(world.now)
