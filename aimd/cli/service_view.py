"""A service and its objects as a table: state, reason, download progress."""

from collections.abc import Iterable
from dataclasses import dataclass

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
from aimd.planning.objects import (
    View,
    condition_of,
    conditions_of,
    has_condition,
    part,
    parts,
    phase_of,
    status_of,
    status_word,
    text,
    whole_number,
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
    """Return the service, then the objects that belong to it, in the order in which they appear."""
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
                (PERSISTENT_VOLUME_CLAIM, phase_of),
                (JOB, _job_state),
                (INFERENCE_SERVICE, _ready_state),
                (POD, phase_of),
                (HTTP_ROUTE, _route_state),
            )
            for item in await client.list(kind, namespace=service.namespace)
        ],
    ]


def table_of(rows: Iterable[Part], title: str) -> Table:
    """Return the parts as a table of rich."""
    table = Table(title=title, title_justify="left", expand=True)
    table.add_column("Kind", no_wrap=True)
    table.add_column("Name", overflow="fold", ratio=2)
    table.add_column("State", no_wrap=True)
    table.add_column("Why", overflow="fold", ratio=3)
    for row in rows:
        table.add_row(row.kind, row.name, f"[{_STYLES.get(row.state, 'default')}]{row.state}[/]", row.detail)
    return table


def unmet_conditions(service: View) -> list[str]:
    """Return the conditions that are not True, as `Type: Reason: message`; they say why a service does not run."""
    return [f"{item.type}: {item.reason}: {item.message}" for item in conditions_of(service) if item.status != "True"]


def _part(item: View, kind: Kind, detail: str) -> Part:
    return Part(kind.name, key_of(item).name, status_word(item), detail)


def _why(item: View) -> str:
    ready = condition_of(item, "Ready")
    return (ready.message or ready.reason) if ready is not None else ""


def _progress(artifact: View) -> str:
    progress = part(status_of(artifact), "progress")
    percentage = text(progress, "displayPercentage")
    if status_word(artifact) in ("Ready", "Failed") or not percentage:
        return ""
    done, total = (whole_number(progress, name) / 2**20 for name in ("downloadedBytes", "totalBytes"))
    return f"downloading {percentage} ({done:.0f} of {total:.0f} MiB)"


def _job_state(job: View) -> str:
    return next((type_ for type_ in ("Complete", "Failed") if has_condition(job, type_)), "Running")


def _ready_state(inference_service: View) -> str:
    return "Ready" if has_condition(inference_service, "Ready") else "NotReady"


def _route_state(route: View) -> str:
    accepted = any(
        text(condition, "type") == "Accepted" and text(condition, "status") == "True"
        for parent in parts(status_of(route), "parents")
        for condition in parts(parent, "conditions")
    )
    return "Accepted" if accepted else "Pending"
