"""Whether services use the weights of an artifact, and when they last did.

The stored condition says whether they did before, so the time is written only when use starts or stops.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aimd.api.artifact import AIMArtifact, ArtifactCondition
from aimd.api.reasons import Reason
from aimd.planning.objects import find_condition
from aimd.planning.time import timestamp
from aimd.runtime.objects import Condition

IN_USE = ArtifactCondition.IN_USE
_SHOWN = 5


def usage(artifact: AIMArtifact, users: Sequence[str], now: datetime) -> tuple[Condition | None, dict[str, Any]]:
    """Return the condition, None before the first use, and `status.lastUsed` if it has to be written (ART-USE-1).

    `users` are the names of the InferenceServices that mount the claim.
    """
    stored = find_condition(artifact.status.conditions, IN_USE)
    if stored is None and not users:
        return None, {}
    status = "True" if users else "False"
    changed = stored is None or stored.status != status
    written = {"lastUsed": timestamp(now)} if changed else {}
    if not users:
        return Condition(IN_USE, status, Reason.NOT_MOUNTED, "No InferenceService mounts the weights"), written
    more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
    names = ", ".join(sorted(users)[:_SHOWN])
    return Condition(IN_USE, status, Reason.MOUNTED, f"Mounted by InferenceService {names}{more}"), written
