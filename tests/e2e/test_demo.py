"""What `make demo` does after the sandbox is up: it shows the answer, or the condition that says why there is none."""

import shutil
from pathlib import Path

import pytest

from aimd.cli.demo import SERVICE_KEY, demonstrate, quickstart_folder
from aimd.runtime.client import Client
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.model import Key
from aimd.sandbox.cluster import Sandbox
from tests.e2e.world import Operator, wait_until


async def test_it_explains_a_failure_and_then_shows_the_answer(
    sandbox: Sandbox, client: Client, operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("namespace.yaml", "runtime-config.yaml", "service.yaml"):
        shutil.copy(quickstart_folder() / name, tmp_path)
    assert await demonstrate(sandbox.kubeconfig, sandbox.gateway_url, tmp_path) == 1
    printed = capsys.readouterr().out
    assert "ModelReady: ModelNotFound: " in printed
    assert "TemplateReady: TemplateNotFound: " in printed

    assert await demonstrate(sandbox.kubeconfig, sandbox.gateway_url) == 0
    printed = capsys.readouterr().out
    assert "Running after" in printed
    assert "You said: Hello! Are you there?" in printed

    namespace = Key("", SERVICE_KEY.namespace)
    await client.delete(NAMESPACE, namespace, reason="test")

    async def gone() -> bool:
        try:
            await client.get(NAMESPACE, namespace)
        except NotFound:
            return True
        return False

    await wait_until("the namespace is gone", gone, bool)
