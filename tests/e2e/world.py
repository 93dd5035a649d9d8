"""What the end-to-end tests share: the operator's process, a user's view of a namespace, the manifests applied."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from aimd.planning.kinds import AIM_SERVICE, INFERENCE_SERVICE
from aimd.runtime.client import Client
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.sandbox.chart import OperatorIdentity
from aimd.sandbox.cluster import Sandbox
from aimd.sandbox.manifests import apply_manifests
from tests.waiting import wait_until

TIMEOUT = 120.0
REPOSITORY = "acme/tiny-chat"
REPOSITORY_BYTES = 4 * 2**20
API_VERSION = "aim.eai.amd.com/v1alpha1"


class Operator:
    """`aimd run` as a process of its own, with the rights of the chart's ServiceAccount."""

    def __init__(self, identity: OperatorIdentity, log: Path) -> None:
        self.identity = identity
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        environment = {**os.environ, **self.identity.environment}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "aimd", "run", *self.identity.arguments, "--artifact-retry-base=3s", *flags],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=30)

    @property
    def tracebacks(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if "Traceback" in line or '"exception"' in line]


@dataclass
class World:
    """What a test does as the user: apply, look, wait."""

    sandbox: Sandbox
    client: Client
    operator: Operator
    namespace: str

    async def apply(self, *manifests: Manifest) -> None:
        await apply_manifests(self.client, manifests)

    async def get(self, kind: Kind, name: str) -> Manifest:
        return await self.client.get(kind, Key(self.namespace, name))

    async def service(self, name: str = "chat") -> Manifest:
        return await self.get(AIM_SERVICE, name)

    async def inference_service(self, service: str = "chat") -> Manifest:
        found = await self.client.list(
            INFERENCE_SERVICE, namespace=self.namespace, label_selector=f"aim.eai.amd.com/service.name={service}"
        )
        assert len(found) == 1, [item["metadata"]["name"] for item in found]
        return found[0]

    async def wait_running(self, name: str = "chat", timeout: float = TIMEOUT) -> Manifest:
        service: Manifest = await wait_until(
            f"{name} Running", lambda: self.service(name), lambda s: status_word(s) == "Running", timeout
        )
        return service

    async def chat(self, path: str, text: str) -> str:
        """A chat completion through the route."""
        async with httpx.AsyncClient(base_url=self.sandbox.gateway_url, trust_env=False, timeout=30) as http:
            body = {"model": REPOSITORY, "messages": [{"role": "user", "content": text}]}
            response = await http.post(f"{path}/v1/chat/completions", json=body)
            assert response.status_code == 200, response.text
            return str(response.json()["choices"][0]["message"]["content"])

    def writes(self) -> list[dict[str, Any]]:
        """Every write of the operator so far, from the audit log; no leases, and nothing in what other tests left."""
        verbs = {"create", "update", "patch", "delete", "deletecollection"}
        return [
            event
            for event in requests_of(self.sandbox)
            if event["verb"] in verbs
            and (written := event.get("objectRef", {})).get("resource") != "leases"
            and written.get("namespace", "") in ("", self.namespace)
        ]


def requests_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Every request of the operator so far, from the audit log."""
    events = (json.loads(line) for line in sandbox.audit_log.read_text().splitlines())
    return [event for event in events if event["user"]["username"] == sandbox.operator.user]


def refused_of(sandbox: Sandbox) -> set[tuple[str, str]]:
    """Verb and resource of the requests that the operator lacked the right for; nothing in a namespace that ends."""
    return {
        (event["verb"], event["objectRef"]["resource"])
        for event in requests_of(sandbox)
        if event.get("responseStatus", {}).get("code") == 403
        and "being terminated" not in event["responseStatus"].get("message", "")
    }


def status_word(live: Manifest) -> str:
    return str((live.get("status") or {}).get("status", ""))


def condition(live: Manifest, type_: str) -> dict[str, Any]:
    conditions = (live.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] == type_), {})


def namespace_manifest(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def runtime_config(namespace: str, hub_url: str) -> Manifest:
    return {
        "apiVersion": "aim.eai.amd.com/v1alpha1",
        "kind": "AIMRuntimeConfig",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {
            "routing": {"enabled": True, "gatewayRef": {"name": "inference-gateway", "namespace": "gateways"}},
            "env": [{"name": "HF_ENDPOINT", "value": hub_url}],
        },
    }


def model(namespace: str, name: str = "tiny") -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "AIMModel",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"image": "amdenterpriseai/aim-base:0.10.0", "discovery": {"extractMetadata": False}},
    }


def template(namespace: str, name: str = "tiny-latency", repository: str = REPOSITORY) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "AIMServiceTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "modelName": "tiny",
            "metric": "latency",
            "precision": "fp16",
            "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
            "modelSources": [{"modelId": repository, "sourceUri": f"hf://{repository}"}],
        },
    }


def service(namespace: str, name: str = "chat", **spec: Any) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "AIMService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}, **spec},
    }
