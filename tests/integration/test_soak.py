"""Three hundred services under constant edits: memory stays, the queue empties, every edit arrives, nothing goes wrong.

The test plays the kubelet and the provisioner; no KServe runs, so that the operator alone is what works.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aimd.planning.durations import parse_duration
from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE, HTTP_ROUTE, INFERENCE_SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import Key, Manifest, key_of
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.manifests import apply_manifests
from tests.integration.stand_ins import Kubelet, install_crds, make_namespace
from tests.waiting import wait_until

SECONDS = float(parse_duration(os.environ.get("AIMD_SOAK_DURATION", "30m")))
SERVICES = 300


@dataclass
class Soak:
    admin: Client
    namespace: str
    process: subprocess.Popen[bytes]
    metrics_url: str
    log: Path

    def memory(self) -> float:
        """Resident MiB of the operator."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    async def metric(self, name: str) -> dict[str, float]:
        """All samples of a name that are not 0."""
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(self.metrics_url)).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {str(sample.labels): sample.value for sample in samples if sample.name == name and sample.value}

    async def writes(self) -> dict[str, float]:
        """Writes by reason so far, Events excepted, which follow at their own pace."""
        found = await self.metric("aimd_api_writes_total")
        return {labels: value for labels, value in found.items() if "Event" not in labels}

    async def is_idle(self) -> bool:
        return not await self.metric("workqueue_depth") and not await self.metric("controller_runtime_active_workers")

    async def behind(self) -> list[str]:
        """Services whose status does not speak of their last edit, or whose InferenceService lacks it."""
        services = await self.admin.list(AIM_SERVICE, namespace=self.namespace)
        children = await self.admin.list(INFERENCE_SERVICE, namespace=self.namespace)
        shown = {edit_in(child["spec"]["predictor"]["containers"][0].get("env", ())) for child in children}
        return [
            key_of(item).name
            for item in services
            if (item.get("status") or {}).get("observedGeneration") != item["metadata"]["generation"]
            or edit_in(item["spec"]["env"]) not in shown
        ]


def edit_in(env: list[Manifest]) -> str:
    return next((item["value"] for item in env if item["name"] == "EDIT"), "")


def service(namespace: str, index: int) -> Manifest:
    return {
        "apiVersion": AIM_SERVICE.api_version,
        "kind": AIM_SERVICE.name,
        "metadata": {"name": f"chat-{index}", "namespace": namespace},
        "spec": {
            "model": {"name": "tiny"},
            "template": {"name": "tiny-cpu"},
            "env": [{"name": "EDIT", "value": f"{index}-0"}],
            "routing": {"enabled": True, "gatewayRef": {"name": "gateway", "namespace": namespace}},
        },
    }


def manifests(namespace: str) -> list[Manifest]:
    source = {"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny", "size": "1Gi"}
    model = {"image": "aim:1", "discovery": {"extractMetadata": False, "createServiceTemplates": False}}
    template = {"modelName": "tiny", "hardware": {"cpu": {"requests": "1"}}, "modelSources": [source]}
    own: list[tuple[str, str, str, Manifest]] = [
        (AIM_MODEL.api_version, AIM_MODEL.name, "tiny", {"spec": model}),
        (AIM_SERVICE_TEMPLATE.api_version, AIM_SERVICE_TEMPLATE.name, "tiny-cpu", {"spec": template}),
    ]
    return [
        {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}
        for api, kind, name, rest in own
    ]


@asynccontextmanager
async def soaking(api_server: ControlPlane, folder: Path) -> AsyncIterator[Soak]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        await install_crds(admin)
        namespace = f"soak-{uuid4().hex[:8]}"
        await make_namespace(admin, namespace)
        await apply_manifests(admin, manifests(namespace))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        log = folder / "aimd.log"
        process = start(api_server, address, log)
        try:
            async with Kubelet(admin, namespace).running():
                yield Soak(admin, namespace, process, f"http://{address}/metrics", log)
        finally:
            process.kill()
            process.wait()
        await admin.delete(NAMESPACE, Key("", namespace), reason="test")


def start(api_server: ControlPlane, metrics_address: str, log: Path) -> subprocess.Popen[bytes]:
    flags = [f"--metrics-bind-address={metrics_address}", "--metrics-secure=false", "--health-probe-bind-address=0"]
    kubeconfig = api_server.add_user("soak", groups=["system:masters"])
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "aimd", "run", f"--kubeconfig={kubeconfig}", *flags],
            env={**os.environ, "KUBE_CACHE_MUTATION_DETECTOR": "false"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.early
@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(600.0, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
        pytest.param(SECONDS, marks=[pytest.mark.soak, pytest.mark.timeout(SECONDS + 1200)]),
    ],
)
async def test_under_constant_edits_nothing_grows(api_server: ControlPlane, tmp_path: Path, seconds: float) -> None:
    dice, numbers = random.Random(3), itertools.count(1)
    async with soaking(api_server, tmp_path) as soak:
        await apply_manifests(soak.admin, [service(soak.namespace, index) for index in range(SERVICES)])

        async def settled() -> bool:
            return not await soak.behind()

        await wait_until("every service has its InferenceService", settled, timeout=300, every=1.0)
        memory: list[float] = []
        started, edits = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            index, number = dice.randrange(SERVICES), next(numbers)
            body = {"spec": {"env": [{"name": "EDIT", "value": f"{index}-{number}"}]}}
            await soak.admin.patch(AIM_SERVICE, Key(soak.namespace, f"chat-{index}"), body, reason="test")
            edits += 1
            if passed > seconds * len(memory) / 20:
                memory.append(soak.memory())
            await asyncio.sleep(0.05)
        await wait_until("every edit arrived", settled, timeout=180, every=1.0)
        print(f"\n{edits} edits in {seconds:.0f} s; MiB over time: {[round(value) for value in memory]}")
        assert await soak.metric("controller_runtime_reconcile_panics_total") == {}
        await wait_until("the queues are empty", soak.is_idle, timeout=180, every=1.0)
        writes = await soak.writes()
        await asyncio.sleep(20)
        assert await soak.writes() == writes, "at rest nothing is written"
        warm, end = memory[len(memory) // 4 : len(memory) // 2], memory[-len(memory) // 4 :]
        assert sum(end) / len(end) <= 1.05 * sum(warm) / len(warm)
        routes = await soak.admin.list(HTTP_ROUTE, namespace=soak.namespace)
        assert len(routes) == SERVICES
        soak.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(soak.process.wait, 30) == 0
        errors = [line for line in map(json.loads, soak.log.read_text().splitlines()) if line["level"] == "error"]
        assert errors == []
