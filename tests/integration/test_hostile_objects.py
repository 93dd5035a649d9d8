"""Whatever the API server stores costs itself alone: others converge, a restart becomes ready, nothing stalls.

The definitions of our kinds are loosened first, as an older version, or an administrator, may have had them; so objects
of any shape are stored. The corpus has, for each kind, the deepest, the longest and the oddest of them.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path

import anyio
import httpx
import pytest

from aimd.api.crd import render
from aimd.api.kinds import RESOURCES
from aimd.planning.kinds import AIM_SERVICE, MODELS
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import EVENT
from aimd.runtime.objects import Kind, Manifest, key_of
from aimd.sandbox.control_plane import ControlPlane, control_plane
from aimd.sandbox.crds import foreign_crds
from aimd.sandbox.manifests import apply_manifests
from tests.integration.operator_process import eventually, free_port, lines_of, ready, running
from tests.integration.stand_ins import FOREIGN, install_own_crds, make_namespace

HOSTILE, QUIET = "hostile", "quiet"
LONGEST_STALL = 1.0
"""Seconds of the operator's own processor time between a probe and its reply."""
MOST_MEMORY = 1024
"""MiB; the chart allows four times as much."""
ODD = ('"text"', "5", "[]", '["text"]', '{"name":5}', '[{"name":{}}]')


def deep(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


SPECS = {
    "text": '"text"',
    "list": "[1]",
    "deep-200": deep(200),
    "deep-300": deep(300),
    "deep-1100": deep(1100),
    "deep-4000": deep(4000, "[", "]"),
    "number": '{"x":1e308,"y":18446744073709551616,"z":-0.0}',
    "strange": json.dumps({"\u2028": "\ud800\x00\u0085\ufeff", "": "\x7f"}),
    "wide": json.dumps({"env": [{"name": f"N{number}", "value": "v" * 20} for number in range(5000)]}),
    "long": json.dumps({"modelId": "x" * 1_200_000}),
    "brackets": '{"a":[' + "[]," * 100_000 + "[]]}",
}
"""Specs by the names of their objects, which are alike for all kinds: references by name find them."""
REFERENCES = (
    {"model": {"name": "%s"}},
    {"model": {"name": "tiny"}, "template": {"name": "%s"}},
    {"model": {"name": "tiny"}, "runtimeConfigName": "%s"},
)


def loosened(definition: Manifest) -> Manifest:
    """Return the definition without a schema, but with its status."""
    loose = deepcopy(definition)
    for version in loose["spec"]["versions"]:
        version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return loose


def fields_of(kind: Kind) -> Iterator[str]:
    spec = MODELS[kind].model_fields["spec"].annotation
    for name, field in getattr(spec, "model_fields", {}).items():
        yield field.alias or name


def corpus(kind: Kind, *, full: bool) -> Iterator[tuple[str, str]]:
    """Yield name and spec of each hostile object of a kind; unless `full`, none that is large."""
    yield from ((name, spec) for name, spec in SPECS.items() if full or len(spec) < 50_000)
    for field in fields_of(kind):
        for number, value in enumerate((*ODD, deep(300)) if full else ODD[:1]):
            yield f"odd-{field.lower()}-{number}", f'{{"{field}":{value}}}'


def body_of(kind: Kind, name: str, spec: str) -> bytes:
    namespace = f'"namespace":"{HOSTILE}",' if kind.namespaced else ""
    head = f'"apiVersion":"{kind.api_version}","kind":"{kind.name}"'
    return f'{{{head},"metadata":{{{namespace}"name":"{name}"}},"spec":{spec}}}'.encode()


def path_of(kind: Kind) -> str:
    where = f"/namespaces/{HOSTILE}" if kind.namespaced else ""
    return f"/apis/{kind.api_version}{where}/{kind.plural}"


async def fill(api_server: ControlPlane, *, full: bool) -> int:
    """Store the corpus of every kind; return how many objects the server took."""
    stored = 0
    async with api_server.http() as http:
        http.timeout = httpx.Timeout(60)
        for kind in MODELS:
            for name, spec in corpus(kind, full=full):
                body = body_of(kind, name, spec)
                answer = await http.post(path_of(kind), content=body, headers={"Content-Type": "application/json"})
                stored += answer.is_success
        for number, (name, reference) in enumerate((name, reference) for name in SPECS for reference in REFERENCES):
            spec = json.dumps(reference).replace("%s", name)
            body = body_of(AIM_SERVICE, f"victim-{number}", spec)
            answer = await http.post(path_of(AIM_SERVICE), content=body, headers={"Content-Type": "application/json"})
            stored += answer.is_success
    return stored


@asynccontextmanager
async def loose_server() -> AsyncIterator[ControlPlane]:
    """An API server of its own, since other tests need the real definitions."""
    async with control_plane() as server, connect(ClientOptions(kubeconfig=server.kubeconfig)) as admin:
        await apply_manifests(admin, [loosened(render(resource)) for resource in RESOURCES])
        await apply_manifests(admin, foreign_crds(*FOREIGN))
        for name in (HOSTILE, QUIET, "aim-system"):
            await make_namespace(admin, name)
        yield server


class Watch:
    """What an operator costs while it runs."""

    def __init__(self, pid: int, url: str) -> None:
        self.pid, self.url = pid, url
        self.stall = 0.0

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    @property
    def most_memory(self) -> float:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    async def run(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            while True:
                before = self.processor_seconds()
                try:
                    (await http.get(f"{self.url}/healthz")).raise_for_status()
                    self.stall = max(self.stall, self.processor_seconds() - before)
                except httpx.ConnectError:
                    pass
                await anyio.sleep(0.05)


async def samples(port: int, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}\b", line))


async def others_converge(client: Client, round_: int, log: Path) -> None:
    """Make an object of each namespaced kind in another namespace, and wait until each has been observed."""
    specs: dict[str, Manifest] = {
        "AIMService": {"model": {"name": "tiny"}},
        "AIMModel": {"image": "127.0.0.1:1/none:1"},
        "AIMServiceTemplate": {"modelName": "tiny"},
        "AIMTemplateCache": {"templateName": "tiny", "templateScope": "Namespace"},
        "AIMArtifact": {"sourceUri": "hf://acme/tiny"},
        "AIMRuntimeConfig": {},
    }
    kinds = [kind for kind in MODELS if kind.name in specs]
    for kind in kinds:
        metadata = {"name": f"good-{round_}", "namespace": QUIET}
        await client.create(kind, kind.manifest(metadata, spec=specs[kind.name]), reason="test")

    async def observed() -> bool:
        found = [item for kind in kinds for item in await client.list(kind, namespace=QUIET)]
        return all((item.get("status") or {}).get("observedGeneration") == 1 for item in found)

    await eventually(observed, log, attempts=600)


async def reported(client: Client) -> set[tuple[str, str]]:
    """Return kind and name of every hostile object that has a condition or an Event."""
    events = await client.list(EVENT, namespace=HOSTILE) + await client.list(EVENT, namespace="default")
    found = {(event["involvedObject"]["kind"], event["involvedObject"]["name"]) for event in events}
    for kind in MODELS:
        for item in await client.list(kind):
            status = item.get("status")
            if isinstance(status, dict) and status.get("conditions"):
                found.add((kind.name, key_of(item).name))
    return found


def check_log(log: Path) -> None:
    raised = [line for line in lines_of(log) if "raised" in line["msg"] or line["msg"].endswith(" failed")]
    told = {(line.get("controller"), line["msg"], line.get("name"), str(line.get("error"))[:160]) for line in raised}
    assert told == set()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_whatever_is_stored_costs_itself_alone(tmp_path: Path, full: bool) -> None:
    """Prove OBJ-TEN-1 and OBJ-TEN-3: while it is created, after a restart, and under the real definitions."""
    async with loose_server() as server, connect(ClientOptions(kubeconfig=server.kubeconfig)) as client:
        for round_ in range(3):
            if round_ == 2:
                await install_own_crds(client)
            await one_run(server, client, tmp_path / f"log-{round_}", round_, full=full)


async def one_run(server: ControlPlane, client: Client, log: Path, round_: int, *, full: bool) -> None:
    """Run the operator; the first one sees the objects come, the last one sees them go."""
    port = free_port()
    flags = (f"--metrics-bind-address=127.0.0.1:{port}", "--metrics-secure=false")
    with running(server.kubeconfig, log, *flags) as (process, url):
        watch = Watch(process.pid, url)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            await eventually(lambda: ready(url), log)
            if round_ == 0:
                assert await fill(server, full=full) > (500 if full else 150)
            await others_converge(client, round_, log)

            async def all_reported() -> bool:
                expected = {(kind.name, name) for kind in MODELS for name in SPECS if name.startswith("deep-")}
                return expected <= await reported(client)

            await eventually(all_reported, log, attempts=600)
            tasks.cancel_scope.cancel()
        assert await ready(url)
        check_log(log)
        assert await samples(port, "controller_runtime_reconcile_panics_total") == 0
        assert await samples(port, "aimd_unreadable_objects") > 60
        assert watch.stall <= LONGEST_STALL
        assert watch.most_memory <= MOST_MEMORY
        assert f"{HOSTILE}/deep-1100" in {line["key"] for line in lines_of(log) if line["msg"] == "object unreadable"}
        if round_ == 2:
            await deletion_is_noticed(server, port, log)


async def deletion_is_noticed(api_server: ControlPlane, port: int, log: Path) -> None:
    before = await samples(port, "aimd_unreadable_objects")
    async with api_server.http() as http:
        http.timeout = httpx.Timeout(60)
        for kind in MODELS:
            (await http.delete(f"{path_of(kind)}/deep-1100")).raise_for_status()

    async def gone() -> bool:
        return await samples(port, "aimd_unreadable_objects") <= before - len(MODELS)

    await eventually(gone, log)
