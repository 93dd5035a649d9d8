"""`aimd sandbox demo`: apply two services, watch each until it runs, and send it a chat request through its route.

The first is the quickstart, which names its model and template. The second specifies only an image.
"""

# tests: tests/e2e/test_demo.py

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
_TIMEOUT = 180.0  # seconds until a service must run
_FAILURE_GRACE = 15.0  # seconds that a service may be Failed before the demo gives up
_PACKAGED = Path(__file__).parents[1] / "sandbox" / "_examples"
_CHECKOUT = Path(__file__).parents[2] / "examples"


def examples_folder() -> Path:
    """Return the folder with the example manifests: the packaged one, or that of the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


@dataclass(frozen=True, slots=True)
class Act:
    """A folder of manifests with one service; `headline` says what the act shows."""

    folder: Path
    service: Key
    headline: str


def acts() -> tuple[Act, ...]:
    """Return the acts of the demo, in their order."""
    return (
        Act(
            examples_folder() / "quickstart",
            Key("ml-team", "qwen-chat"),
            "A service that specifies its model and its template",
        ),
        Act(
            examples_folder() / "by-image",
            Key("ml-team", "qwen-by-image"),
            "A service that specifies only an image: aimd reads the profiles of the image in its registry, without a "
            "Job, and selects the best one for the GPUs of the cluster. The weights have already been downloaded",
        ),
    )


async def demonstrate(kubeconfig: Path, gateway_url: str, shown: Sequence[Act] = ()) -> int:
    """Apply the manifests of each act, watch its service and send it a request; return the exit status.

    Without acts, all are shown. If a service does not run, its conditions are printed and the demo ends.
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
    """One act on one cluster. Objects of earlier acts in the namespace are shown only if they change."""

    def __init__(self, client: Client, console: Console, act: Act) -> None:
        self._client = client
        self._console = console
        self._service = act.service
        self._folder = act.folder
        self._earlier: frozenset[Part] = frozenset()

    async def run(self, gateway_url: str) -> int:
        """Show the act; return the exit status."""
        self._earlier = frozenset(await parts_of(self._client, self._service))
        started = time.monotonic()
        self._console.print(f"Applying the manifests in {self._folder.name}", soft_wrap=True)
        await apply_manifests(self._client, read_manifests(self._folder))
        if not await self._watch():
            await self._explain()
            return 1
        self._console.print(f"\n[bold green]Running[/] after {time.monotonic() - started:.1f} s\n")
        return await self._ask(gateway_url)

    async def _watch(self) -> bool:
        """Show the service and its objects until it runs; return False if it stays Failed or time is up."""
        shown: list[Part] = []
        failing_since: float | None = None
        deadline = time.monotonic() + _TIMEOUT
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            while time.monotonic() < deadline:
                try:
                    parts = await parts_of(self._client, self._service)
                except ApiError:
                    parts = shown
                state = parts[0].state if parts else ""
                parts = [part for part in parts if part not in self._earlier]
                if parts != shown:
                    self._show(live, shown, parts)
                    shown = parts
                if state == "Running":
                    return True
                failing_since = (failing_since or time.monotonic()) if state == "Failed" else None
                if failing_since and time.monotonic() - failing_since > _FAILURE_GRACE:
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
        self._console.print("\n[bold red]The service is not running.[/] Conditions that are not met:")
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
            self._console.print(f"[bold red]The request through the route failed:[/] {error}", soft_wrap=True)
            return 1
        self._console.print(f"[bold]{answer}[/]\n", soft_wrap=True)
        return 0
