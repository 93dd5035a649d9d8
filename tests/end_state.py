"""What a disturbed run is compared by: everything it left in a namespace, but for what differs from run to run."""

import json
from collections.abc import Sequence
from typing import Any

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
from aimd.runtime.kinds import JOB, PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Kind, Manifest

KINDS = (
    AIM_MODEL,
    AIM_SERVICE_TEMPLATE,
    AIM_SERVICE,
    AIM_TEMPLATE_CACHE,
    AIM_ARTIFACT,
    PERSISTENT_VOLUME_CLAIM,
    JOB,
    INFERENCE_SERVICE,
    HTTP_ROUTE,
)


async def end_state(client: Client, namespace: str, kinds: Sequence[Kind] = KINDS) -> dict[str, Any]:
    """Every object of the scenario without names, UIDs and times that differ from run to run."""
    objects = [(kind, item) for kind in kinds for item in await client.list(kind, namespace=namespace)]
    state: dict[str, list[str]] = {}
    for kind, item in objects:
        metadata = item["metadata"]
        kept = {
            "labels": metadata.get("labels"),
            "owners": metadata.get("ownerReferences"),
            "finalizers": metadata.get("finalizers"),
            "spec": item.get("spec"),
            "status": (item.get("status") or {}).get("status"),
            "conditions": conditions_of(item) if kind.group.startswith("aim.") else None,
        }
        state.setdefault(kind.name, []).append(json.dumps(kept, sort_keys=True))
    known = {metadata["uid"]: f"uid of {kind.name}" for kind, item in objects if (metadata := item["metadata"])}
    known |= {item["metadata"]["name"]: f"name of {kind.name}" for kind, item in objects}
    claims = [item for kind, item in objects if kind == PERSISTENT_VOLUME_CLAIM]
    known |= {str(item["spec"].get("volumeName")): "volume" for item in claims}
    known[namespace] = "namespace"
    return {name: sorted(replaced(text, known) for text in texts) for name, texts in state.items()}


def replaced(text: str, known: dict[str, str]) -> str:
    for old in sorted(known, key=len, reverse=True):
        text = text.replace(old, f"<{known[old]}>")
    return text


def conditions_of(item: Manifest) -> list[tuple[str, str, str]]:
    """All but that dependencies are reachable again, which only those say who once could not reach them."""
    conditions = [
        (each["type"], each["status"], each["reason"]) for each in item.get("status", {}).get("conditions", ())
    ]
    return sorted(each for each in conditions if each != ("DependenciesReachable", "True", "Reachable"))
