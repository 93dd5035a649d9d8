"""Gauges of discovery jobs and the slots that limit how many run at the same time."""

from aimd.metrics.fleet import Fleet
from aimd.metrics.gauges import Gauge, Series


def _jobs(fleet: Fleet) -> Series:
    yield (), fleet.slots.running


def _slots(fleet: Fleet) -> Series:
    yield (), fleet.slots.total


def _waiting(fleet: Fleet) -> Series:
    yield (), fleet.slots.waiting


GAUGES = (
    Gauge("aimd_discovery_jobs", "Running discovery jobs.", (), _jobs),
    Gauge("aimd_discovery_slots", "Maximum number of discovery jobs that run at the same time.", (), _slots),
    Gauge("aimd_discovery_waiting", "Templates that wait for a discovery slot.", (), _waiting),
)
