"""The administrator's view of the API server: plain requests, strict validation, questions about rights."""

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml

from aimd.runtime.objects import Manifest
from aimd.sandbox.manifests import kind_of

NAMESPACE = "aim-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:aim-engine-controller-manager"
AIM = "aim.eai.amd.com"
RBAC = "rbac.authorization.k8s.io"
CLUSTER_SCOPED = frozenset(
    {
        *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
        *("AIMClusterModelSource", "AIMClusterRuntimeConfig"),
    }
)


@contextmanager
def administrator(kubeconfig: Path) -> Iterator[httpx.Client]:
    """A connection with all rights, in a cluster that has the operator's namespace."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    with httpx.Client(
        base_url=cluster["server"],
        headers={"Authorization": f"Bearer {user['token']}"},
        verify=ssl.create_default_context(cadata=authority),
        trust_env=False,
        timeout=30,
    ) as client:
        apply(client, namespace(NAMESPACE))
        yield client


def namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def path_of(manifest: Manifest) -> str:
    """Where the API server keeps the object."""
    kind, metadata = kind_of(manifest), manifest["metadata"]
    assert ("namespace" in metadata) is (kind.name not in CLUSTER_SCOPED), kind.name
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    scope = f"/namespaces/{metadata['namespace']}" if kind.namespaced else ""
    return f"{root}{scope}/{kind.plural}/{metadata['name']}"


def request(server: httpx.Client, manifest: Manifest, user: str = "", **params: str) -> httpx.Response:
    """The answer to a server-side apply with strict validation, as `user`."""
    return server.patch(
        path_of(manifest),
        params={"fieldManager": "test", "force": "true", "fieldValidation": "Strict", **params},
        headers={"Content-Type": "application/apply-patch+yaml"} | ({"Impersonate-User": user} if user else {}),
        content=yaml.safe_dump(manifest),
    )


def apply(server: httpx.Client, manifest: Manifest, user: str = "", **params: str) -> Manifest:
    """Server-side apply with strict validation, as `user`; the test fails with what the server says."""
    answer = request(server, manifest, user, **params)
    assert answer.is_success, f"{manifest['kind']} {manifest['metadata']['name']}: {answer.text}"
    assert "Warning" not in answer.headers, answer.headers["Warning"]
    return dict(answer.json())


class Rights:
    """Asks the API server what the manager, or another `user`, may do."""

    def __init__(self, server: httpx.Client) -> None:
        self.user = ACCOUNT
        self._server = server

    def allow(self, verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = "") -> bool:
        plural, _, subresource = resource.partition("/")
        attributes = {
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
        }
        answer = self._server.post(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            json={
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": self.user, "resourceAttributes": attributes},
            },
        ).raise_for_status()
        return bool(answer.json()["status"]["allowed"])
