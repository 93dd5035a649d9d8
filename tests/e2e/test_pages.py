"""Every command of the documentation is run as it stands, page by page, and prints what the page shows.

The exceptions, with their reasons, are `NOT_RUN` in tests/pages.py. Placeholders in capitals get a value of the
sandbox, and the examples are applied with what only the internet has replaced (`reachable`).
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import Key
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.cluster import Sandbox, SandboxSettings, sandbox_cluster
from aimd.sandbox.hub import make_repository
from aimd.sandbox.manifests import read_manifests
from tests.e2e.test_examples import reachable
from tests.e2e.world import REPOSITORY_BYTES, Operator
from tests.pages import NOT_RUN, PAGES, ROOT, Command, commands, mentioned, name_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEAM = Key("", "ml-team")
COMMAND_SECONDS = 240
WATCH_SECONDS = 5
# In the order in which an administrator reads them: each goes on where the one before has stopped.
ADMINISTRATION = ["docs/quickstart.md", "docs/upgrade.md", "README.md", "docs/takeover.md"]
WITH_COMMANDS = [page for page in PAGES if {command.text for command in commands(page)} - NOT_RUN.keys()]
USE = [page for page in WITH_COMMANDS if name_of(page) not in ADMINISTRATION]


class Shell:
    """A terminal with kubectl and helm, in a copy of the repository's root."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._folder = folder
        self._gateway = sandbox.gateway_url.removeprefix("http://")
        programs = folder / "programs"
        programs.mkdir(parents=True)
        binaries = locate_binaries(["kubectl", "helm"])
        (programs / "kubectl").symlink_to(binaries.path("kubectl"))
        self._write_helm(programs / "helm", binaries.path("helm"), sandbox.operator.arguments[-1])
        self._environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "KUBECONFIG": str(sandbox.kubeconfig),
            "NO_PROXY": "*",
        }
        (folder / ".curlrc").write_text("fail-with-body\n")  # Else 404 counts as an answer.
        for name in ("charts", "crds"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "examples", folder / "examples")
        for file in (folder / "examples").rglob("*.yaml"):
            file.write_text(yaml.safe_dump_all([reachable(manifest) for manifest in read_manifests(file)]))

    @staticmethod
    def _write_helm(path: Path, helm: Path, mirrors: str) -> None:
        """The sandbox has applied parts of the chart already, which an installation takes over."""
        install = f'install) exec {helm} "$@" --take-ownership --set "manager.args={{--leader-elect,{mirrors}}}";;'
        path.write_text(f'#!/bin/sh\ncase "$1" in\n{install}\n*) exec {helm} "$@";;\nesac\n')
        path.chmod(0o755)

    async def run(self, command: Command) -> None:
        """Fails with what the command printed, unless it succeeds and prints what the page shows."""
        text = self._filled_in(command.text)
        watches = "--watch" in text.split()
        line = f"timeout {WATCH_SECONDS if watches else COMMAND_SECONDS} {text}"
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", line],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (124 if watches else 0), f"{text}\n{done.stdout}{done.stderr}"
        assert done.stdout or not watches
        assert " -n ml-team " not in text or " -l " not in text or "No resources found" not in done.stderr, text
        printed = done.stdout.splitlines()
        for wanted in command.output:
            assert any(re.fullmatch(pattern(wanted), one.rstrip()) for one in printed), f"{text}\n{done.stdout}"

    def _filled_in(self, text: str) -> str:
        """The command with values for its placeholders; `pvc NAME` and `job/JOB` are the first of that kind."""
        for placeholder, value in {
            "GATEWAY": self._gateway,
            "REGISTRY": "registry.example",
            "NAMESPACE": TEAM.name,
        }.items():
            text = text.replace(placeholder, value)
        first = r"\1\2$(kubectl -n ml-team get \1 -o jsonpath='{.items[0].metadata.name}')"
        return re.sub(r"\b(\w+)([ /])(?:NAME|JOB)\b", first, text)

    async def follow(self, page: Path) -> None:
        """Runs the commands of a page in their order."""
        for command in commands(page):
            if command.text not in NOT_RUN:
                print(f"$ {command.text}")
                await self.run(command)


def pattern(shown: str) -> str:
    """Blanks and `…` of a shown line stand for any number of blanks, and for anything."""
    words = [".*" if word == "…" else re.escape(word) for word in shown.split()]
    return r"\s*".join(words)


async def wait_gone(client: Client) -> None:
    """Returns when the namespace of the examples is not there, or no longer."""
    async with asyncio.timeout(120):
        while True:
            try:
                await client.get(NAMESPACE, TEAM)
            except NotFound:
                return
            await asyncio.sleep(0.5)


def fill(hub: Path) -> None:
    """The weights of the examples."""
    for repository in ("Qwen/Qwen3-32B", "meta-llama/Llama-3-8B", "acme/tiny-chat"):
        make_repository(hub, repository, REPOSITORY_BYTES)


async def run_what_is_mentioned(shell: Shell) -> None:
    """Runs the commands in running text, when there is something of everything to look at."""
    for example in ("catalog", "model-source", "scaling"):
        await shell.run(Command(f"kubectl apply -f examples/{example}/", ()))
    texts = dict.fromkeys(command.text for page in PAGES for command in mentioned(page))
    for text in texts:
        if text not in NOT_RUN:
            await shell.run(Command(text, ()))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def terminal(
    sandbox: Sandbox, client: Client, operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shell]:
    """What every page of use begins with: the namespace and the catalog."""
    await wait_gone(client)
    fill(sandbox.hub_root)
    shell = Shell(sandbox, tmp_path_factory.mktemp("terminal"))
    await shell.run(Command("kubectl apply -f examples/catalog/", ()))
    yield shell
    await client.delete(NAMESPACE, TEAM, reason="test")
    await wait_gone(client)


@pytest_asyncio.fixture(loop_scope="session")
async def shell(terminal: Shell) -> AsyncIterator[Shell]:
    """GPUs are left for the next page."""
    yield terminal
    await terminal.run(Command("kubectl -n ml-team delete aimservices --all", ()))


@pytest.mark.parametrize("page", USE, ids=name_of)
async def test_a_page_of_use(shell: Shell, page: Path) -> None:
    await shell.follow(page)


async def test_from_an_installation_to_a_takeover(tmp_path: Path) -> None:
    async with (
        sandbox_cluster(SandboxSettings()) as sandbox,
        connect(ClientOptions(kubeconfig=sandbox.kubeconfig, user_agent="e2e")) as client,
    ):
        fill(sandbox.hub_root)
        shell = Shell(sandbox, tmp_path)
        await shell.run(Command("kubectl create namespace my-team", ()))  # The quickstart has one of one's own.
        for name in ADMINISTRATION:
            await shell.follow(ROOT / name)
            if name == "docs/quickstart.md":
                await run_what_is_mentioned(shell)
            if name == "README.md":
                await shell.run(Command("helm uninstall aimd --namespace aim-system", ()))
                await client.delete(NAMESPACE, TEAM, reason="test")
