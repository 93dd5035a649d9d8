"""Manifest files."""

from pathlib import Path

import pytest

from aimd.runtime.objects import Kind, Manifest
from aimd.sandbox.manifests import kind_of, parse_manifests, read_manifests

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: team}\n"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n"


def names(manifests: list[Manifest]) -> list[str]:
    return [f"{manifest['kind']} {manifest['metadata']['name']}" for manifest in manifests]


def test_lists_are_unfolded_and_empty_documents_skipped() -> None:
    text = f"---\n---\n{SERVICE}---\nkind: List\nitems: [{{kind: Secret, metadata: {{name: b}}}}]\n"
    assert names(parse_manifests(text)) == ["Service a", "Secret b"]


def test_namespaces_come_first(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SERVICE)
    (tmp_path / "b.yaml").write_text(NAMESPACE)
    (tmp_path / "notes.md").write_text("no manifest")
    assert names(read_manifests(tmp_path)) == ["Namespace team", "Service a"]
    assert names(read_manifests(tmp_path / "a.yaml")) == ["Service a"]


@pytest.mark.parametrize(
    ("name", "plural"),
    [("Pod", "pods"), ("Ingress", "ingresses"), ("NetworkPolicy", "networkpolicies"), ("Gateway", "gateways")],
)
def test_the_plural_is_guessed_as_kubernetes_does(name: str, plural: str) -> None:
    manifest = {"apiVersion": "example.com/v1", "kind": name, "metadata": {"name": "a"}}
    assert kind_of(manifest) == Kind("example.com", "v1", name, plural, namespaced=False)


def test_an_object_with_a_namespace_is_namespaced() -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"}}
    assert kind_of(manifest) == Kind("", "v1", "Pod", "pods")
