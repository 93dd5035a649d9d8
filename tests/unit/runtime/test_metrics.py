"""Dashboards made for controller-runtime find every name, label and bucket they expect."""

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from aimd.runtime.metrics import ClientMetrics, Gated, ManagerMetrics, QueueMetrics, ReconcileMetrics
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
    "rest_client_request_retries": ("counter", {"code", "verb", "host"}),
    "rest_client_request_duration_seconds": ("histogram", {"verb", "host"}),
    "aimd_api_writes": ("counter", {"kind", "verb", "reason"}),
    "aimd_apply": ("counter", {"kind", "result"}),
    "aimd_status_write": ("counter", {"kind", "result"}),
    "aimd_events": ("counter", {"kind", "type", "reason", "emitted"}),
    "leader_election_master_status": ("gauge", {"name"}),
    "leader_election_slowpath": ("counter", {"name"}),
    "aimd_informer_synced": ("gauge", {"kind"}),
    "aimd_informer_objects": ("gauge", {"kind"}),
    "aimd_informer_silence_seconds": ("gauge", {"kind"}),
    "aimd_informer_restarts": ("counter", {"kind", "cause"}),
    "aimd_gc_pause_seconds": ("histogram", {"generation"}),
    "aimd_event_loop_lag_seconds": ("gauge", set()),
}


def test_names_types_labels_and_buckets() -> None:
    client = ClientMetrics("aimd")
    client.count("200", "GET", "host", 0.01)
    client.retries.labels("503", "GET", "host").inc()
    client.writes.labels("Pod", "apply", "why").inc()
    client.count_apply("Pod", "created")
    client.count_status_write("Pod", "written")
    client.count_event("Pod", "Warning", "why", "yes")
    metrics = ManagerMetrics("aimd", client.collectors)
    ReconcileMetrics(metrics, "c", 3)
    queue: WorkQueue[str] = WorkQueue(metrics=QueueMetrics(metrics, "c"))
    queue.add("key")
    queue.take()
    metrics.leader.labels("lease").set(0)
    metrics.leader_slowpath.labels("lease").inc()
    for gauge in (metrics.informer_synced, metrics.informer_objects, metrics.informer_silence):
        gauge.labels("Pod").set(1)
    metrics.informer_restarts.labels("Pod", "expired").inc()
    metrics.gc_pauses.labels("2").observe(0.01)
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


def test_a_gated_collector_is_exposed_while_the_condition_holds() -> None:
    leads = False
    registry = CollectorRegistry()
    gauge = Gauge("one", "One.", registry=None)
    registry.register(Gated(gauge, lambda: leads))
    assert registry.get_sample_value("one") is None
    leads = True
    assert registry.get_sample_value("one") == 0
