"""What the log of the real process tells about objects: each change of their state once, and no secret."""

import base64
import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimd.api.crd import write_crds
from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.integration.operator_process import eventually, lines_of, running

TEAM = "told"
SECRETS = ("s3cr3t-password", "s3cr3t-literal", "s3cr3t-in-config")
CHANGES = ("condition changed", "status changed")


def manifests() -> list[Manifest]:
    """A service that a model is missing for, and a model whose registry nobody serves; both with credentials."""
    auth = {"auths": {"127.0.0.1:1": {"username": "u", "password": SECRETS[0]}}}
    data = {".dockerconfigjson": base64.b64encode(json.dumps(auth).encode()).decode()}
    metadata = {"name": "pull", "namespace": TEAM}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson"}
    env = [{"name": "HF_TOKEN", "value": SECRETS[1]}]
    pulled = [{"name": "pull"}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}},
        {**secret, "metadata": metadata, "data": data},
        of("AIMRuntimeConfig", "default", env=[{"name": "TOKEN", "value": SECRETS[2]}]),
        of("AIMModel", "private", image="127.0.0.1:1/acme/aim-private:1", imagePullSecrets=pulled, env=env),
        of("AIMService", "chat", model={"name": "later"}, imagePullSecrets=pulled, env=env),
    ]


def of(kind: str, name: str, **spec: Any) -> Manifest:
    metadata = {"name": name, "namespace": TEAM}
    return {"apiVersion": AIM_SERVICE.api_version, "kind": kind, "metadata": metadata, "spec": spec}


@pytest.fixture
async def client(api_server: Any, tmp_path: Path) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        write_crds(tmp_path / "crds")
        await apply_manifests(admin, read_manifests(tmp_path / "crds"))
        await apply_manifests(admin, manifests())
        yield admin
        for kind, name in ((AIM_SERVICE, "chat"), (AIM_MODEL, "private"), (AIM_MODEL, "later")):
            with suppress(NotFound):
                await admin.delete(kind, Key(TEAM, name), reason="test")


async def reason_of(client: Client, name: str, condition: str) -> str:
    """Reason of a condition of a service or model."""
    try:
        live = await client.get(AIM_SERVICE if name == "chat" else AIM_MODEL, Key(TEAM, name))
    except NotFound:
        return ""
    conditions = (live.get("status") or {}).get("conditions") or ()
    return next((str(item["reason"]) for item in conditions if item["type"] == condition), "")


async def test_each_change_of_state_is_one_line_and_no_secret_is_told(
    client: Client, api_server: Any, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    async def waits() -> bool:
        return await reason_of(client, "chat", "ModelReady") == "ModelNotFound"

    async def goes_on() -> bool:
        return await reason_of(client, "chat", "ModelReady") not in ("", "ModelNotFound")

    async def asked() -> bool:
        return await reason_of(client, "private", "Ready") not in ("", "Progressing")

    with running(api_server.kubeconfig, log, "--zap-log-level=debug") as (process, _):
        await eventually(waits, log)
        await client.patch(AIM_SERVICE, Key(TEAM, "chat"), {"spec": {"replicas": 2}}, reason="test")
        await apply_manifests(
            client, [of("AIMModel", "later", image="acme/aim:1", discovery={"extractMetadata": False})]
        )
        await eventually(goes_on, log)
        await eventually(asked, log)
        process.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(process.wait) == 0

    text = log.read_text()
    assert [secret for secret in SECRETS if secret in text] == []
    lines = [line for line in lines_of(log) if line["msg"] in CHANGES and line["namespace"] == TEAM]
    told: dict[tuple[str, str, str], str] = {}
    for line in lines:
        assert line["reconcileID"]
        assert line["controllerKind"] in line
        what = (line["controllerKind"], line["name"], line.get("condition", "status"))
        assert line["from"] == told.get(what, ""), line
        told[what] = line["to"]
    for kind, name in ((AIM_SERVICE, "chat"), (AIM_MODEL, "private"), (AIM_MODEL, "later")):
        assert state_of(await client.get(kind, Key(TEAM, name))) == {
            condition: to
            for (of_kind, of_name, condition), to in told.items()
            if (of_kind, of_name) == (kind.name, name)
        }
    assert {line["generation"] for line in lines if line["name"] == "chat"} == {1, 2}
    turns = [line for line in lines_of(log) if line["msg"] == "reconciled"]
    assert [line for line in turns if "duration" not in line or "written" not in line] == []


def state_of(live: Manifest) -> dict[str, str]:
    """The state of an object as the log would have told it."""
    status = live["status"]
    conditions = {item["type"]: f"{item['status']}/{item['reason']}" for item in status["conditions"]}
    return {"status": str(status["status"]), **conditions}
