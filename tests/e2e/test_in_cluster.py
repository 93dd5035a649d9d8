"""The chart as helm installs it: its own Deployment runs in the cluster, and the quickstart comes up."""

import asyncio
from pathlib import Path

import pytest

from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import LEASE, POD
from aimd.runtime.objects import Key, key_of
from aimd.sandbox.chart import NAMESPACE, RELEASE
from aimd.sandbox.cluster import Sandbox, SandboxSettings, sandbox_cluster
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.e2e.deployed import POD_NAME, install, manager_pods, wait_ready
from tests.e2e.world import refused_of, requests_of, status_word
from tests.integration.helm import Helm
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LEASE_KEY = Key(NAMESPACE, "3be10d2f.eai.amd.com")
QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"


async def leader(client: Client) -> str:
    """Name of the pod that holds the lease."""
    lease = await client.get(LEASE, LEASE_KEY)
    return str(lease["spec"].get("holderIdentity") or "").rpartition("_")[0]


async def credentials(sandbox: Sandbox, pod: str) -> list[str]:
    """The tokens that a pod's requests were made with, by the audit log."""
    extras = [event["user"].get("extra") or {} for event in requests_of(sandbox)]
    own = [extra for extra in extras if pod in extra.get(POD_NAME, ())]
    return sorted({token for extra in own for token in extra.get("authentication.kubernetes.io/credential-id", ())})


def used_several(tokens: list[str]) -> bool:
    return len(tokens) > 1


async def test_installed_by_helm_it_brings_the_quickstart_up(tmp_path: Path) -> None:
    async with (
        sandbox_cluster(SandboxSettings()) as sandbox,
        connect(ClientOptions(kubeconfig=sandbox.kubeconfig, user_agent="e2e")) as client,
    ):
        helm = Helm(sandbox.kubeconfig, tmp_path, NAMESPACE)
        await install(sandbox, client, helm)
        pods = {key_of(pod).name for pod in await manager_pods(client)}
        first = await wait_until("a pod leads", lambda: leader(client), bool)
        assert first in pods

        await apply_manifests(client, read_manifests(QUICKSTART))
        key = Key("ml-team", "qwen-chat")
        await wait_until("Running", lambda: client.get(AIM_SERVICE, key), lambda live: status_word(live) == "Running")

        await client.delete(POD, Key(NAMESPACE, first), reason="test")
        following = await wait_until(
            "the other pod leads", lambda: leader(client), lambda name: name not in ("", first)
        )
        assert following in pods
        await wait_ready(client)
        restarts = {
            status["restartCount"]
            for pod in await manager_pods(client)
            for status in pod["status"].get("containerStatuses", ())
        }
        assert restarts == {0}

        # It reads its token again within a minute, long before the former one ends.
        renewed = await wait_until("a renewed token is used", lambda: credentials(sandbox, following), used_several)
        print(f"\ntokens that {following} has used: {len(renewed)}")
        assert status_word(await client.get(AIM_SERVICE, key)) == "Running"
        assert refused_of(sandbox) == set()

        await asyncio.to_thread(helm.do, "uninstall", RELEASE)
        await wait_until("the pods are gone", lambda: manager_pods(client), lambda found: not found)
        assert status_word(await client.get(AIM_SERVICE, key)) == "Running", "what was served goes on"
