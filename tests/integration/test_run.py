"""`aimd run` as a process, under exactly the rights the chart renders."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimd.api.crd import write_crds
from aimd.controllers.all import build_reconcilers
from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
)
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import connect_registries
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import JOB, LEASE, NODE, PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Key, Kind, Manifest, key_of
from aimd.runtime.store import Cache
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import NAMESPACE, install_operator_identity
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.integration.operator_process import eventually, lines_of, ready, running

EXAMPLES = Path(__file__).parents[2] / "examples"
LEASE_KEY = Key(NAMESPACE, "3be10d2f.eai.amd.com")
ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False)


@pytest.fixture
async def client(api_server: Any) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        yield admin


@pytest.fixture
async def operator(client: Client, api_server: Any, tmp_path: Path) -> Path:
    """Kubeconfig of the chart's ServiceAccount, in a cluster that has the CRDs."""
    write_crds(tmp_path / "crds")
    await apply_manifests(client, read_manifests(tmp_path / "crds"))
    helm = locate_binaries(["helm"]).path("helm")
    identity = await install_operator_identity(client, helm, api_server)
    return identity.kubeconfig


async def leads(client: Client) -> bool:
    return (await holder(client)).startswith("manager-0_")


async def holder(client: Client) -> str:
    """Who holds the lease; empty when nobody does."""
    try:
        return str((await client.get(LEASE, LEASE_KEY))["spec"].get("holderIdentity") or "")
    except NotFound:
        return ""


async def test_starts_leads_and_stops_cleanly(client: Client, operator: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with suppress(NotFound):  # Left by a replica of another test, which was killed.
        await client.delete(LEASE, LEASE_KEY, reason="test")
    with running(operator, log, "--leader-elect") as (process, url):
        await eventually(lambda: ready(url), log)
        await eventually(lambda: leads(client), log)
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(10):
            assert await anyio.to_thread.run_sync(process.wait) == 0
    assert await holder(client) == ""
    assert [line for line in lines_of(log) if line["level"] == "error"] == []


async def test_the_log_level_changes_while_it_runs(client: Client, operator: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def levels() -> list[str]:
        return [line["to"] for line in lines_of(log) if line["msg"] == "log level changed"]

    with running(operator, log, "--zap-log-level=error") as (process, url):
        await eventually(lambda: ready(url), log)
        assert lines_of(log) == []
        for number, told in ((signal.SIGUSR1, ["debug"]), (signal.SIGUSR2, ["debug", "error"])):
            process.send_signal(number)

            async def changed(told: list[str] = told) -> bool:
                return levels() == told

            await eventually(changed, log)
        quiet = len(lines_of(log))
        process.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(process.wait) == 0
    assert len(lines_of(log)) == quiet, "it tells errors only again"


async def test_builds_and_removes_the_quickstart_with_the_rights_of_the_chart(
    client: Client, operator: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    await apply_manifests(client, [gpu_node("quickstart-gpu"), *read_manifests(EXAMPLES / "quickstart")])
    with running(operator, log) as (process, _):
        await eventually(lambda: has_download(client), log)
        service = await client.get(AIM_SERVICE, Key("ml-team", "qwen-chat"))
        assert service["status"]["observedGeneration"] == service["metadata"]["generation"]
        # Namespaces of other tests may be ending; nothing else may be forbidden.
        forbidden = [line for line in log.read_text().splitlines() if "forbidden" in line.lower()]
        assert [line for line in forbidden if "it is being terminated" not in line] == []
        for kind in (AIM_SERVICE, AIM_SERVICE_TEMPLATE, AIM_MODEL, AIM_RUNTIME_CONFIG):
            await delete_all(client, kind)
        await eventually(lambda: nothing_left(client), log)
        await client.delete(NODE, Key("", "quickstart-gpu"), reason="test")
        process.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(process.wait) == 0
    assert [line for line in lines_of(log) if line["level"] == "error"] == []


def gpu_node(name: str) -> Manifest:
    """A node as AMD's labeller marks it; no pod gets there, for nobody would run it."""
    labels = {"amd.com/gpu.device-id": "74a1", "amd.com/gpu.vram": "192G"}
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"unschedulable": True}}


async def delete_all(client: Client, kind: Kind) -> None:
    for item in await client.list(kind, namespace="ml-team"):
        await client.delete(kind, key_of(item), reason="test")


async def nothing_left(client: Client) -> bool:
    """Whether the service took with it what only it wanted: nothing was ready to be shared."""
    return not [
        item
        for kind in (AIM_SERVICE, AIM_TEMPLATE_CACHE, AIM_ARTIFACT)
        for item in await client.list(kind, namespace="ml-team")
    ]


async def has_download(client: Client) -> bool:
    """Whether the service's weights have got a volume and what finds out their size or downloads them."""
    claims = await client.list(PERSISTENT_VOLUME_CLAIM, namespace="ml-team")
    jobs = await client.list(JOB, namespace="ml-team")
    return bool(claims or jobs)


async def test_every_watch_is_allowed(operator: Path) -> None:
    async with connect(ClientOptions(kubeconfig=operator)) as client, connect_registries() as registries:
        reconcilers = build_reconcilers(client, Cache(), ControllerSettings(), registries)
        kinds = {informer.kind for reconciler in reconcilers for informer in reconciler.informers}
        kinds |= {reconciler.kind for reconciler in reconcilers}
        refused = [
            f"{verb} {kind.plural}.{kind.group}"
            for kind in sorted(kinds, key=str)
            for verb in ("list", "watch")
            if not await allowed(client, kind, verb)
        ]
    assert refused == []


async def allowed(client: Client, kind: Kind, verb: str) -> bool:
    attributes = {"verb": verb, "group": kind.group, "resource": kind.plural}
    review = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.name,
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.create(ACCESS_REVIEW, review, reason="test")
    return bool(answer["status"]["allowed"])


@pytest.mark.parametrize("text", [None, "", "{}", "a: ["])
def test_no_usable_kubeconfig_ends_with_one_line(text: str | None, tmp_path: Path) -> None:
    log, kubeconfig = tmp_path / "log", tmp_path / "kubeconfig"
    if text is not None:
        kubeconfig.write_text(text)
    with running(kubeconfig, log) as (process, _):
        assert process.wait(30) == 1
    assert "Traceback" not in log.read_text()
    assert [line["msg"] for line in lines_of(log) if line["level"] == "error"] == ["fatal error, exiting"]
    told = {line["msg"]: line for line in lines_of(log)}
    assert told["configuration"]["kubeconfig"] == str(kubeconfig)
    assert told["environment"]["POD_NAME"] == told["configuration"]["pod"] == "manager-0"


def test_an_unknown_controller_ends_with_status_2(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    server = {"server": "https://127.0.0.1:1"}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "a",
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                "clusters": [{"name": "a", "cluster": server}],
                "users": [{"name": "a", "user": {"token": "t"}}],
            }
        )
    )
    with running(kubeconfig, tmp_path / "log", "--max-concurrent-reconciles=dance=2") as (process, _):
        assert process.wait(30) == 2
    assert "no controller dance" in (tmp_path / "log").read_text()
