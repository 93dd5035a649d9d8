"""The reflector on the wire: what it asks for when the server misbehaves, and how often."""

import json
from typing import Any

import anyio
import pytest

from aimd.runtime import watcher as module
from aimd.runtime.client import Client, Selection
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.objects import Manifest, Remnant, key_of
from aimd.runtime.reflector import Reflector
from aimd.runtime.store import Cache, Store


def thing(name: str, version: int) -> Manifest:
    metadata = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def lines(*events: tuple[str, Manifest]) -> bytes:
    return b"".join(json.dumps({"type": kind, "object": body}).encode() + b"\n" for kind, body in events)


def listing(version: int, *items: Manifest) -> Manifest:
    return {"kind": "ConfigMapList", "metadata": {"resourceVersion": str(version)}, "items": list(items)}


def reflector(client: Client, optional: bool = False, streams: bool = False) -> tuple[Reflector, Store]:
    store = Cache().add(Store(CONFIG_MAP))
    return Reflector(client, store, Selection(CONFIG_MAP), optional, streams=streams), store


async def run_until(subject: Reflector, condition: Any, seconds: float = 10.0) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subject.run)
        with anyio.fail_after(seconds):
            while not condition():  # noqa: ASYNC110
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


async def test_it_resumes_where_it_was_without_a_new_list(bench: Any) -> None:
    watches = [
        bench.reply(chunks=[lines(("ADDED", thing("b", 11)), ("BOOKMARK", {"metadata": {"resourceVersion": "40"}}))]),
        bench.reply(chunks=[lines(("DELETED", thing("a", 41)))], then="stay"),
    ]

    def script(asked: Any) -> Any:
        return watches.pop(0) if "watch" in asked.query else bench.ok(listing(10, thing("a", 5)))

    async with bench.talking(script) as (client, server):
        subject, store = reflector(client)
        await run_until(subject, lambda: [key_of(item).name for item in store.list()] == ["b"])
        asked = [asked.query.get("resourceVersion") for asked in server.asked]
    assert asked == [None, "10", "40"]


async def test_a_410_in_the_stream_lists_anew_and_the_store_never_empties(bench: Any) -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    lists = [listing(10, thing("a", 5), thing("b", 6)), listing(60, thing("b", 6), thing("c", 50))]
    watches = [bench.reply(chunks=[lines(("ERROR", gone))]), bench.reply(chunks=[], then="stay")]
    sizes: list[int] = []

    def script(asked: Any) -> Any:
        return watches.pop(0) if "watch" in asked.query else bench.ok(lists.pop(0))

    async with bench.talking(script) as (client, server):
        subject, store = reflector(client)
        store.subscribe(lambda delta: sizes.append(len(store)))
        await run_until(subject, lambda: [key_of(item).name for item in store.list()] == ["b", "c"])
        assert len(server.asked) <= 4
    assert min(sizes) >= 1


async def test_a_server_in_trouble_is_not_pestered(bench: Any) -> None:
    def script(asked: Any) -> Any:
        return bench.status(500, "InternalError") if "watch" in asked.query else bench.ok(listing(10))

    async with bench.talking(script) as (client, server):
        subject, _ = reflector(client)
        with anyio.move_on_after(5.0):
            await subject.run()
        assert len(server.asked) <= 4, "one list, and watches after 0, 0.8 to 1.6 and 1.6 to 3.2 seconds"


async def test_a_kind_that_appears(bench: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "ABSENT_PAUSE", 0.05)
    served = False

    def script(asked: Any) -> Any:
        if not served:
            return bench.reply(404, b"404 page not found\n")
        if "watch" in asked.query:
            return bench.reply(chunks=[], then="stay")
        return bench.ok(listing(10, thing("a", 5)))

    async with bench.talking(script) as (client, _):
        subject, store = reflector(client, optional=True)

        async def install() -> None:
            nonlocal served
            await subject.synced.wait()
            assert not store.available
            served = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(install)
            await run_until(subject, lambda: store.available and len(store) == 1)
    assert store.synced


def list_end(version: int) -> tuple[str, Manifest]:
    annotations = {"k8s.io/initial-events-end": "true"}
    return "BOOKMARK", {"metadata": {"resourceVersion": str(version), "annotations": annotations}}


async def test_a_streamed_list_fills_the_store_and_goes_on_as_a_watch(bench: Any) -> None:
    first = lines(("ADDED", thing("a", 5)), ("ADDED", thing("b", 6)), list_end(10), ("DELETED", thing("a", 11)))
    watches = [bench.reply(chunks=[first[:90], first[90:]]), bench.reply(then="stay")]
    async with bench.talking(lambda asked: watches.pop(0)) as (client, server):
        subject, store = reflector(client, streams=True)
        await run_until(subject, lambda: len(server.asked) > 1)
    assert store.synced
    assert [key_of(item).name for item in store.list()] == ["b"]
    assert server.asked[0].query["sendInitialEvents"] == "true"
    assert server.asked[0].query["resourceVersionMatch"] == "NotOlderThan"
    assert "sendInitialEvents" not in server.asked[1].query
    assert all("watch" in asked.query for asked in server.asked), "never a list"


async def test_a_server_that_does_not_stream_lists_is_asked_for_pages(bench: Any) -> None:
    def script(asked: Any) -> Any:
        if "sendInitialEvents" in asked.query:
            return bench.status(422, "Invalid", "sendInitialEvents is forbidden for watch")
        return bench.reply(then="stay") if "watch" in asked.query else bench.ok(listing(10, thing("a", 5)))

    async with bench.talking(script) as (client, _):
        subject, store = reflector(client, streams=True)
        await run_until(subject, lambda: store.synced and len(store) == 1)


async def test_a_streamed_list_that_is_cut_short_is_not_taken_for_whole(bench: Any) -> None:
    whole = lines(("ADDED", thing("a", 5)), ("ADDED", thing("b", 6)), list_end(10))
    watches = [bench.reply(chunks=[lines(("ADDED", thing("a", 5)))]), bench.reply(chunks=[whole], then="stay")]
    async with bench.talking(lambda asked: watches.pop(0)) as (client, _):
        subject, store = reflector(client, streams=True)
        seen: list[int] = []
        store.subscribe(lambda delta: seen.append(int(store.synced)))
        await run_until(subject, lambda: store.synced)
    assert [key_of(item).name for item in store.list()] == ["a", "b"]
    assert seen == [0, 0]


DEEP = '{"a":' * 1100 + "1" + "}" * 1100
BAD_VALUES = {"deep": DEEP, "surrogate": '"\\ud800"', "infinite": "1e999", "deep list": "[" * 3000 + "]" * 3000}


def bad(name: str, version: int, value: str) -> bytes:
    """Return an object that the decoder refuses; fields come in the server's order, sorted."""
    metadata = (
        f'{{"annotations":{{"x":"}}"}},"name":"{name}","namespace":"ns","resourceVersion":"{version}","uid":"{name}"}}'
    )
    return f'{{"apiVersion":"v1","data":{value},"kind":"ConfigMap","metadata":{metadata}}}'.encode()


def raw_lines(*events: tuple[bytes, bytes]) -> bytes:
    return b"".join(b'{"type":"%b","object":%b}\n' % event for event in events)


def states(store: Store) -> dict[str, bool]:
    """Return whether each object of the store is readable."""
    return {key_of(item).name: not isinstance(item, Remnant) for item in store.list()}


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES.keys())
@pytest.mark.parametrize("streams", [False, True])
async def test_an_object_that_cannot_be_decoded_costs_itself_alone(bench: Any, value: str, streams: bool) -> None:
    """Prove OBJ-TEN-1."""
    a, c = json.dumps(thing("a", 1)).encode(), json.dumps(thing("c", 3)).encode()
    page = b'{"kind":"ConfigMapList","metadata":{"resourceVersion":"10"},"items":[%b,%b,%b]}' % (
        a,
        bad("b", 2, value),
        c,
    )
    end = {"metadata": {"resourceVersion": "10", "annotations": {"k8s.io/initial-events-end": "true"}}}
    listed = raw_lines((b"ADDED", a), (b"ADDED", bad("b", 2, value)), (b"ADDED", c)) + lines(("BOOKMARK", end))
    changes = raw_lines((b"MODIFIED", bad("c", 11, value)), (b"DELETED", bad("b", 12, value))) + lines(
        ("ADDED", thing("d", 13))
    )
    repair = lines(("MODIFIED", thing("c", 14)))
    go_on = anyio.Event()

    async def script(asked: Any) -> Any:
        if "watch" not in asked.query:
            return bench.reply(body=page)
        if asked.query.get("sendInitialEvents"):
            return bench.reply(chunks=[listed, changes], then="close")
        if asked.query["resourceVersion"] == "10":
            return bench.reply(chunks=[changes], then="close")
        await go_on.wait()
        return bench.reply(chunks=[repair], then="stay")

    async with bench.talking(script) as (client, server):
        subject, store = reflector(client, streams=streams)
        seen: list[dict[str, bool]] = []
        store.subscribe(lambda _delta: seen.append(states(store)))
        await run_until(subject, lambda: {"a", "c", "d"} == set(states(store)))
        assert {"a": True, "b": False, "c": True} in seen
        assert states(store) == {"a": True, "c": False, "d": True}
        assert len(store.unreadable) == 1
        go_on.set()
        await run_until(subject, lambda: states(store) == {"a": True, "c": True, "d": True})
        assert len(store.unreadable) == 0
        assert "13" in [asked.query.get("resourceVersion") for asked in server.asked], "the watch goes on"


async def test_a_line_that_shows_no_object_is_passed_by(bench: Any) -> None:
    """Prove OBJ-TEN-1."""
    lists = [listing(10, thing("a", 5)), listing(20, thing("a", 5), thing("b", 15))]

    def script(asked: Any) -> Any:
        if "watch" not in asked.query:
            return bench.ok(lists.pop(0))
        return bench.reply(chunks=[b'{"type":"ADDED","object":\n'] if len(lists) else [], then="stay")

    async with bench.talking(script) as (client, _):
        subject, store = reflector(client)
        await run_until(subject, lambda: set(states(store)) == {"a", "b"})
