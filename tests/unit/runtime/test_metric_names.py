"""Dashboards made for controller-runtime find every name, label and bucket they expect."""

from prometheus_client.parser import text_string_to_metric_families

from aimd.runtime.metrics import ClientMetrics, ManagerMetrics, QueueMetrics, ReconcileMetrics
from aimd.runtime.workqueue import WorkQueue

BY_CONTROLLER = {"controller"}
BY_QUEUE = {"name", "controller"}
EXPECTED = {
    "controller_runtime_reconcile": ("counter", {"controller", "result"}),
    "controller_runtime_reconcile_errors": ("counter", BY_CONTROLLER),
    "controller_runtime_terminal_reconcile_errors": ("counter", BY_CONTROLLER),
    "controller_runtime_reconcile_panics": ("counter", BY_CONTROLLER),
    "controller_runtime_reconcile_timeouts": ("counter", BY_CONTROLLER),
    "controller_runtime_max_concurrent_reconciles": ("gauge", BY_CONTROLLER),
    "controller_runtime_active_workers": ("gauge", BY_CONTROLLER),
    "controller_runtime_reconcile_time_seconds": ("histogram", BY_CONTROLLER),
    "workqueue_depth": ("gauge", BY_QUEUE | {"priority"}),
    "workqueue_adds": ("counter", BY_QUEUE),
    "workqueue_retries": ("counter", BY_QUEUE),
    "workqueue_queue_duration_seconds": ("histogram", BY_QUEUE),
    "workqueue_work_duration_seconds": ("histogram", BY_QUEUE),
    "workqueue_unfinished_work_seconds": ("gauge", BY_QUEUE),
    "workqueue_longest_running_processor_seconds": ("gauge", BY_QUEUE),
    "rest_client_requests": ("counter", {"code", "method", "host"}),
    "aimd_api_writes": ("counter", {"kind", "verb", "reason"}),
    "leader_election_master_status": ("gauge", {"name"}),
}


def test_names_types_labels_and_buckets() -> None:
    client = ClientMetrics("aimd")
    client.requests.labels("200", "GET", "host").inc()
    client.writes.labels("Pod", "apply", "why").inc()
    metrics = ManagerMetrics("aimd", client.collectors)
    ReconcileMetrics(metrics, "c", 3)
    queue: WorkQueue[str] = WorkQueue(metrics=QueueMetrics(metrics, "c"))
    queue.add("key")
    queue.take()
    metrics.leader.labels("lease").set(0)
    found = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    for name, (kind, labels) in EXPECTED.items():
        family = found[name]
        assert family.type == kind, name
        assert {label for sample in family.samples for label in sample.labels} - {"le"} == labels, name
    results = {sample.labels["result"]: sample.value for sample in found["controller_runtime_reconcile"].samples}
    assert results == {"success": 0, "error": 0, "requeue": 0, "requeue_after": 0}
    assert not any(name.endswith("_created") for name in found)

    def buckets(name: str) -> list[str]:
        return [sample.labels["le"] for sample in found[name].samples if "le" in sample.labels]

    assert len(buckets("controller_runtime_reconcile_time_seconds")) == 41
    assert buckets("workqueue_work_duration_seconds")[0] == "1e-08"
    assert len(buckets("workqueue_work_duration_seconds")) == 13
