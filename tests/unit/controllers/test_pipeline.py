"""What one reconcile does with an object that is paused, or that cannot be parsed."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.runtime_config import runtime_config_controllers
from aimd.planning.kinds import AIM_RUNTIME_CONFIG
from aimd.planning.labels import PAUSED_ANNOTATION
from aimd.runtime.objects import Key, Kind, Request
from aimd.runtime.store import Cache

KEY = Key("team", "default")
Build = Callable[..., KindReconciler[Any, Any]]


class Server:
    """Instead of a client: keeps the status that is written."""

    def __init__(self) -> None:
        self.metrics = SimpleNamespace(count_status_write=lambda *_: None, count_event=lambda *_: None)
        self.written: list[dict[str, Any]] = []

    async def patch(self, kind: Kind, key: Key, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.written.append(body["status"])
        return {}


@pytest.fixture
def reconciler(build: Build) -> Callable[..., KindReconciler[Any, Any]]:
    def make(server: Server, spec: dict[str, Any], **annotations: str) -> KindReconciler[Any, Any]:
        cache = Cache()
        found = build(runtime_config_controllers()[0], cache, server)
        metadata = {"name": KEY.name, "namespace": KEY.namespace, "uid": "u", "resourceVersion": "1", "generation": 1}
        cache[AIM_RUNTIME_CONFIG].upsert({"metadata": {**metadata, "annotations": annotations}, "spec": spec})
        return found

    return make


@pytest.mark.parametrize(("value", "writes"), [("true", 0), ("false", 1)])
async def test_a_paused_object_is_left_alone(
    reconciler: Callable[..., KindReconciler[Any, Any]], value: str, writes: int
) -> None:
    """Prove OBJ-APL-6."""
    server = Server()
    broken = {"routing": {"requestTimeout": "soon"}}
    await reconciler(server, broken, **{PAUSED_ANNOTATION: value}).reconcile(Request(KEY))
    assert len(server.written) == writes


async def test_an_object_that_cannot_be_parsed_has_an_invalid_spec_and_is_a_warning(
    reconciler: Callable[..., KindReconciler[Any, Any]],
) -> None:
    """Prove OBJ-APL-7 and OPS-LOG-1."""
    server = Server()
    with capture_logs() as lines:
        await reconciler(server, {"routing": "none"}).reconcile(Request(KEY))
    (status,) = server.written
    conditions = {item["type"]: item for item in status["conditions"]}
    assert (conditions["ConfigValid"]["status"], conditions["ConfigValid"]["reason"]) == ("False", "InvalidSpec")
    assert conditions["Ready"]["message"].startswith("spec.routing: ")
    assert {line["log_level"] for line in lines} == {"warning"}
