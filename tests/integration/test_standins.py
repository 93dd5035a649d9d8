"""The stand-ins for kubelet, storage provisioner and gateway against a real control plane."""

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import anyio
import httpx
import pytest
import yaml

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.kinds import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    EVENT,
    JOB,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.sandbox.addresses import AddressTable
from aimd.sandbox.aim_image.images import LABELLED
from aimd.sandbox.aim_image.images import MODEL as AIM
from aimd.sandbox.binaries import locate_manifests
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.gateway import HTTP_ROUTE, GatewaySettings, run_gateway
from aimd.sandbox.hub import HubSettings, run_hub
from aimd.sandbox.kubelet import KubeletSettings, Program, run_kubelet
from aimd.sandbox.kubelet.programs import ContainerCommand, aimd_command_line, model_command_line
from aimd.sandbox.nodes import MI300X, labels_of
from aimd.sandbox.provisioner import VolumeSettings, run_volumes
from tests.aim_container import document
from tests.waiting import wait_until

MODEL = "Org/Tiny"
T = TypeVar("T")


def script(container: ContainerCommand) -> tuple[str, ...]:
    """The image `script`: its arguments are a Python program and what that reads from sys.argv."""
    return (sys.executable, "-c", *container.arguments)


def file_server(container: ContainerCommand) -> tuple[str, ...]:
    """The image `files`: serves its working directory by HTTP."""
    return (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(container.port))


@dataclass(frozen=True)
class World:
    """The stand-ins at work, with a namespace and a node of their own."""

    client: Client
    namespace: str
    node: str
    folder: Path
    gateway: Key
    url: str = ""

    @property
    def storage_class(self) -> str:
        return self.node

    async def create(self, kind: Kind, name: str, **content: Any) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace, **content.pop("metadata", {})}
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **content}
        return await self.client.create(kind, manifest, reason="test")

    async def get(self, kind: Kind, name: str) -> Manifest:
        return await self.client.get(kind, Key(self.namespace, name))

    async def pods(self, **labels: str) -> list[Manifest]:
        selector = ",".join(f"{name.replace('_', '-')}={value}" for name, value in labels.items())
        return await self.client.list(POD, namespace=self.namespace, label_selector=selector)

    async def delete(self, kind: Kind, name: str) -> None:
        await self.client.delete(kind, Key(self.namespace, name), reason="test")

    def pod_spec(self, container: Manifest, **more: Any) -> Manifest:
        named = {"name": "main", "image": "script", **container}
        return {"nodeSelector": {"kubernetes.io/hostname": self.node}, "containers": [named], **more}


@pytest.fixture
async def gateway_api(api_server: ControlPlane) -> None:
    """The CRDs of Gateway API, ready for use."""
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        for manifest in locate_manifests().read("gateway-api"):
            await client.apply(CUSTOM_RESOURCE_DEFINITION, manifest, field_manager="test", reason="test")
        await eventually(lambda: client.list(HTTP_ROUTE), lambda _: True)


@asynccontextmanager
async def world(api_server: ControlPlane, folder: Path, *, with_gateway: bool = False) -> AsyncIterator[World]:
    """All stand-ins, limited to objects of this test where several tests share an API server."""
    name = f"standins-{uuid4().hex[:8]}"
    addresses = AddressTable()
    tls = api_server.authority.server("kubelet").write(folder / "tls", "kubelet")
    kubelet = KubeletSettings(
        folder=folder / "pods",
        addresses=addresses,
        api_server=api_server.url,
        programs=(
            Program(script, image="script"),
            Program(aimd_command_line, image="*/aimd:*"),
            Program(file_server, image="files"),
            LABELLED.program(),
            Program(model_command_line, container="kserve-container"),
        ),
        certificate=tls.certificate,
        key=tls.key,
        nodes=frozenset({name}),
        simulated_ready_after=0.1,
        back_off_scale=0.01,
        pull_seconds={"slow/*": 2.0},
    )
    volumes = VolumeSettings(folder / "volumes", (name,), provisioner=f"{name}.test/volumes")
    gateway = GatewaySettings(
        addresses, controller_name=f"{name}.test/gateway", gateway_class=name, gateways=(Key(name, "gateway"),)
    )
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client, anyio.create_task_group() as tasks:
        metadata = {"name": name}
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, reason="test")
        await tasks.start(partial(run_volumes, client, volumes))
        port = await tasks.start(partial(run_kubelet, client, kubelet))
        url = ""
        if with_gateway:
            url = await tasks.start(partial(run_gateway, client, gateway))
        await register_node(client, name, port)
        await eventually(lambda: client.get(SERVICE_ACCOUNT, Key(name, "default")))
        try:
            yield World(client, name, name, folder, Key(name, "gateway"), url)
        finally:
            with anyio.CancelScope(shield=True):
                await client.delete(NODE, Key("", name), reason="test")
                await client.delete(NAMESPACE, Key("", name), reason="test")
            tasks.cancel_scope.cancel()
    assert not list_folder(folder / "pods")


async def register_node(client: Client, name: str, kubelet_port: int) -> None:
    labels = labels_of(name, MI300X)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    await client.create(NODE, node, reason="test")
    resources = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti", "amd.com/gpu": "8"}
    status = {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}],
    }
    await client.patch(NODE, Key("", name), {"status": status}, reason="test", subresource="status")
    # The admission plugin for taints adds this one; the controller that would remove it is off.
    await client.patch(NODE, Key("", name), {"spec": {"taints": None}}, reason="test")


async def eventually(read: Callable[[], Awaitable[T]], accept: Callable[[T], Any] = bool, seconds: float = 30) -> T:
    """Reads until the answer is accepted; the last answer is in the failure."""
    seen: T = await wait_until("what the test waits for", read, accept, seconds)
    return seen


def condition_of(manifest: Manifest, type_: str) -> str:
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return next((item["status"] for item in conditions if item["type"] == type_), "")


def main_status(pod: Manifest) -> Manifest:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{"state": {}}]
    status: Manifest = statuses[0]
    return status


def weights_claim(world: World) -> dict[str, Any]:
    return {
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": world.storage_class,
            "resources": {"requests": {"storage": "1Gi"}},
        }
    }


DOWNLOAD = """
import json, os, pathlib, ssl, sys, urllib.request
folder = pathlib.Path(os.environ["AIMD_SERVICE_ACCOUNT_DIR"])
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
request = urllib.request.Request(
    f"https://{host}:{port}/apis/authentication.k8s.io/v1/selfsubjectreviews",
    data=json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode(),
    headers={"Authorization": "Bearer " + (folder / "token").read_text(), "Content-Type": "application/json"},
)
tls = ssl.create_default_context(cafile=folder / "ca.crt")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
print("user", json.load(opener.open(request))["status"]["userInfo"]["username"])
print("namespace", (folder / "namespace").read_text())
print("env", os.environ["TOKEN"], os.environ["PREFIX_COLOUR"], os.environ["NAME"], "HOST_SECRET" in os.environ)
print("config", pathlib.Path(sys.argv[2]).read_text())
(pathlib.Path(os.environ["TARGET_DIR"]) / "model.safetensors").write_text(sys.argv[1])
(pathlib.Path(os.environ["HF_HOME"])).mkdir()
pathlib.Path(os.environ["AIMD_TERMINATION_LOG"]).write_text("all there")
"""


def download_job(world: World) -> dict[str, Any]:
    container = {
        "args": [DOWNLOAD, "hf://$(NAME)", "/etc/settings/sub/colour"],
        "env": [
            {"name": "TARGET_DIR", "value": "/cache"},
            {"name": "HF_HOME", "value": "/tmp/.hf"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "hf"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "envFrom": [{"prefix": "PREFIX_", "configMapRef": {"name": "settings"}}],
        "volumeMounts": [
            {"name": "cache", "mountPath": "/cache"},
            {"name": "settings", "mountPath": "/etc/settings"},
        ],
    }
    volumes = [
        {"name": "cache", "persistentVolumeClaim": {"claimName": "weights"}},
        {
            "name": "settings",
            "configMap": {"name": "settings", "items": [{"key": "COLOUR", "path": "sub/colour"}]},
        },
    ]
    template = {"spec": world.pod_spec(container, restartPolicy="Never", volumes=volumes)}
    return {"spec": {"template": template, "backoffLimit": 0}}


async def volume_of(world: World, claim: str) -> Manifest:
    bound = await eventually(
        lambda: world.get(PERSISTENT_VOLUME_CLAIM, claim), lambda item: item["status"].get("phase") == "Bound"
    )
    return await world.client.get(PERSISTENT_VOLUME, Key("", bound["spec"]["volumeName"]))


async def test_a_job_runs_as_a_process_with_all_it_is_given(
    api_server: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "not for pods")
    async with world(api_server, tmp_path) as here:
        await here.create(SECRET, "token", stringData={"hf": "hf_secret"})
        await here.create(JOB, "download", **download_job(here))
        pods = await eventually(lambda: here.pods(job_name="download"), lambda found: found and found[0]["status"])
        assert pods[0]["status"]["phase"] == "Pending"
        await here.create(CONFIG_MAP, "settings", data={"COLOUR": "blue"})
        await here.create(PERSISTENT_VOLUME_CLAIM, "weights", **weights_claim(here))

        await eventually(lambda: here.get(JOB, "download"), lambda job: condition_of(job, "Complete") == "True")

        (pod,) = await here.pods(job_name="download")
        log = await here.client.logs(Key(here.namespace, pod["metadata"]["name"]))
        assert log.splitlines() == [
            f"user system:serviceaccount:{here.namespace}:default",
            f"namespace {here.namespace}",
            f"env hf_secret blue {here.namespace} False",
            "config blue",
        ]
        assert pod["status"]["phase"] == "Succeeded"
        assert condition_of(pod, "PodScheduled") == "True"
        ended = main_status(pod)["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"], ended["message"]) == (0, "Completed", "all there")
        volume = await volume_of(here, "weights")
        assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
        folder = Path(volume["spec"]["hostPath"]["path"])
        assert (folder / "model.safetensors").read_text() == f"hf://{here.namespace}"

        await here.delete(JOB, "download")
        await here.delete(PERSISTENT_VOLUME_CLAIM, "weights")
        await gone(here.client, PERSISTENT_VOLUME, Key("", volume["metadata"]["name"]))
        assert folder not in list_folder(tmp_path / "volumes")


async def test_an_aim_image_has_its_environment_its_profiles_and_the_gpus_of_its_pod(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    asked = {"image": LABELLED.reference, "args": ["dry-run", "--format=json"]}
    custom = {"name": "AIM_PROFILE_ID", "value": f"custom/{AIM}/mine"}
    folder = "/workspace/aim-runtime/profiles/custom/org/model"
    containers = [
        {**asked, "name": "with-gpu", "resources": {"limits": {"amd.com/gpu": "1"}}},
        {**asked, "name": "without"},
        {**asked, "name": "told", "env": [{"name": "AIM_GPU_MODEL", "value": "MI350X"}]},
        {**asked, "name": "mounted", "env": [custom], "volumeMounts": [{"name": "profile", "mountPath": folder}]},
        {**asked, "name": "both-ids", "env": [{"name": "AIM_MODEL_ID", "value": "a/b"}]},
    ]
    volumes = [{"name": "profile", "configMap": {"name": "profile"}}]
    async with world(api_server, tmp_path) as here:
        await here.create(CONFIG_MAP, "profile", data={"mine.yaml": yaml.safe_dump(document(aim_id=AIM, model_id=AIM))})
        spec = here.pod_spec({}, restartPolicy="Never", volumes=volumes) | {"containers": containers}
        await here.create(POD, "images", spec=spec)
        ended = await eventually(lambda: here.get(POD, "images"), lambda pod: pod["status"].get("phase") == "Failed")
        codes = {item["name"]: item["state"]["terminated"]["exitCode"] for item in ended["status"]["containerStatuses"]}
        logs = {name: await here.client.logs(Key(here.namespace, "images"), container=name) for name in codes}

    def chosen(name: str) -> list[str]:
        start = logs[name].rindex("\n[") if "\n[" in logs[name] else 0
        return [profile["filename"] for profile in json.loads(logs[name][start:].strip().partition("\n20")[0])]

    assert codes == {"with-gpu": 0, "without": 0, "told": 0, "mounted": 0, "both-ids": 1}
    assert chosen("with-gpu") == ["vllm-mi300x-fp16-tp1-latency.yaml"]
    assert chosen("without") == []
    assert "No AMD GPUs detected" in logs["without"]
    assert chosen("told") == ["vllm-mi350x-fp16-tp1-latency.yaml"]
    assert chosen("mounted") == ["mine.yaml"]
    assert "Cannot set both AIM_ID and AIM_MODEL_ID" in logs["both-ids"]


def list_folder(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_claim_may_grow(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        await here.create(PERSISTENT_VOLUME_CLAIM, "weights", **weights_claim(here))
        await volume_of(here, "weights")
        larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        await here.client.patch(PERSISTENT_VOLUME_CLAIM, Key(here.namespace, "weights"), larger, reason="test")
        await eventually(
            lambda: here.get(PERSISTENT_VOLUME_CLAIM, "weights"),
            lambda claim: claim["status"]["capacity"]["storage"] == "2Gi",
        )


async def gone(client: Client, kind: Kind, key: Key) -> None:
    async def is_gone() -> bool:
        try:
            await client.get(kind, key)
        except NotFound:
            return True
        return False

    await eventually(is_gone)


def model_deployment(world: World) -> dict[str, Any]:
    container = {
        "name": "kserve-container",
        "image": "amdenterpriseai/aim-base:0.10.0",
        "ports": [{"containerPort": 8000, "name": "http"}],
        "env": [{"name": "AIM_MODEL_ID", "value": MODEL}, {"name": "AIM_CACHE_PATH", "value": "/workspace/cache"}],
        "readinessProbe": {"tcpSocket": {"port": "http"}},
        "volumeMounts": [
            {"name": "dshm", "mountPath": "/dev/shm"},
            {"name": "weights", "mountPath": f"/workspace/cache/{MODEL}"},
        ],
    }
    volumes = [
        {"name": "dshm", "emptyDir": {"medium": "Memory"}},
        {"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}},
    ]
    spec = world.pod_spec(container, volumes=volumes)
    labels = {"app": "chat"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}}


def chat_route(world: World) -> dict[str, Any]:
    replacement = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": f"/{world.namespace}/chat"}}],
        "filters": [{"type": "URLRewrite", "urlRewrite": replacement}],
        "backendRefs": [{"kind": "Service", "name": "chat-predictor", "namespace": world.namespace, "port": 80}],
        "timeouts": {"request": "1m0s"},
    }
    parent = {"name": world.gateway.name, "namespace": world.gateway.namespace}
    return {"spec": {"parentRefs": [parent], "rules": [rule]}}


async def route_conditions(world: World) -> dict[str, str]:
    route = await world.get(HTTP_ROUTE, "chat")
    parents = (route.get("status") or {}).get("parents") or []
    return {item["type"]: item["reason"] for parent in parents for item in parent["conditions"]}


async def test_a_model_is_served_through_a_route(api_server: ControlPlane, gateway_api: None, tmp_path: Path) -> None:
    async with world(api_server, tmp_path, with_gateway=True) as here, httpx.AsyncClient(trust_env=False) as http:
        chat = f"{here.url}/{here.namespace}/chat"
        missing = await http.get(chat)
        assert (missing.status_code, missing.json()["error"]) == (404, f"no route for /{here.namespace}/chat")

        await here.create(HTTP_ROUTE, "chat", **chat_route(here))
        unresolved = {"Accepted": "Accepted", "ResolvedRefs": "BackendNotFound"}
        await eventually(lambda: route_conditions(here), lambda conditions: conditions == unresolved)
        assert (await http.get(chat)).status_code == 503
        ports = [{"name": "http", "port": 80, "targetPort": 8000}]
        await here.create(SERVICE, "chat-predictor", spec={"selector": {"app": "chat"}, "ports": ports})
        resolved = {"Accepted": "Accepted", "ResolvedRefs": "ResolvedRefs"}
        await eventually(lambda: route_conditions(here), lambda conditions: conditions == resolved)

        # Without weights the server does not come up, and the pod says so.
        await here.create(PERSISTENT_VOLUME_CLAIM, "weights", **weights_claim(here))
        await here.create(DEPLOYMENT, "chat", **model_deployment(here))
        (pod,) = await eventually(
            lambda: here.pods(app="chat"), lambda found: found and main_status(found[0]).get("lastState")
        )
        assert main_status(pod)["lastState"]["terminated"]["exitCode"] == 1
        unserved = await http.get(chat)
        assert unserved.status_code == 503
        assert "has no ready endpoint" in unserved.json()["error"]

        folder = Path((await volume_of(here, "weights"))["spec"]["hostPath"]["path"])
        (folder / "model.safetensors").write_text("weights")

        async def answers() -> httpx.Response:
            return await http.get(f"{chat}/v1/models")

        models = await eventually(answers, lambda response: response.status_code == 200)
        assert models.json()["data"][0]["id"] == MODEL
        question = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
        answer = await http.post(f"{chat}/v1/chat/completions", json=question)
        assert answer.json()["choices"][0]["message"]["content"] == "You said: hello"
        stream = http.stream("POST", f"{chat}/v1/chat/completions", json={**question, "stream": True})
        async with stream as response:
            lines = [line async for line in response.aiter_lines() if line]
        assert lines[-1] == "data: [DONE]"

        (pod,) = await here.pods(app="chat")
        assert condition_of(pod, "Ready") == "True"
        assert pod["status"]["podIP"].startswith("10.250.")
        events = await here.client.list(EVENT, namespace=here.namespace, field_selector="involvedObject.kind=Pod")
        assert {"Pulling", "Pulled", "Started"} <= {event["reason"] for event in events}

        await here.delete(DEPLOYMENT, "chat")
        await eventually(lambda: here.pods(app="chat"), lambda found: not found)
        assert (await http.get(chat)).status_code == 503
        await here.delete(HTTP_ROUTE, "chat")

        async def unrouted() -> int:
            return (await http.get(chat)).status_code

        await eventually(unrouted, lambda status: status == 404)


async def test_the_aimd_image_downloads_from_the_hub(api_server: ControlPlane, tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks, world(api_server, tmp_path) as here:
        (tmp_path / "hub" / MODEL).mkdir(parents=True)
        (tmp_path / "hub" / MODEL / "model.safetensors").write_bytes(b"weights" * 500_000)
        hub = await tasks.start(partial(run_hub, HubSettings(tmp_path / "hub")))
        await here.create(PERSISTENT_VOLUME_CLAIM, "weights", **weights_claim(here))
        container = {
            "image": "ghcr.io/example/aimd:1.0.0",
            "command": ["aimd", "download"],
            "args": [f"hf://{MODEL}"],
            "env": [{"name": "TARGET_DIR", "value": "/cache"}, {"name": "HF_ENDPOINT", "value": hub}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        }
        volumes = [{"name": "cache", "persistentVolumeClaim": {"claimName": "weights"}}]
        await here.create(POD, "download", spec=here.pod_spec(container, restartPolicy="Never", volumes=volumes))
        ended = await eventually(
            lambda: here.get(POD, "download"), lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed")
        )
        assert ended["status"]["phase"] == "Succeeded", await here.client.logs(Key(here.namespace, "download"))
        assert '"reason": "Completed"' in main_status(ended)["state"]["terminated"]["message"]
        folder = Path((await volume_of(here, "weights"))["spec"]["hostPath"]["path"])
        assert (folder / "model.safetensors").read_bytes() == b"weights" * 500_000
        tasks.cancel_scope.cancel()


async def test_a_failure_shows_exit_code_and_last_words(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        container = {
            "args": ["import sys; print('no space left on device'); sys.exit(3)"],
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        await here.create(POD, "failing", spec=here.pod_spec(container, restartPolicy="Never"))
        pod = await eventually(lambda: here.get(POD, "failing"), lambda found: found["status"]["phase"] == "Failed")
        ended = main_status(pod)["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (3, "Error")
        assert ended["message"] == "no space left on device\n"
        assert condition_of(pod, "Ready") == "False"


async def test_init_containers_come_first(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
        read = {"args": ["import sys; print(open(sys.argv[1]).read())", "/shared/word"], **mounts}
        write = {
            "name": "first",
            "image": "script",
            "args": ["import sys; open(sys.argv[1], 'w').write('ready')", "/shared/word"],
            **mounts,
        }
        spec = here.pod_spec(read, restartPolicy="Never", initContainers=[write])
        spec["volumes"] = [{"name": "shared", "emptyDir": {}}]
        await here.create(POD, "two-steps", spec=spec)
        await eventually(lambda: here.get(POD, "two-steps"), lambda pod: pod["status"]["phase"] == "Succeeded")
        assert await here.client.logs(Key(here.namespace, "two-steps")) == "ready\n"


async def test_a_crashing_container_is_restarted(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        await here.create(POD, "crashing", spec=here.pod_spec({"args": ["import sys; sys.exit(1)"]}))
        pod = await eventually(
            lambda: here.get(POD, "crashing"), lambda found: main_status(found).get("restartCount", 0) >= 2
        )
        assert pod["status"]["phase"] == "Running"
        assert main_status(pod)["lastState"]["terminated"]["exitCode"] == 1
        waiting = await eventually(
            lambda: here.get(POD, "crashing"), lambda found: "waiting" in main_status(found)["state"]
        )
        assert main_status(waiting)["state"]["waiting"]["reason"] == "CrashLoopBackOff"


async def test_probes_are_really_asked(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        container: Manifest = {
            "image": "files",
            "ports": [{"containerPort": 8080, "name": "web"}],
            "startupProbe": {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1},
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
            "livenessProbe": {"httpGet": {"path": "/gone", "port": 8080}, "initialDelaySeconds": 1},
        }
        container["livenessProbe"] |= {"periodSeconds": 1, "failureThreshold": 1}
        await here.create(POD, "probed", spec=here.pod_spec(container))
        await eventually(lambda: here.get(POD, "probed"), lambda pod: condition_of(pod, "Ready") == "True")
        pod = await eventually(
            lambda: here.get(POD, "probed"), lambda found: main_status(found).get("restartCount", 0) >= 1
        )
        assert main_status(pod)["lastState"]["terminated"]["exitCode"] == 143
        events = await here.client.list(EVENT, namespace=here.namespace)
        assert any(
            "Liveness probe failed: HTTP probe failed with statuscode: 404" in item["message"] for item in events
        )


async def test_an_image_that_cannot_be_pulled(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        await here.create(POD, "unpulled", spec=here.pod_spec({"image": "registry.invalid/model:1"}))
        reasons: set[str] = set()

        async def seen() -> set[str]:
            pod = await here.get(POD, "unpulled")
            reasons.add(str((main_status(pod)["state"].get("waiting") or {}).get("reason")))
            return reasons

        await eventually(seen, lambda found: found >= {"ErrImagePull", "ImagePullBackOff"})
        assert (await here.get(POD, "unpulled"))["status"]["phase"] == "Pending"


async def test_an_image_that_takes_long_to_pull(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        began = time.monotonic()
        await here.create(POD, "pulling", spec=here.pod_spec({"image": "slow/model:1"}))
        pod = await eventually(lambda: here.get(POD, "pulling"), lambda found: bool(found["status"].get("hostIP")))
        assert main_status(pod)["state"]["waiting"]["reason"] == "ContainerCreating"
        await eventually(lambda: here.get(POD, "pulling"), lambda found: "running" in main_status(found)["state"])
        assert time.monotonic() - began > 2


async def test_a_missing_secret_holds_a_container_back(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "hf"}}}
        container = {"args": ["import os; print(os.environ['TOKEN'])"], "env": [variable]}
        await here.create(POD, "waiting", spec=here.pod_spec(container, restartPolicy="Never"))
        pod = await eventually(
            lambda: here.get(POD, "waiting"),
            lambda found: main_status(found)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError",
        )
        assert main_status(pod)["state"]["waiting"]["message"] == 'secret "token" not found'
        await here.create(SECRET, "token", stringData={"hf": "now"})
        await eventually(lambda: here.get(POD, "waiting"), lambda found: found["status"]["phase"] == "Succeeded")


STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
print("pids", os.getpid(), child.pid, flush=True)
while True:
    time.sleep(0.1)
"""


async def stubborn_pids(world: World) -> list[int]:
    await eventually(lambda: world.get(POD, "stubborn"), lambda pod: condition_of(pod, "Ready") == "True")

    async def log() -> str:
        return await world.client.logs(Key(world.namespace, "stubborn"))

    text = await eventually(log, lambda found: "pids" in found)
    return [int(word) for word in text.split()[1:3]]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to take note of its end does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_deletion_asks_waits_and_kills(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        spec = here.pod_spec({"args": [STUBBORN]}, terminationGracePeriodSeconds=2)
        await here.create(POD, "stubborn", spec=spec)
        pids = await stubborn_pids(here)
        assert alive(pids) == pids
        started = anyio.current_time()
        await here.delete(POD, "stubborn")

        async def last_words() -> str:
            return await here.client.logs(Key(here.namespace, "stubborn"))

        await eventually(last_words, lambda text: "asked to end" in text)
        await gone(here.client, POD, Key(here.namespace, "stubborn"))
        assert 1.5 < anyio.current_time() - started < 10
        assert alive(pids) == []


async def test_nothing_is_left_when_the_kubelet_ends(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        await here.create(POD, "stubborn", spec=here.pod_spec({"args": [STUBBORN]}))
        pids = await stubborn_pids(here)
    assert alive(pids) == []


async def test_unknown_images_are_simulated(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        template = {"metadata": {"labels": {"app": "any"}}, "spec": here.pod_spec({"image": "nginx:1.27"})}
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "any"}}, "template": template}
        await here.create(DEPLOYMENT, "any", spec=spec)
        await eventually(lambda: here.get(DEPLOYMENT, "any"), lambda found: found["status"].get("readyReplicas") == 2)
        job = {"template": {"spec": here.pod_spec({"image": "busybox"}, restartPolicy="Never")}}
        await here.create(JOB, "any", spec=job)
        await eventually(lambda: here.get(JOB, "any"), lambda found: condition_of(found, "Complete") == "True")


async def test_kubectl_logs_of_an_unknown_container_fails(api_server: ControlPlane, tmp_path: Path) -> None:
    async with world(api_server, tmp_path) as here:
        await here.create(POD, "unpulled", spec=here.pod_spec({"image": "registry.invalid/model:1"}))
        await eventually(lambda: here.get(POD, "unpulled"), lambda pod: main_status(pod)["state"].get("waiting"))
        with pytest.raises(ApiError, match="is waiting to start"):
            await here.client.logs(Key(here.namespace, "unpulled"))
