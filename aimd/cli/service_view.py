"""A service and its parts as a table that follows them: state, reason, download progress."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
)
from aimd.runtime.client import Client
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import JOB, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Key, Kind, key_of

_STYLES = {
    "Running": "bold green",
    "Ready": "green",
    "Bound": "green",
    "Complete": "green",
    "Accepted": "green",
    "Failed": "bold red",
    "Degraded": "yellow",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the table."""

    kind: str
    name: str
    state: str
    detail: str


async def parts_of(client: Client, service: Key) -> list[Part]:
    """The service first, then what it is made of, in the order it comes up."""
    try:
        live = await client.get(AIM_SERVICE, service)
        head = _part(live, AIM_SERVICE, _why(live))
    except NotFound:
        head = Part(AIM_SERVICE.name, service.name, "", "not applied yet")
    return [
        head,
        *[
            _part(item, kind, _why(item))
            for kind in (AIM_MODEL, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE)
            for item in await client.list(kind, namespace=service.namespace)
        ],
        *[
            _part(item, AIM_ARTIFACT, _progress(item) or _why(item))
            for item in await client.list(AIM_ARTIFACT, namespace=service.namespace)
        ],
        *[
            Part(kind.name, key_of(item).name, state(item), "")
            for kind, state in (
                (PERSISTENT_VOLUME_CLAIM, _phase),
                (JOB, _job_state),
                (INFERENCE_SERVICE, _ready_state),
                (POD, _phase),
                (HTTP_ROUTE, _route_state),
            )
            for item in await client.list(kind, namespace=service.namespace)
        ],
    ]


def table_of(parts: Iterable[Part], title: str) -> Table:
    """The parts as a rich table."""
    table = Table(title=title, title_justify="left", expand=True)
    table.add_column("Kind", no_wrap=True)
    table.add_column("Name", overflow="fold", ratio=2)
    table.add_column("State", no_wrap=True)
    table.add_column("Why", overflow="fold", ratio=3)
    for part in parts:
        table.add_row(part.kind, part.name, f"[{_STYLES.get(part.state, 'default')}]{part.state}[/]", part.detail)
    return table


def unmet_conditions(live: Mapping[str, Any]) -> list[str]:
    """The conditions that are not True, as `Type: Reason: message` (the answer to "why is it not running")."""
    conditions = (live.get("status") or {}).get("conditions") or ()
    return [
        f"{condition['type']}: {condition['reason']}: {condition.get('message', '')}"
        for condition in conditions
        if condition.get("status") != "True"
    ]


def _part(live: Mapping[str, Any], kind: Kind, detail: str) -> Part:
    return Part(kind.name, key_of(live).name, str((live.get("status") or {}).get("status", "")), detail)


def _why(live: Mapping[str, Any]) -> str:
    conditions = (live.get("status") or {}).get("conditions") or ()
    ready = next((condition for condition in conditions if condition["type"] == "Ready"), None)
    return str(ready.get("message") or ready["reason"]) if ready else ""


def _progress(live: Mapping[str, Any]) -> str:
    status = live.get("status") or {}
    progress = status.get("progress") or {}
    if status.get("status") in ("Ready", "Failed") or not progress.get("displayPercentage"):
        return ""
    done, total = progress.get("downloadedBytes", 0), progress.get("totalBytes", 0)
    return f"downloading {progress['displayPercentage']} ({done / 2**20:.0f} of {total / 2**20:.0f} MiB)"


def _phase(live: Mapping[str, Any]) -> str:
    return str((live.get("status") or {}).get("phase", ""))


def _job_state(live: Mapping[str, Any]) -> str:
    conditions = (live.get("status") or {}).get("conditions") or ()
    ended = [c["type"] for c in conditions if c.get("status") == "True" and c["type"] in ("Complete", "Failed")]
    return ended[0] if ended else "Running"


def _ready_state(live: Mapping[str, Any]) -> str:
    conditions = (live.get("status") or {}).get("conditions") or ()
    return "Ready" if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) else "NotReady"


def _route_state(live: Mapping[str, Any]) -> str:
    parents = (live.get("status") or {}).get("parents") or ()
    accepted = any(
        condition["type"] == "Accepted" and condition["status"] == "True"
        for parent in parents
        for condition in parent.get("conditions") or ()
    )
    return "Accepted" if accepted else "Pending"
