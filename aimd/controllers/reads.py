"""What is not worth a cache and is read when it is needed: ends of logs, and Events about single objects.

What cannot be read is left out; the status of the object has to do.
"""

from collections.abc import Iterable

import structlog

from aimd.planning.pod_failures import LOG_LINES
from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError
from aimd.runtime.kinds import EVENT
from aimd.runtime.objects import Manifest, key_of, uid_of

_log = structlog.get_logger()


async def log_tails(client: Client, pods: Iterable[Manifest]) -> dict[str, str]:
    """The last lines of each pod's log, by the pod's name."""
    tails: dict[str, str] = {}
    for pod in pods:
        try:
            tails[key_of(pod).name] = await client.logs(key_of(pod), tail_lines=LOG_LINES)
        except ApiError as error:
            _log.debug("log not read", pod=str(key_of(pod)), error=str(error))
    return tails


async def events_about(client: Client, objects: Iterable[Manifest]) -> list[Manifest]:
    """The Events about these objects."""
    events: list[Manifest] = []
    for item in objects:
        selector = f"involvedObject.uid={uid_of(item)}"
        try:
            events += await client.list(EVENT, namespace=key_of(item).namespace, field_selector=selector)
        except ApiError as error:
            _log.debug("events not read", about=str(key_of(item)), error=str(error))
    return events
