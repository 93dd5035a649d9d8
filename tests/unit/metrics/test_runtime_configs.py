"""Users of runtime configs."""

from aimd.planning.kinds import (
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
)
from tests.unit.metrics.fleet import FleetWorld


def test_users_of_runtime_configs_are_counted() -> None:
    fleet = FleetWorld()
    fleet.put(AIM_RUNTIME_CONFIG, "default", spec={})
    fleet.put(AIM_CLUSTER_RUNTIME_CONFIG, "default", spec={})
    fleet.put(AIM_CLUSTER_RUNTIME_CONFIG, "unused", spec={})
    api = AIM_SERVICE.api_version
    team = {"kind": f"{api}/AIMRuntimeConfig", "name": "default", "namespace": "ml-team", "scope": "Namespace"}
    cluster = {"kind": f"{api}/AIMClusterRuntimeConfig", "name": "default", "scope": "Cluster"}
    for kind, name, reference in (
        (AIM_SERVICE, "a", team),
        (AIM_SERVICE, "b", team),
        (AIM_SERVICE_TEMPLATE, "t", team),
        (AIM_CLUSTER_SERVICE_TEMPLATE, "t", cluster),
        (AIM_SERVICE, "without", None),
    ):
        fleet.put(kind, name, status={"resolvedRuntimeConfig": reference})

    def users(kind: str, namespace: str, name: str) -> float | None:
        return fleet.value("aimd_runtime_config_users", kind=kind, namespace=namespace, name=name)

    assert users("AIMRuntimeConfig", "ml-team", "default") == 3
    assert users("AIMClusterRuntimeConfig", "", "default") == 1
    assert users("AIMClusterRuntimeConfig", "", "unused") == 0
