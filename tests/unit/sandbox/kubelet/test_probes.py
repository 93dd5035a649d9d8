"""Probes, and when their answers make a container healthy."""

from aimd.sandbox.kubelet.probes import Probe, Verdict, parse_probe


def test_probes_with_their_defaults() -> None:
    container = {
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": "http"}},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 9}, "periodSeconds": 5, "timeoutSeconds": 2},
        "startupProbe": {"exec": {"command": ["true"]}},
    }
    assert parse_probe(container, "readinessProbe") == Probe(port=8000)
    assert parse_probe(container, "livenessProbe") == Probe(port=9, http_path="/health", period=5, timeout=2)
    assert parse_probe(container, "startupProbe") is None


def test_a_verdict_needs_its_thresholds_and_failures_count_once_per_period() -> None:
    verdict = Verdict(Probe(period=10, failures=2, successes=2))
    assert not verdict.take(0, success=True)
    assert verdict.healthy is None
    assert verdict.take(1, success=True)
    assert verdict.healthy is True
    assert not verdict.take(10, success=False)
    assert not verdict.take(12, success=False)
    assert verdict.take(20, success=False)
    assert verdict.healthy is False
    assert not verdict.take(30, success=True)
    assert not verdict.take(40, success=False)
    assert not verdict.take(50, success=True)
    assert verdict.take(60, success=True)
