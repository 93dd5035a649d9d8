"""What the cluster provides: APIs and GPUs."""

from aimd.planning.kinds import SCALED_OBJECT
from aimd.runtime.kinds import NODE
from tests.unit.metrics.fleet import FleetWorld


def test_apis_that_aimd_may_not_use_have_no_capability(fleet: FleetWorld) -> None:
    """Prove OPS-RGT-1."""
    fleet.cache[NODE].available = False
    fleet.cache[SCALED_OBJECT].available = False
    assert fleet.samples("aimd_capability", "api") == {
        "kserve": 1,
        "gateway": 1,
        "hpa": 1,
        "keda": 0,
        "nodes": 0,
        "cluster-kinds": 1,
    }


def test_gpus_of_the_nodes(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_gpu_allocatable", model="MI300X", resource="amd.com/gpu") == 8
    assert fleet.value("aimd_gpu_nodes", model="MI300X") == 1
    assert len(fleet.scrape()["aimd_gpu_allocatable"].samples) == 1


def test_gpus_whose_labels_name_no_model_are_counted_as_unknown(fleet: FleetWorld) -> None:
    labels = {"amd.com/gpu.family": "AI"}
    fleet.put(NODE, "gpu-1", metadata={"labels": labels}, status={"allocatable": {"amd.com/gpu": "4"}})
    assert fleet.value("aimd_gpu_nodes", model="unknown") == 1


def test_nodes_with_the_same_gpus_count_together(fleet: FleetWorld) -> None:
    labels = {"amd.com/gpu.device-id": "74a1"}
    status = {"allocatable": {"amd.com/gpu": "4", "amd.com/gpu-memory": "many"}}
    fleet.put(NODE, "gpu-1", metadata={"labels": labels}, status=status)
    fleet.put(NODE, "cpu-0", status={"allocatable": {"amd.com/gpu": "9"}})
    assert fleet.value("aimd_gpu_nodes", model="MI300X") == 2
    assert fleet.samples("aimd_gpu_allocatable", "resource") == {"amd.com/gpu": 12, "amd.com/gpu-memory": 0}
