"""Servers of the sandbox as processes and on real ports: the model server, the kubelet's logs, KEDA's metrics."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from aimd.runtime.kinds import DEPLOYMENT, POD
from aimd.runtime.objects import Manifest
from aimd.runtime.store import Cache, Store
from aimd.sandbox.addresses import AddressTable
from aimd.sandbox.keda import SCALED_OBJECT, ExternalMetrics
from aimd.sandbox.kubelet.server import log_server
from aimd.sandbox.kubelet.status import ContainerStatus, Running, Terminated
from aimd.sandbox.local_server import serve_locally
from tests.integration.operator_process import free_port

MODEL = "Qwen/Qwen2-0.5B"
METRIC = "vllm:num_requests_running"
LABELS = {"app": "isvc.chat-predictor"}
SCALED: Manifest = {
    "metadata": {"namespace": "ns", "name": "chat-predictor", "uid": "u"},
    "spec": {
        "scaleTargetRef": {"name": "chat-predictor"},
        "minReplicaCount": 1,
        "maxReplicaCount": 3,
        "triggers": [
            {
                "type": "external",
                "metadata": {
                    "metricQuery": f'sum({METRIC}{{namespace="ns", deployment="chat-predictor"}})',
                    "targetValue": "2",
                    "scalerAddress": "keda-otel-scaler.keda.svc:4318",
                },
            }
        ],
    },
}


@dataclass
class Logging:
    """A container with a log file."""

    status: ContainerStatus
    path: Path

    def log_file(self, *, previous: bool = False) -> Path | None:
        return None if previous else self.path


def test_runs_as_a_process_and_ends_on_sigterm(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / MODEL).mkdir(parents=True)
    (tmp_path / MODEL / "model.safetensors").write_text("weights")
    command = [sys.executable, "-m", "aimd.sandbox.model_server", "--port", str(port)]
    environment = {**os.environ, "AIM_MODEL_ID": MODEL, "AIM_CACHE_PATH": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            deadline = time.monotonic() + 20
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    assert b"weights found in" in output
    assert process.returncode in (0, -signal.SIGTERM)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


async def test_follows_until_the_container_ends(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("first\n")
    logging = Logging(ContainerStatus("main", "image", Running("")), path)
    seen = []
    async with (
        serve_locally(log_server(lambda *_: logging)) as port,
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/containerLogs/team/pod/main?follow=true") as response,
    ):
        with anyio.fail_after(10):
            async for line in response.aiter_lines():
                seen.append(line)
                if line == "first":
                    path.write_text("first\nlast\n")
                    logging.status = ContainerStatus("main", "image", Terminated(0, "Completed"))
    assert seen == ["first", "last"]


async def test_a_metric_is_the_sum_over_the_pods_that_answer() -> None:
    async def metrics(_: Request) -> PlainTextResponse:
        return PlainTextResponse(f'# TYPE {METRIC} gauge\n{METRIC}{{model_name="m"}} 2.5\n')

    cache, addresses = Cache(), AddressTable()
    for kind in (SCALED_OBJECT, DEPLOYMENT, POD):
        cache.add(Store(kind, {}))
    cache[SCALED_OBJECT].upsert(SCALED)
    deployment = {"metadata": {"namespace": "ns", "name": "chat-predictor"}}
    cache[DEPLOYMENT].upsert({**deployment, "spec": {"selector": {"matchLabels": LABELS}}})
    async with serve_locally(Starlette(routes=[Route("/metrics", metrics)])) as port:
        for name, labels in (("a", LABELS), ("b", LABELS), ("silent", LABELS), ("foreign", {})):
            address = addresses.allocate()
            addresses.publish(address, 8000, port if name != "silent" else 1)
            metadata = {"labels": labels, "annotations": {"prometheus.kserve.io/port": "8000"}}
            pod = {"metadata": {"namespace": "ns", "name": name, **metadata}, "status": {"podIP": address}}
            cache[POD].upsert(pod)
        transport = httpx.ASGITransport(ExternalMetrics(cache, addresses).application())
        async with httpx.AsyncClient(transport=transport, base_url="http://metrics") as http:
            base = "/apis/external.metrics.k8s.io/v1beta1"
            assert (await http.get(base)).json()["resources"][0]["name"] == "externalmetrics"
            selector = {"labelSelector": "scaledobject.keda.sh/name=chat-predictor"}
            answer = (await http.get(f"{base}/namespaces/ns/s0-external", params=selector)).json()
            assert [item["value"] for item in answer["items"]] == ["5000m"]
            unknown = (await http.get(f"{base}/namespaces/other/s0-external", params=selector)).json()
            assert unknown["items"] == []
