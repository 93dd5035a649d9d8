"""The status of every object."""

from aimd.planning.kinds import AIM_SERVICE
from tests.unit.metrics.fleet import START, TEAM, FleetWorld


def test_objects_are_counted_by_status_word(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_objects", kind="AIMArtifact", **TEAM, status="Failed") == 1
    assert fleet.value("aimd_objects", kind="AIMRuntimeConfig", **TEAM, status="Unknown") == 1


def test_every_status_word_of_a_kind_has_a_series(fleet: FleetWorld) -> None:
    fleet.put(AIM_SERVICE, "new")
    found = {
        (sample.labels["name"], sample.labels["status"]): sample.value
        for sample in fleet.scrape()["aimd_object_status"].samples
        if sample.labels["kind"] == AIM_SERVICE.name and sample.labels["name"] in ("chat", "new")
    }
    words = ("Pending", "Starting", "Running", "Degraded", "Failed")
    expected = {(name, word): float((name, word) == ("chat", "Running")) for name in ("chat", "new") for word in words}
    assert found == {**expected, ("new", "Unknown"): 1}


def test_conditions_are_numbers(fleet: FleetWorld) -> None:
    conditions = [
        {"type": "Ready", "status": "False", "reason": "CacheFailed"},
        {"type": "CacheReady", "status": "Unknown"},
        {"type": "", "status": "True"},
    ]
    fleet.put(AIM_SERVICE, "late", status={"conditions": conditions})
    value, late = fleet.value, {"kind": "AIMService", **TEAM, "name": "late"}
    assert value("aimd_object_condition", kind="AIMService", **TEAM, name="chat", type="Ready", reason="Fine") == 1
    assert value("aimd_object_condition", **late, type="Ready", reason="CacheFailed") == 0
    assert value("aimd_object_condition", **late, type="CacheReady", reason="") == -1
    assert value("aimd_object_condition", **late, type="", reason="") is None


def test_readiness_has_a_time_and_the_spec_a_lag(fleet: FleetWorld) -> None:
    fleet.seconds = 500
    fleet.service("Running", generation=4, observed=1)
    chat = {"kind": "AIMService", **TEAM, "name": "chat"}
    assert fleet.value("aimd_object_status_since_seconds", **chat) == START.timestamp() + 500
    assert fleet.value("aimd_object_generation_lag", **chat) == 3
