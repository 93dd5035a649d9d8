"""`aimd sandbox demo`: the quickstart applied, watched until it runs, and asked something through its route."""

import time
from pathlib import Path

import anyio
import httpx
from rich.console import Console
from rich.live import Live

from aimd.cli.service_view import Part, parts_of, table_of, unmet_conditions
from aimd.planning.kinds import SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import ApiError
from aimd.runtime.model import Key
from aimd.sandbox.manifests import apply_manifests, read_manifests

SERVICE_KEY = Key("ml-team", "qwen-chat")
QUESTION = "Hello! Are you there?"
_PATIENCE = 180.0
_FAILED_FOR_GOOD = 15.0  # seconds in Failed, time for what is only late to arrive
_PACKAGED = Path(__file__).parents[1] / "sandbox" / "_examples" / "quickstart"
_CHECKOUT = Path(__file__).parents[2] / "examples" / "quickstart"


def quickstart_folder() -> Path:
    """The quickstart's manifests: packaged, or of the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


async def demonstrate(kubeconfig: Path, gateway_url: str, folder: Path | None = None) -> int:
    """Applies a folder with the service `ml-team/qwen-chat`, watches, asks; returns the exit status.

    What keeps the service from running is printed.
    """
    console = Console()
    folder = folder or quickstart_folder()
    console.print(f"Applying the manifests of {folder.name}", soft_wrap=True)
    async with connect(ClientOptions(kubeconfig=kubeconfig, user_agent="aimd-demo")) as client:
        started = time.monotonic()
        await apply_manifests(client, read_manifests(folder))
        if not await _watch(client, console):
            await _explain(client, console)
            return 1
        console.print(f"\n[bold green]Running[/] after {time.monotonic() - started:.1f} s\n")
        return await _ask(client, console, gateway_url)


async def _watch(client: Client, console: Console) -> bool:
    """Shows the service and its parts until it runs; False when it fails for good or time is up."""
    shown: list[Part] = []
    failing_since: float | None = None
    deadline = time.monotonic() + _PATIENCE
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while time.monotonic() < deadline:
            try:
                parts = await parts_of(client, SERVICE_KEY)
            except ApiError:
                parts = shown
            if parts != shown:
                _show(live, console, shown, parts)
                shown = parts
            state = parts[0].state if parts else ""
            if state == "Running":
                return True
            failing_since = (failing_since or time.monotonic()) if state == "Failed" else None
            if failing_since and time.monotonic() - failing_since > _FAILED_FOR_GOOD:
                return False
            await anyio.sleep(0.25)
    return False


def _show(live: Live, console: Console, before: list[Part], after: list[Part]) -> None:
    if console.is_terminal:
        live.update(table_of(after, f"AIMService {SERVICE_KEY}"), refresh=True)
        return
    for part in after:
        if part not in before:
            console.print(f"{part.kind:<22} {part.name:<56} {part.state:<12} {part.detail}", soft_wrap=True)


async def _explain(client: Client, console: Console) -> None:
    console.print("\n[bold red]The service does not run.[/] Its conditions that are not met:")
    try:
        unmet = unmet_conditions(await client.get(SERVICE, SERVICE_KEY))
    except ApiError as error:
        unmet = [str(error)]
    for line in unmet:
        console.print(f"  {line}", soft_wrap=True)


async def _ask(client: Client, console: Console, gateway_url: str) -> int:
    service = await client.get(SERVICE, SERVICE_KEY)
    url = f"{gateway_url}{service['status']['routing']['path']}/v1/chat/completions"
    body = {"model": "Qwen/Qwen2.5-0.5B-Instruct", "messages": [{"role": "user", "content": QUESTION}]}
    console.print(f"POST {url}\n  {QUESTION}", soft_wrap=True)
    try:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            response = (await http.post(url, json=body)).raise_for_status()
            answer = response.json()["choices"][0]["message"]["content"]
    except (httpx.HTTPError, KeyError, ValueError) as error:
        console.print(f"[bold red]No answer through the route:[/] {error}", soft_wrap=True)
        return 1
    console.print(f"[bold]{answer}[/]\n", soft_wrap=True)
    return 0
