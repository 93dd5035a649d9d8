"""Model sources: images, and when the registry is listed."""

from datetime import timedelta

from aimd.planning.kinds import AIM_CLUSTER_MODEL_SOURCE
from aimd.planning.model_source.plan import ImageCounts
from aimd.runtime.objects import Key
from tests.unit.metrics.fleet import START, FleetWorld


def test_images_of_a_source_by_state(fleet: FleetWorld) -> None:
    fleet.image_counts[Key("", "catalog")] = ImageCounts(seen=9, over_limit=2)
    assert fleet.samples("aimd_model_source_images", "state") == {
        "seen": 9,
        "matched": 5,
        "created": 3,
        "over_limit": 2,
    }


def test_listings_have_times(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_model_source_next_sync_timestamp_seconds", name="catalog") == START.timestamp() + 3600
    assert fleet.value("aimd_model_source_last_success_timestamp_seconds", name="catalog") == START.timestamp()
    assert fleet.value("aimd_model_source_interval_seconds", name="catalog") == 3600


def test_a_source_that_only_fails_had_its_last_success_before(fleet: FleetWorld) -> None:
    since = START - timedelta(hours=5)
    condition = {"type": "FiltersReady", "status": "False", "reason": "AllFiltersFailed"}
    status = {"lastSyncTime": START.isoformat(), "conditions": [{**condition, "lastTransitionTime": since.isoformat()}]}
    fleet.put(AIM_CLUSTER_MODEL_SOURCE, "catalog", spec={"syncInterval": "never"}, status=status)
    assert fleet.value("aimd_model_source_last_success_timestamp_seconds", name="catalog") == since.timestamp()
    due = fleet.value("aimd_model_source_next_sync_timestamp_seconds", name="catalog")
    assert due == START.timestamp() + 3600


def test_a_source_that_cannot_be_parsed_has_the_default_interval(fleet: FleetWorld) -> None:
    fleet.put(AIM_CLUSTER_MODEL_SOURCE, "catalog", spec={"filters": 3}, status={"lastSyncTime": START.isoformat()})
    assert fleet.value("aimd_model_source_interval_seconds", name="catalog") == 3600
