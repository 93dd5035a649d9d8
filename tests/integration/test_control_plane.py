"""The control plane is real: versioned, authorized, audited, on loopback only, and gone when it is done."""

import json

import pytest

from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.errors import Forbidden
from aimd.runtime.kinds import CONFIG_MAP, NAMESPACE, SERVICE_ACCOUNT
from aimd.runtime.objects import Key
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.machine import listening_addresses, processes_in


async def test_administrator_may_write_and_the_audit_log_knows(api_server: ControlPlane) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "written", "namespace": "default"}}
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        await client.create(CONFIG_MAP, manifest, reason="test")

    events = [json.loads(line) for line in api_server.audit_log.read_text().splitlines()]
    created = [event for event in events if event["verb"] == "create" and event["objectRef"].get("name") == "written"]
    assert [event["user"]["username"] for event in created] == ["admin"]


async def test_other_users_have_only_what_rbac_gives_them(api_server: ControlPlane) -> None:
    async with connect(ClientOptions(kubeconfig=api_server.add_user("nobody-special"))) as client:
        with pytest.raises(Forbidden):
            await client.list(CONFIG_MAP)


async def test_a_process_can_be_a_service_account(api_server: ControlPlane) -> None:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        await client.create(
            NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "identity"}}, reason="test"
        )
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "operator", "namespace": "identity"},
        }
        await client.create(SERVICE_ACCOUNT, account, reason="test")

    kubeconfig = await api_server.service_account("identity", "operator")

    async with connect(ClientOptions(kubeconfig=kubeconfig)) as client:
        with pytest.raises(Forbidden, match="system:serviceaccount:identity:operator"):
            await client.get(CONFIG_MAP, Key("identity", "anything"))


def test_listens_on_loopback_only(api_server: ControlPlane) -> None:
    processes = processes_in(api_server.folder)
    assert len(processes) >= 4
    addresses = {address for process in processes for address in listening_addresses(process)}
    assert addresses == {"127.0.0.1"}
