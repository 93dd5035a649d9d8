"""Requests to registries are counted, and the number of series is bounded."""

from prometheus_client import CollectorRegistry

from aimd.metrics.registries import RegistryMetrics


def test_requests_are_counted_by_registry_and_those_after_fifty_together() -> None:
    """Prove OPS-MET-2."""
    metrics, registry = RegistryMetrics(), CollectorRegistry()
    for collector in metrics.collectors:
        registry.register(collector)
    for index in range(200):
        metrics.observe(f"r{index}.io", "manifest", "200", 0.2)
    metrics.observe("r0.io", "manifest", "<error>", 30.0)

    def count(name: str, code: str) -> float | None:
        labels = {"registry": name, "operation": "manifest", "code": code}
        return registry.get_sample_value("aimd_registry_requests_total", labels)

    assert (count("r0.io", "200"), count("r0.io", "<error>"), count("r60.io", "200")) == (1, 1, None)
    assert count("others", "200") == 150
    labels = {"registry": "others", "operation": "manifest", "code": "200"}
    assert registry.get_sample_value("aimd_registry_request_seconds_count", labels) == 150
