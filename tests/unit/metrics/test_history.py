"""How long starts and downloads took."""

from aimd.planning.kinds import AIM_SERVICE
from tests.unit.metrics.fleet import TEAM, FleetWorld


def test_a_start_is_timed_once(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_service_time_to_running_seconds_sum", namespace="ml-team", cache="cold") == 90
    phases = {
        phase: fleet.value("aimd_service_phase_seconds_sum", phase=phase)
        for phase in ("resolve", "cache", "start", "route")
    }
    assert phases == {"resolve": 1, "cache": 60, "start": 29, "route": 0}
    fleet.service("Degraded")
    fleet.service("Running")
    assert fleet.value("aimd_service_time_to_running_seconds_count", namespace="ml-team", cache="cold") == 1


def test_an_edit_begins_a_start_that_ends_when_it_is_reconciled(fleet: FleetWorld) -> None:
    fleet.seconds = 1000
    fleet.service("Running", generation=2, observed=1)
    assert fleet.value("aimd_service_time_to_running_seconds_count", namespace="ml-team", cache="cold") == 1
    fleet.seconds = 1030
    fleet.service("Running", generation=2)
    assert fleet.value("aimd_service_time_to_running_seconds_sum", namespace="ml-team", cache="warm") == 30


def test_a_service_that_existed_before_is_not_timed() -> None:
    fleet = FleetWorld()
    fleet.put(AIM_SERVICE, "old", initial=True, status={"status": "Running", "observedGeneration": 1})
    fleet.put(AIM_SERVICE, "old", status={"status": "Running", "observedGeneration": 1})
    assert fleet.value("aimd_service_time_to_running_seconds_count", namespace="ml-team", cache="cold") is None


def test_downloads_have_a_rate_and_a_duration(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_artifact_download_rate_bytes", **TEAM, name="moving", scheme="hf") == 100
    assert fleet.value("aimd_artifact_download_seconds_sum", scheme="s3", protocol="other", result="Failed") == 10


def test_a_download_that_went_silent_has_no_rate(fleet: FleetWorld) -> None:
    labels = {"namespace": "ml-team", "name": "moving", "scheme": "hf"}
    fleet.seconds += 60
    assert fleet.value("aimd_artifact_download_rate_bytes", **labels) == 100
    fleet.seconds += 1
    assert fleet.value("aimd_artifact_download_rate_bytes", **labels) == 0
