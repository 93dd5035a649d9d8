"""`aimd run` without any right on the cluster: what it may not see is off, what it may see is served."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimd.api.crd import write_crds
from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.objects import Key
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import OperatorIdentity, install_operator_identity
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.integration.operator_process import eventually, lines_of, ready, running

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
OF_THE_CLUSTER = {
    *("aimclustermodels", "aimclustermodelsources", "aimclusterruntimeconfigs", "aimclusterservicetemplates"),
    *("nodes", "storageclasses", "namespaces", "servicecidrs"),
}


@pytest.fixture
async def client(api_server: Any) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        yield admin


@pytest.fixture
async def narrow(client: Client, api_server: Any, tmp_path: Path) -> OperatorIdentity:
    """An account with Roles in two namespaces and nothing else."""
    write_crds(tmp_path / "crds")
    await apply_manifests(client, [*read_manifests(tmp_path / "crds"), *read_manifests(QUICKSTART)])
    helm = locate_binaries(["helm"]).path("helm")
    settings = ("namespaced=true", "namePrefix=narrow", "manager.watchNamespaces={ml-team}")
    return await install_operator_identity(client, helm, api_server, *settings)


async def test_serves_its_namespaces_without_rights_on_the_cluster(
    client: Client, api_server: Any, narrow: OperatorIdentity, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    flags = [flag for flag in narrow.arguments if not flag.startswith("--health")]

    async def has_chosen_a_template() -> bool:
        try:
            live = await client.get(AIM_SERVICE, Key("ml-team", "qwen-chat"))
        except NotFound:
            return False
        conditions = {item["type"]: item for item in (live.get("status") or {}).get("conditions") or ()}
        return bool(conditions.get("TemplateReady", {}).get("status") == "True")

    with running(narrow.kubeconfig, log, *flags) as (process, url):
        await eventually(lambda: ready(url), log)
        await eventually(has_chosen_a_template, log)
        process.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(process.wait) == 0
    lines = lines_of(log)
    # Conditions tell the user's own troubles; there is no KServe here.
    told = [line for line in lines if line["level"] in ("error", "warning") and not line["msg"].endswith(" changed")]
    # The CRDs are seconds old, so that a first list may come too early.
    assert [line for line in told if "storage is (re)initializing" not in line.get("error", "")] == []
    assert len([line for line in lines if "watching selected namespaces only" in line["msg"]]) == 1
    events = (json.loads(line) for line in api_server.audit_log.read_text().splitlines())
    refused = [
        event["objectRef"]["resource"]
        for event in events
        if event["user"]["username"] == narrow.user and event.get("responseStatus", {}).get("code") == 403
    ]
    assert set(refused) - OF_THE_CLUSTER == set()
    assert len(refused) < 100
