"""The whole sandbox once per session; a namespace, a client and an operator process per test."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import Key
from aimd.sandbox.cluster import Sandbox, SandboxSettings, sandbox_cluster
from aimd.sandbox.hub import make_repository
from aimd.sandbox.manifests import apply_manifests
from tests.e2e.deployed import DeployedOperator
from tests.e2e.world import (
    REPOSITORY,
    REPOSITORY_BYTES,
    Operator,
    World,
    namespace_manifest,
    refused_of,
    runtime_config,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--operator",
        choices=("process", "deployment"),
        default="process",
        help="what operates: aimd run as a process of the tests, or the chart's Deployment in the cluster",
    )
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write tests/data/golden/ from what test_golden.py sees, instead of comparing",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for the session: the sandbox lives in it."""
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """Control plane, KServe, stand-ins, AIM CRDs and the chart's identity.

    Held by a task of its own: cancel scopes must be left by the task that entered them, and fixtures are not.
    """
    started: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def hold() -> None:
        try:
            async with sandbox_cluster(SandboxSettings(nodes=2)) as running:
                started.set_result(running)
                await stop.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            else:
                raise

    task = asyncio.create_task(hold())
    running = await started
    make_repository(running.hub_root, REPOSITORY, REPOSITORY_BYTES)
    yield running
    stop.set()
    await task


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    """An administrator's client."""
    async with connect(ClientOptions(kubeconfig=sandbox.kubeconfig, user_agent="e2e")) as connected:
        yield connected


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator(
    sandbox: Sandbox, client: Client, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> AsyncIterator[Operator]:
    """A running operator; a test that kills it starts it again. At the end it must never have lacked a right."""
    folder = tmp_path_factory.mktemp("operator")
    if pytestconfig.getoption("--operator", "process") == "deployment":
        deployed = DeployedOperator(sandbox, folder)
        await deployed.install(client)
        yield deployed
        deployed.keep_logs()
        assert deployed.tracebacks == []
    else:
        running = Operator(sandbox.operator, folder / "aimd.log")
        running.start()
        yield running
        running.stop()
    print(f"--- operator log: {folder}")
    assert refused_of(sandbox) == set()


@pytest_asyncio.fixture(loop_scope="session")
async def world(
    sandbox: Sandbox, client: Client, operator: Operator, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    """A namespace of the test's own, with routing on and the local hub as its Hugging Face endpoint."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:30].strip("-")
    await apply_manifests(client, [namespace_manifest(name), runtime_config(name, sandbox.hub_url)])
    yield World(sandbox, client, operator, name)
    await client.delete(NAMESPACE, Key("", name), reason="test")
