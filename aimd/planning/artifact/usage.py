"""Whether services use the weights of an artifact, and when they last did.

The condition remembers what was so before, so that the time is written when use starts and stops and at no other time.
"""

from datetime import datetime
from typing import Any

from aimd.api.artifact import ArtifactCondition
from aimd.api.reasons import Reason
from aimd.planning.artifact.observed import ObservedArtifact
from aimd.planning.time import timestamp
from aimd.runtime.objects import Condition

IN_USE = ArtifactCondition.IN_USE
_SHOWN = 5


def usage(observed: ObservedArtifact, now: datetime) -> tuple[Condition | None, dict[str, Any]]:
    """The condition, None before the first use, and `status.lastUsed` if it has to be written (ART-USE-1)."""
    stored = next((item for item in observed.artifact.status.conditions if item.type == IN_USE), None)
    if stored is None and not observed.users:
        return None, {}
    status = "True" if observed.users else "False"
    changed = stored is None or stored.status != status
    written = {"lastUsed": timestamp(now)} if changed else {}
    if not observed.users:
        return Condition(IN_USE, status, Reason.NOT_MOUNTED, "No InferenceService mounts the weights"), written
    more = f" and {len(observed.users) - _SHOWN} more" if len(observed.users) > _SHOWN else ""
    names = ", ".join(sorted(observed.users)[:_SHOWN])
    return Condition(IN_USE, status, Reason.MOUNTED, f"Mounted by InferenceService {names}{more}"), written
