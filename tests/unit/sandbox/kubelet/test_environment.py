"""The environment of a container."""

from typing import Any

import pytest

from aimd.runtime.objects import Kind, Manifest
from aimd.sandbox.kubelet.environment import ConfigurationError, expand, pod_field, resolve_environment

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
    with pytest.raises(ConfigurationError, match="does not support resourceFieldRef"):
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
