"""What one reconcile does with an object that is paused, or that cannot be parsed."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from aimd.controllers.pipeline import PAUSED
from aimd.controllers.runtime_config import RuntimeConfigReconciler
from aimd.planning.kinds import AIM_RUNTIME_CONFIG
from aimd.runtime.client import Client
from aimd.runtime.objects import Key, Kind, Request
from aimd.runtime.store import Cache, Store

KEY = Key("team", "default")


class Server:
    """Instead of a client: keeps the status that is written."""

    def __init__(self) -> None:
        self.metrics = SimpleNamespace(count_status_write=lambda *_: None, count_event=lambda *_: None)
        self.written: list[dict[str, Any]] = []

    async def patch(self, kind: Kind, key: Key, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.written.append(body["status"])
        return {}


def reconciler(server: Server, spec: dict[str, Any], **annotations: str) -> RuntimeConfigReconciler:
    cache = Cache()
    found = RuntimeConfigReconciler(cast(Client, server), cache)
    store = cache.add(Store(AIM_RUNTIME_CONFIG))
    metadata = {"name": KEY.name, "namespace": KEY.namespace, "uid": "u", "resourceVersion": "1", "generation": 1}
    store.upsert({"metadata": {**metadata, "annotations": annotations}, "spec": spec})
    store.synced = True
    return found


@pytest.mark.parametrize(("value", "writes"), [("true", 0), ("false", 1)])
async def test_a_paused_object_is_left_alone(value: str, writes: int) -> None:
    """Prove OBJ-APL-6."""
    server = Server()
    broken = {"routing": {"requestTimeout": "soon"}}
    await reconciler(server, broken, **{PAUSED: value}).reconcile(Request(KEY))
    assert len(server.written) == writes


async def test_an_object_that_cannot_be_parsed_has_an_invalid_spec_and_is_a_warning() -> None:
    """Prove OBJ-APL-7 and OPS-LOG-1."""
    server = Server()
    with capture_logs() as lines:
        await reconciler(server, {"routing": "none"}).reconcile(Request(KEY))
    (status,) = server.written
    conditions = {item["type"]: item for item in status["conditions"]}
    assert (conditions["ConfigValid"]["status"], conditions["ConfigValid"]["reason"]) == ("False", "InvalidSpec")
    assert conditions["Ready"]["message"].startswith("spec.routing: ")
    assert {line["log_level"] for line in lines} == {"warning"}
