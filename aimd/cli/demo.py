"""`aimd sandbox demo`: two services applied, each watched until it runs, and asked something through its route.

The first is the quickstart, which names its model and template. The second gives nothing but an image.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
from rich.console import Console
from rich.live import Live

from aimd.cli.service_view import Part, parts_of, table_of, unmet_conditions
from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import ApiError
from aimd.runtime.objects import Key
from aimd.sandbox.manifests import apply_manifests, read_manifests

QUESTION = "Hello! Are you there?"
_PATIENCE = 180.0
_FAILED_FOR_GOOD = 15.0  # seconds in Failed, time for what is only late to arrive
_PACKAGED = Path(__file__).parents[1] / "sandbox" / "_examples"
_CHECKOUT = Path(__file__).parents[2] / "examples"


def examples_folder() -> Path:
    """The example manifests: packaged, or of the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


@dataclass(frozen=True, slots=True)
class Act:
    """A folder of manifests with one service in it; `headline` says what there is to see."""

    folder: Path
    service: Key
    headline: str


def acts() -> tuple[Act, ...]:
    """What is shown, in this order."""
    return (
        Act(
            examples_folder() / "quickstart",
            Key("ml-team", "qwen-chat"),
            "A service that names its model and its template",
        ),
        Act(
            examples_folder() / "by-image",
            Key("ml-team", "qwen-by-image"),
            "A service that names an image: its labels are read in the registry, it is asked for its profiles, and the "
            "best one for the cluster's GPUs is taken. The weights are there already",
        ),
    )


async def demonstrate(kubeconfig: Path, gateway_url: str, shown: Sequence[Act] = ()) -> int:
    """Applies what each act (all of them when none is given) is about, watches, asks; returns the exit status.

    What keeps a service from running is printed, and ends the demonstration.
    """
    console = Console()
    async with connect(ClientOptions(kubeconfig=kubeconfig, user_agent="aimd-demo")) as client:
        for number, act in enumerate(shown or acts(), 1):
            console.print(f"\n[bold]{number}. {act.headline}.[/]", soft_wrap=True)
            code = await _Performance(client, console, act).run(gateway_url)
            if code:
                return code
    return 0


class _Performance:
    """One act on one cluster. What other acts left in the namespace is not shown, unless it changes."""

    def __init__(self, client: Client, console: Console, act: Act) -> None:
        self._client = client
        self._console = console
        self._service = act.service
        self._folder = act.folder
        self._settled: frozenset[Part] = frozenset()

    async def run(self, gateway_url: str) -> int:
        """Applies, watches and asks; the exit status."""
        self._settled = frozenset(await parts_of(self._client, self._service))
        started = time.monotonic()
        self._console.print(f"Applying the manifests of {self._folder.name}", soft_wrap=True)
        await apply_manifests(self._client, read_manifests(self._folder))
        if not await self._watch():
            await self._explain()
            return 1
        self._console.print(f"\n[bold green]Running[/] after {time.monotonic() - started:.1f} s\n")
        return await self._ask(gateway_url)

    async def _watch(self) -> bool:
        """Shows the service and its parts until it runs; False when it fails for good or time is up."""
        shown: list[Part] = []
        failing_since: float | None = None
        deadline = time.monotonic() + _PATIENCE
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            while time.monotonic() < deadline:
                try:
                    parts = await parts_of(self._client, self._service)
                except ApiError:
                    parts = shown
                state = parts[0].state if parts else ""
                parts = [part for part in parts if part not in self._settled]
                if parts != shown:
                    self._show(live, shown, parts)
                    shown = parts
                if state == "Running":
                    return True
                failing_since = (failing_since or time.monotonic()) if state == "Failed" else None
                if failing_since and time.monotonic() - failing_since > _FAILED_FOR_GOOD:
                    return False
                await anyio.sleep(0.25)
        return False

    def _show(self, live: Live, before: list[Part], after: list[Part]) -> None:
        if self._console.is_terminal:
            live.update(table_of(after, f"AIMService {self._service}"), refresh=True)
            return
        for part in after:
            if part not in before:
                line = f"{part.kind:<22} {part.name:<56} {part.state:<12} {part.detail}"
                self._console.print(line, soft_wrap=True)

    async def _explain(self) -> None:
        self._console.print("\n[bold red]The service does not run.[/] Its conditions that are not met:")
        try:
            unmet = unmet_conditions(await self._client.get(AIM_SERVICE, self._service))
        except ApiError as error:
            unmet = [str(error)]
        for line in unmet:
            self._console.print(f"  {line}", soft_wrap=True)

    async def _ask(self, gateway_url: str) -> int:
        service = await self._client.get(AIM_SERVICE, self._service)
        url = f"{gateway_url}{service['status']['routing']['path']}/v1/chat/completions"
        body = {"model": "Qwen/Qwen2.5-0.5B-Instruct", "messages": [{"role": "user", "content": QUESTION}]}
        self._console.print(f"POST {url}\n  {QUESTION}", soft_wrap=True)
        try:
            async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
                response = (await http.post(url, json=body)).raise_for_status()
                answer = response.json()["choices"][0]["message"]["content"]
        except (httpx.HTTPError, KeyError, ValueError) as error:
            self._console.print(f"[bold red]No answer through the route:[/] {error}", soft_wrap=True)
            return 1
        self._console.print(f"[bold]{answer}[/]\n", soft_wrap=True)
        return 0
