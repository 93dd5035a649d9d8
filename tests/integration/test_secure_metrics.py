"""/metrics over HTTPS, for whom the cluster lets read it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import httpx
import pytest
import yaml

from aimd.runtime import health, serving
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import NAMESPACE, SERVICE_ACCOUNT
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.serving import ServingCertificate
from aimd.sandbox.control_plane import ControlPlane

CLUSTER_ROLE = Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", False)
ADDRESS = "127.0.0.1:0"


@asynccontextmanager
async def serving_metrics(client: Client, certificate: ServingCertificate) -> AsyncIterator[int]:
    """A manager with nothing to manage; yields the port of its metrics."""
    manager = Manager(client, ManagerOptions(metrics_address=ADDRESS, metrics_certificate=certificate))
    async with anyio.create_task_group() as tasks:
        await tasks.start(manager.run)
        yield manager.endpoints.ports[ADDRESS]
        manager.stop()


@pytest.fixture
async def client(api_server: ControlPlane) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        yield admin


async def token(api_server: ControlPlane, client: Client, namespace: str, name: str) -> str:
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
    }
    await client.create(SERVICE_ACCOUNT, manifest, reason="test")
    kubeconfig = await api_server.service_account(namespace, name)
    text = await anyio.Path(kubeconfig).read_text()
    return str(yaml.safe_load(text)["users"][0]["user"]["token"])


async def allow(client: Client, namespace: str, account: str) -> None:
    group = "rbac.authorization.k8s.io"
    name = f"metrics-{namespace}"
    role = {
        "apiVersion": CLUSTER_ROLE.api_version,
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
    }
    binding = {
        "apiVersion": CLUSTER_ROLE_BINDING.api_version,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }
    await client.create(CLUSTER_ROLE, role, reason="test")
    await client.create(CLUSTER_ROLE_BINDING, binding, reason="test")


async def test_only_whom_the_cluster_lets_read_gets_in(api_server: ControlPlane, client: Client) -> None:
    """Prove OPS-MET-1."""
    namespace = f"metrics-{uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await client.create(NAMESPACE, body, reason="test")
    reader = await token(api_server, client, namespace, "reader")
    stranger = await token(api_server, client, namespace, "stranger")
    await allow(client, namespace, "reader")
    client.fence = lambda: False  # A standby, which may write nothing, is scraped like the leader.
    async with serving_metrics(client, ServingCertificate()) as port:
        url = f"https://127.0.0.1:{port}/metrics"
        async with httpx.AsyncClient(verify=False, trust_env=False) as http:
            for given, status in (("", 401), ("Bearer nonsense", 401), ("Basic abc", 401)):
                assert (await http.get(url, headers={"Authorization": given})).status_code == status
            refused = await http.get(url, headers={"Authorization": f"Bearer {stranger}"})
            assert refused.status_code == 403
            for _ in range(3):
                answer = await http.get(url, headers={"Authorization": f"Bearer {reader}"})
                assert answer.status_code == 200
                assert "process_resident_memory_bytes" in answer.text
    asked = sum(
        sample.value
        for family in client.metrics.requests.collect()
        for sample in family.samples
        if sample.name == "rest_client_requests_total" and sample.labels["method"] == "POST"
    )
    # The objects made above, one TokenReview for each token, one SubjectAccessReview for each account.
    assert asked == 5 + 3 + 2


async def test_plain_http_is_not_answered(client: Client) -> None:
    async with serving_metrics(client, ServingCertificate()) as port, httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"http://127.0.0.1:{port}/metrics")


def write_pair(folder: Path) -> None:
    serving._make_self_signed(folder / "tls.crt", folder / "tls.key")


async def test_a_renewed_certificate_is_served_and_a_broken_one_is_not(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_CERTIFICATE_SECONDS", 0.1)
    write_pair(tmp_path)
    async with serving_metrics(client, ServingCertificate(str(tmp_path))) as port:

        async def served() -> str:
            return await anyio.to_thread.run_sync(ssl.get_server_certificate, ("127.0.0.1", port))

        first = await served()
        assert first.split() == (tmp_path / "tls.crt").read_text().split()
        write_pair(tmp_path)
        with anyio.fail_after(10):
            while await served() == first:  # noqa: ASYNC110
                await anyio.sleep(0.1)
        second = await served()
        assert second.split() == (tmp_path / "tls.crt").read_text().split()
        (tmp_path / "tls.crt").write_text("no certificate")
        await anyio.sleep(0.5)
        assert await served() == second
