"""The operator as a user installs it: the chart's Deployment, whose pods the sandbox's kubelet runs."""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from aimd.runtime.client import Client
from aimd.runtime.kinds import DEPLOYMENT, POD
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.chart import NAMESPACE, RELEASE, chart_folder
from aimd.sandbox.cluster import Sandbox
from tests.e2e.world import Operator, requests_of
from tests.integration.helm import Helm
from tests.waiting import wait_until

MANAGER = Key(NAMESPACE, "aim-engine-controller-manager")
POD_NAME = "authentication.kubernetes.io/pod-name"


async def install(sandbox: Sandbox, client: Client, helm: Helm, *flags: str) -> None:
    """What the sandbox applied of the chart passes to helm; images without a registry are asked where it has them."""
    arguments = ",".join(("--leader-elect", sandbox.operator.arguments[-1], *flags))
    settings = f"manager.replicas=2,manager.args={{{arguments}}}"
    await asyncio.to_thread(helm.do, "install", RELEASE, str(chart_folder()), "--take-ownership", "--set", settings)
    await wait_ready(client)


async def manager_pods(client: Client) -> list[Manifest]:
    return await client.list(POD, namespace=NAMESPACE, label_selector="control-plane=controller-manager")


async def wait_ready(client: Client) -> None:
    async def look() -> Manifest:
        return await client.get(DEPLOYMENT, MANAGER)

    await wait_until("two replicas are ready", look, lambda live: live["status"].get("readyReplicas") == 2)


class DeployedOperator(Operator):
    """Two replicas; a container that was killed is started again by the kubelet, and the other replica takes over."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        super().__init__(sandbox.operator, folder)
        self._sandbox = sandbox
        self._helm = Helm(sandbox.kubeconfig, folder, NAMESPACE)

    async def install(self, client: Client) -> None:
        await install(self._sandbox, client, self._helm, "--artifact-retry-base=3s", "--zap-log-level=debug")

    def start(self, *flags: str) -> None:
        """The kubelet does."""

    def stop(self) -> None:
        pytest.skip("asks for an operator process of its own")

    def kill(self) -> None:
        """SIGKILL for the process of the replica that leads, if one does."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"POD_NAME={self._leader}" in (process / "environ").read_text(errors="replace").split("\0"):
                    os.kill(int(process.name), signal.SIGKILL)

    def keep_logs(self) -> None:
        """Copies them from the sandbox, with which they would go."""
        for log in self._logs:
            shutil.copy(log, self.log / f"{log.parents[1].name}-{log.name}")

    @property
    def tracebacks(self) -> list[str]:
        texts = [log.read_text() for log in self._logs]
        assert texts, "the pods have no logs"
        return [line for text in texts for line in text.splitlines() if "Traceback" in line or '"exception"' in line]

    @property
    def _logs(self) -> list[Path]:
        return list((self._sandbox.folder / "pods").glob("*/manager/*.log"))

    @property
    def _leader(self) -> str:
        """Name of the pod that last renewed the lease, by the audit log."""
        renewals = [event for event in requests_of(self._sandbox) if is_renewal(event)]
        return str(renewals[-1]["user"]["extra"][POD_NAME][0])


def is_renewal(event: Manifest) -> bool:
    succeeded = event.get("responseStatus", {}).get("code") in (200, 201)
    return succeeded and event["verb"] != "get" and event.get("objectRef", {}).get("resource") == "leases"
