"""The example of docs/runtime.md is a working operator."""

from typing import Any

import anyio
import pytest

from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.kinds import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION
from aimd.runtime.manager import ManagerOptions
from aimd.runtime.objects import Key, controller_of, owner_reference
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.crds import install_crds
from aimd.sandbox.manifests import apply_manifests
from docs.examples.greeter import GREETING, main, plan
from tests.waiting import wait_until

DEFINITION = {
    "apiVersion": CUSTOM_RESOURCE_DEFINITION.api_version,
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "greetings.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Greeting", "plural": "greetings"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
ALICE = {
    "apiVersion": "example.com/v1",
    "kind": "Greeting",
    "metadata": {"name": "alice", "namespace": "default"},
    "spec": {"to": "Alice"},
}


async def test_the_example_greets(api_server: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))
    key = Key("default", "alice")
    async with (
        connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client,
        api_server.http() as http,
        anyio.create_task_group() as tasks,
    ):
        await install_crds(client, http, [DEFINITION])
        tasks.start_soon(main, ManagerOptions(metric_prefix="greeter"))
        await apply_manifests(client, [ALICE])

        async def names() -> list[str]:
            found = await client.list(CONFIG_MAP, namespace="default")
            return [item["data"]["text"] for item in found if item["metadata"]["name"] == "alice"]

        async def status() -> Any:
            return (await client.get(GREETING, key)).get("status")

        await wait_until("a greeting", names, lambda seen: seen == ["Hello, Alice!"], 20)
        await wait_until("a status", status, lambda seen: seen == {"configMap": "alice"}, 20)
        await client.patch(CONFIG_MAP, key, {"data": {"text": "Go away"}}, reason="test")
        await wait_until("a greeting", names, lambda seen: seen == ["Hello, Alice!"], 20)
        copy, greeting = await client.get(CONFIG_MAP, key), await client.get(GREETING, key)
        assert controller_of(copy) == owner_reference(GREETING, greeting), "garbage collection takes it along"
        await client.delete(GREETING, key, reason="test")
        await client.delete(CUSTOM_RESOURCE_DEFINITION, Key("", "greetings.example.com"), reason="test")
        tasks.cancel_scope.cancel()


def test_its_decision_is_pure() -> None:
    greeting = {"metadata": {"name": "a", "namespace": "b", "uid": "u"}, "spec": {}}
    assert plan(greeting)["data"] == {"text": "Hello, world!"}
