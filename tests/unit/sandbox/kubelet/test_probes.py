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
    assert not verdict.take(True, 0)
    assert verdict.healthy is None
    assert verdict.take(True, 1)
    assert verdict.healthy is True
    assert not verdict.take(False, 10)
    assert not verdict.take(False, 12)
    assert verdict.take(False, 20)
    assert verdict.healthy is False
    assert not verdict.take(True, 30)
    assert not verdict.take(False, 40)
    assert not verdict.take(True, 50)
    assert verdict.take(True, 60)
