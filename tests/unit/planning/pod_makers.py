"""Pods as the API server has them."""

from typing import Any


def pod(
    phase: str,
    name: str = "p",
    *,
    ready: bool = False,
    made: str = "2026-01-01T00:00:00Z",
    container: dict[str, Any] | None = None,
    conditions: list[dict[str, str]] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    shown = [*(conditions or []), *([{"type": "Ready", "status": "True"}] if ready else [])]
    statuses = {"containerStatuses": [{"name": "main", **container}]} if container else {}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": made, **metadata},
        "status": {"phase": phase, "conditions": shown, **statuses},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def ended(exit_code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}}
