"""What a container is given and how it is judged: environment, programs, probes."""

import sys
from typing import Any

import pytest

from aimd.runtime.objects import Kind, Manifest
from aimd.sandbox.kubelet.environment import ConfigurationError, expand, pod_field, resolve_environment
from aimd.sandbox.kubelet.probes import Probe, Verdict, parse_probe
from aimd.sandbox.kubelet.programs import (
    ContainerCommand,
    aimd_command_line,
    default_programs,
    image_command_line,
    model_command_line,
)

POD = {
    "metadata": {"name": "pod", "namespace": "team", "uid": "u1", "labels": {"app": "chat", "tier": "gpu"}},
    "spec": {"nodeName": "node-1", "serviceAccountName": "loader"},
}
OBJECTS = {
    ("Secret", "token"): {"kind": "Secret", "data": {"hf": "aGZfc2VjcmV0"}},
    ("ConfigMap", "settings"): {"kind": "ConfigMap", "data": {"COLOUR": "blue"}},
}


async def read(kind: Kind, name: str) -> Manifest | None:
    return OBJECTS.get((kind.name, name))


async def environment(**container: Any) -> dict[str, str]:
    return await resolve_environment(POD, container, read, "10.250.0.1")


async def test_environment_of_all_sources() -> None:
    found = await environment(
        envFrom=[{"configMapRef": {"name": "settings"}}, {"prefix": "S_", "secretRef": {"name": "token"}}],
        env=[
            {"name": "COLOUR", "value": "dark $(COLOUR)"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "hf"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "EMPTY"},
            {"name": "NOT_YET", "value": "$(LATER) $$(COLOUR)"},
            {"name": "LATER", "value": "x"},
        ],
    )
    assert found == {
        "COLOUR": "dark blue",
        "S_hf": "hf_secret",
        "TOKEN": "hf_secret",
        "IP": "10.250.0.1",
        "EMPTY": "",
        "NOT_YET": "$(LATER) $(COLOUR)",
        "LATER": "x",
    }


async def test_what_is_missing_is_named_unless_it_is_optional() -> None:
    def variable(**reference: Any) -> dict[str, Any]:
        return {"name": "A", "valueFrom": {"secretKeyRef": reference}}

    with pytest.raises(ConfigurationError, match='secret "none" not found'):
        await environment(env=[variable(name="none", key="x")])
    with pytest.raises(ConfigurationError, match="couldn't find key x in Secret token"):
        await environment(env=[variable(name="token", key="x")])
    with pytest.raises(ConfigurationError, match='configmap "none" not found'):
        await environment(envFrom=[{"configMapRef": {"name": "none"}}])
    with pytest.raises(ConfigurationError, match="does not know resourceFieldRef"):
        await environment(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}])
    optional = [variable(name="token", key="x", optional=True), variable(name="none", key="x", optional=True)]
    assert await environment(env=optional, envFrom=[{"secretRef": {"name": "none", "optional": True}}]) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "pod"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "chat"),
        ("metadata.annotations['none']", ""),
        ("metadata.labels", 'app="chat"\ntier="gpu"'),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "loader"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    assert pod_field(POD, path, "") == value


def test_an_unknown_field_of_the_pod() -> None:
    with pytest.raises(ConfigurationError, match=r"spec\.secret"):
        pod_field(POD, "spec.secret", "")


def test_references_expand_once() -> None:
    assert expand("$(A)-$(B)-$$(A)-$A", {"A": "$(B)"}) == "$(B)-$(B)-$(A)-$A"


AIMD = (sys.executable, "-P", "-m", "aimd")


@pytest.mark.parametrize(
    ("command", "arguments", "runs"),
    [
        (["aimd", "download"], ["hf://a/b"], (*AIMD, "download", "hf://a/b")),
        (["/check-size.sh"], ["hf://a/b"], (*AIMD, "check-size", "hf://a/b")),
        ([], ["hf://a/b"], (*AIMD, "download", "hf://a/b")),
        ([], ["run", "--leader-elect"], (*AIMD, "run", "--leader-elect")),
        (["sh", "-c"], ["true"], ("sh", "-c", "true")),
    ],
)
def test_the_aimd_image(command: list[str], arguments: list[str], runs: tuple[str, ...]) -> None:
    assert tuple(aimd_command_line(ContainerCommand(tuple(command), tuple(arguments)))) == runs


def test_the_model_image_listens_where_it_is_told() -> None:
    assert tuple(model_command_line(ContainerCommand(ports={8000: 4711})))[-2:] == ("--port", "4711")


def test_the_model_image_of_the_sandbox_serves_or_does_what_it_is_told() -> None:
    assert tuple(image_command_line(ContainerCommand(ports={8000: 4711})))[-3:] == ("serve", "--port", "4711")
    asked = ContainerCommand(arguments=("dry-run", "--format=json"))
    assert tuple(image_command_line(asked))[-2:] == ("dry-run", "--format=json")


def test_the_first_fitting_program_wins() -> None:
    programs = default_programs("ghcr.io/example/aimd:*", "images.local/aim:*")

    def of(name: str, image: str) -> object:
        return next((item.command_line for item in programs if item.fits({"name": name, "image": image})), None)

    assert of("kserve-container", "images.local/aim:1") is image_command_line
    assert of("anything", "ghcr.io/example/aimd:1.0") is aimd_command_line
    assert of("model-download", "other/downloader:2") is aimd_command_line
    assert of("kserve-container", "amdenterpriseai/aim-base:0.10.0") is model_command_line
    assert of("discovery", "images.local/aim:1") is image_command_line
    assert of("discovery", "busybox:latest") is None
    assert of("main", "nginx") is None


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


def test_aimd_listens_on_the_loopback_ports_that_stand_for_those_of_the_pod() -> None:
    arguments = ("--health-probe-bind-address=:8081", "--metrics-bind-address=:8443", "--metrics-secure=true")
    asked = ContainerCommand(("aimd", "run"), arguments, {8081: 4711, 8443: 4712})
    assert tuple(aimd_command_line(asked))[-4:] == (
        "run",
        "--health-probe-bind-address=127.0.0.1:4711",
        "--metrics-bind-address=127.0.0.1:4712",
        "--metrics-secure=true",
    )
    unknown = ContainerCommand(("aimd", "run"), ("--metrics-bind-address=:1", "--metrics-bind-address=0"), {8081: 4711})
    assert tuple(aimd_command_line(unknown))[-2:] == ("--metrics-bind-address=:1", "--metrics-bind-address=0")
