"""One reconcile: objects that are paused, gone or do not parse, and plans that ask for live reads."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from aimd.controllers.pipeline import READ_ROUNDS, Definition, KindReconciler
from aimd.controllers.runtime_config import runtime_config_controllers
from aimd.planning.kinds import AIM_RUNTIME_CONFIG
from aimd.planning.labels import PAUSED_ANNOTATION
from aimd.planning.needs import DiscoverySlot, Reads
from aimd.planning.plan import Plan
from aimd.runtime.errors import Invalid
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Key, Kind, Remnant, Request, Result
from aimd.runtime.store import Cache

KEY = Key("team", "default")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
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


async def test_an_object_that_is_too_large_says_what_to_change(
    reconciler: Callable[..., KindReconciler[Any, Any]],
) -> None:
    """Prove OBJ-BND-2."""
    server = Server()
    await reconciler(server, {"routing": {"pathTemplate": "/" * 2000}}).reconcile(Request(KEY))
    (status,) = server.written
    spec_ready = next(item for item in status["conditions"] if item["type"] == "SpecReady")
    assert (spec_ready["status"], spec_ready["reason"]) == ("False", "SpecTooLarge")
    assert spec_ready["message"].startswith("spec.routing.pathTemplate has 2000 characters, more than 1024: shorten it")


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


async def test_an_object_that_cannot_be_decoded_reports_itself(build: Build) -> None:
    """Prove OBJ-TEN-1."""
    server, cache = Server(), Cache()
    reconciler = build(runtime_config_controllers()[0], cache, server)
    metadata = {"name": KEY.name, "namespace": KEY.namespace, "uid": "u", "resourceVersion": "1", "generation": 1}
    remnant = Remnant("it cannot be decoded", {"metadata": metadata, "spec": {}})
    cache[AIM_RUNTIME_CONFIG].upsert(remnant)
    await reconciler.reconcile(Request(KEY))
    (status,) = server.written
    messages = {item["type"]: item["message"] for item in status["conditions"]}
    assert messages["Ready"] == "it cannot be decoded"
    assert len(cache[AIM_RUNTIME_CONFIG].unreadable) == 1


@pytest.mark.parametrize(
    ("message", "written", "retry"),
    [
        ("status.status: Unsupported value", [{"conditions", "observedGeneration"}], False),
        ("spec.model: bad", [], True),
    ],
)
async def test_a_refused_status_is_written_as_far_as_possible_and_retried_otherwise(
    build: Build, message: str, written: list[set[str]], retry: bool
) -> None:
    """Prove OBJ-TEN-3."""

    class Refusing(Server):
        async def patch(self, kind: Kind, key: Key, body: dict[str, Any], **more: Any) -> dict[str, Any]:
            if "status" in body["status"] or not written:
                raise Invalid(message, status=422)
            return await super().patch(kind, key, body, **more)

        async def get(self, _kind: Kind, _key: Key) -> dict[str, Any]:
            return {"metadata": {"uid": "u"}}

    server, cache = Refusing(), Cache()
    definition = replace(runtime_config_controllers()[0], status_word=lambda _state: "Odd")
    reconciler = build(definition, cache, server)
    metadata = {"name": KEY.name, "namespace": KEY.namespace, "uid": "u", "resourceVersion": "1", "generation": 1}
    cache[AIM_RUNTIME_CONFIG].upsert({"metadata": metadata, "spec": {"routing": "none"}})
    result = await reconciler.reconcile(Request(KEY))
    assert [set(status) for status in server.written] == written
    assert result.retry is retry


LIVE = {"metadata": {"name": KEY.name, "namespace": KEY.namespace, "uid": "u", "resourceVersion": "1"}, "spec": {}}


def asks(*needs: DiscoverySlot) -> Definition[Any, Any]:
    """Return a definition whose plan asks for one need after the other."""

    def plan(reads: Reads, _now: datetime) -> Plan:
        missing = [need for need in needs if need not in reads]
        return Plan(needs=tuple(missing[:1]))

    return Definition(
        name="asks",
        kind=AIM_RUNTIME_CONFIG,
        observe=lambda _obj, _live, _reader, reads: reads,
        plan=plan,
        informers=(Informer(AIM_RUNTIME_CONFIG),),
        status_word=None,
    )


def slots(count: int) -> list[DiscoverySlot]:
    return [DiscoverySlot(AIM_RUNTIME_CONFIG, Key("a", str(number))) for number in range(count)]


async def test_a_plan_is_made_again_with_what_it_asked_for(build: Build) -> None:
    reconciler = build(asks(*slots(3)), Cache())
    assert (await reconciler.decide(LIVE, NOW)).needs == ()


async def test_a_plan_that_asks_on_and_on_is_an_error_and_not_a_loop(build: Build) -> None:
    reconciler = build(asks(*slots(READ_ROUNDS + 1)), Cache())
    with pytest.raises(RuntimeError, match="AIMRuntimeConfig team/default asks for ever more live reads"):
        await reconciler.decide(LIVE, NOW)


async def test_what_was_granted_is_released_even_when_the_reconcile_fails(build: Build) -> None:
    cache = Cache()
    released: list[Key] = []
    reconciler = build(asks(*slots(READ_ROUNDS + 1)), cache, Server(), released.append)
    cache[AIM_RUNTIME_CONFIG].upsert(LIVE)
    with pytest.raises(RuntimeError):
        await reconciler.reconcile(Request(KEY))
    assert released == [KEY]


async def test_a_key_that_is_gone_is_forgotten(build: Build) -> None:
    forgotten: list[Key] = []
    reconciler = build(replace(asks(), forget=forgotten.append), Cache())
    assert await reconciler.reconcile(Request(KEY)) == Result()
    assert forgotten == [KEY]
