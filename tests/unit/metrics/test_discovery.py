"""Discovery jobs and their slots."""

from aimd.planning.kinds import AIM_SERVICE_TEMPLATE
from aimd.planning.needs import DiscoverySlot
from aimd.runtime.objects import Key
from tests.unit.metrics.fleet import FleetWorld


def test_running_jobs_and_slots(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_discovery_jobs") == 1
    assert fleet.value("aimd_discovery_slots") == 10


def test_a_template_counts_as_waiting_while_it_polls(fleet: FleetWorld) -> None:
    needs = [DiscoverySlot(AIM_SERVICE_TEMPLATE, Key("ml-team", f"t{number}")) for number in range(12)]
    assert sum(fleet.slots.grant(need) for need in needs) == 4
    assert fleet.value("aimd_discovery_waiting") == 8
    fleet.seconds += 60
    assert fleet.value("aimd_discovery_waiting") == 0
