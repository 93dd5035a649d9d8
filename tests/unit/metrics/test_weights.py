"""Weights: artifacts and volumes."""

from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from tests.unit.metrics.fleet import TEAM, FleetWorld


def test_bytes_of_an_artifact(fleet: FleetWorld) -> None:
    moving = {**TEAM, "name": "moving", "scheme": "hf"}
    assert fleet.value("aimd_artifact_expected_bytes", **moving) == 5000
    assert fleet.value("aimd_artifact_downloaded_bytes", **moving) == 1010


def test_volumes(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_cache_volume", **TEAM, persistentvolumeclaim="weights") == 1
    assert fleet.value("aimd_cache_requested_bytes", **TEAM, storage_class="fast") == 10 * 2**30


def test_a_claim_without_a_size_counts_as_nothing(fleet: FleetWorld) -> None:
    fleet.put(PERSISTENT_VOLUME_CLAIM, "odd", spec={"resources": {"requests": {"storage": "much"}}})
    assert fleet.value("aimd_cache_requested_bytes", **TEAM, storage_class="") == 0
