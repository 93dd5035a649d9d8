"""What `make demo` does after the sandbox is up: it shows the answer, or the condition that says why there is none."""

import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from aimd.cli.demo import acts, demonstrate
from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.runtime.client import Client
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import JOB, NAMESPACE
from aimd.runtime.objects import Key
from aimd.sandbox.aim_image.images import MODEL, UNLABELLED
from aimd.sandbox.cluster import Sandbox
from tests.e2e.world import Operator
from tests.waiting import wait_until


async def test_it_explains_a_failure_and_then_shows_the_answer(
    sandbox: Sandbox, client: Client, operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quickstart, by_image = acts()
    for name in ("00-namespace.yaml", "runtime-config.yaml", "service.yaml"):
        shutil.copy(quickstart.folder / name, tmp_path)
    assert await demonstrate(sandbox.kubeconfig, sandbox.gateway_url, [replace(quickstart, folder=tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "ModelReady: ModelNotFound: " in printed
    assert "TemplateReady: TemplateNotFound: " in printed

    assert await demonstrate(sandbox.kubeconfig, sandbox.gateway_url) == 0
    printed = capsys.readouterr().out
    assert printed.count("Running after") == 2
    assert printed.count("You said: Hello! Are you there?") == 2

    service = await client.get(AIM_SERVICE, by_image.service)
    assert service["status"]["resolvedModel"]["scope"] == "Namespace"
    templates = [
        item
        for item in await client.list(AIM_SERVICE_TEMPLATE, namespace=by_image.service.namespace)
        if item["spec"]["modelName"] == service["status"]["resolvedModel"]["name"]
    ]
    gpus = {item["metadata"]["name"]: item["spec"]["hardware"]["gpu"]["model"] for item in templates}
    assert set(gpus.values()) == {"MI300X", "MI350X"}
    assert gpus[service["status"]["resolvedTemplate"]["name"]] == "MI350X"
    assert {item["spec"]["profileId"] for item in templates} < {Path(path).stem for path in UNLABELLED.own_profiles}
    jobs = await client.list(JOB, namespace=by_image.service.namespace)
    assert [item["metadata"]["name"] for item in jobs if item["metadata"]["name"].startswith("discover-")] == []
    async with httpx.AsyncClient(base_url=sandbox.gateway_url, trust_env=False, timeout=30) as http:
        cards = (await http.get(f"{service['status']['routing']['path']}/v1/models")).json()["data"]
    assert [(card["id"], card["profile"]) for card in cards] == [(MODEL, "vllm-mi350x-fp16-tp1-latency")]
    assert cards[0]["root"].endswith(f"/{MODEL}")
    assert len(await client.list(AIM_ARTIFACT, namespace=by_image.service.namespace)) == 1

    namespace = Key("", by_image.service.namespace)
    await client.delete(NAMESPACE, namespace, reason="test")

    async def gone() -> bool:
        try:
            await client.get(NAMESPACE, namespace)
        except NotFound:
            return True
        return False

    await wait_until("the namespace is gone", gone, bool)
