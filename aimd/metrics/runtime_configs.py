"""The gauge of runtime configs: how many objects use each."""

from collections import Counter

from aimd.metrics.figures import config_in_effect
from aimd.metrics.fleet import Fleet
from aimd.metrics.gauges import Gauge, Series
from aimd.metrics.statuses import KINDS
from aimd.planning.kinds import AIM_CLUSTER_RUNTIME_CONFIG, AIM_RUNTIME_CONFIG
from aimd.runtime.objects import key_of


def _users(fleet: Fleet) -> Series:
    """Yield the users of every runtime config that exists, 0 for one without any."""
    used = Counter(user for kind in KINDS for item in fleet.objects(kind) if (user := config_in_effect(item)))
    for kind in (AIM_RUNTIME_CONFIG, AIM_CLUSTER_RUNTIME_CONFIG):
        for config in fleet.objects(kind):
            labels = (kind.name, key_of(config).namespace, key_of(config).name)
            yield labels, used[labels]


GAUGES = (
    Gauge(
        "aimd_runtime_config_users",
        "Objects whose status refers to the runtime config.",
        ("kind", "namespace", "name"),
        _users,
    ),
)
