"""The client against a server that misbehaves in every scripted way."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
import certifi
import pytest
import yaml

from aimd.runtime.client import Client, ClientOptions, Selection, connect
from aimd.runtime.errors import (
    ApiError,
    ConnectionFailed,
    Forbidden,
    Gone,
    RequestTimeout,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    WritesSuspended,
)
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.objects import Key, Manifest

CERTIFICATES = Path(certifi.where()).read_text()
KEY = Key("ns", "a")
LATE = 1.0
"""What a busy machine may add to a deadline, in seconds."""
OBJECT: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns", "uid": "u"}}


def requests(client: Client, code: str, method: str = "GET") -> float:
    return sum(
        sample.value
        for family in client.metrics.requests.collect()
        for sample in family.samples
        if sample.labels.get("code") == code and sample.labels.get("method") == method
    )


async def follow(client: Client, **options: float) -> None:
    async with client.watch(Selection(CONFIG_MAP), "1", **options) as stream:
        async for _ in stream:
            pass


def line(kind: str, **metadata: Any) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": metadata}}, ensure_ascii=False).encode() + b"\n"


async def test_a_403_is_one_request_and_the_watches_stay(bench: Any) -> None:
    def script(asked: Any) -> Any:
        if "watch" in asked.query:
            return bench.reply(chunks=[line("ADDED", name="a", resourceVersion="2")], then="stay")
        return bench.status(403, "Forbidden", "no rights on this")

    async with bench.talking(script) as (client, server), client.watch(Selection(CONFIG_MAP), "1") as stream:
        assert (await anext(stream))[0].type == "ADDED"
        for _ in range(3):
            with pytest.raises(Forbidden, match="no rights on this"):
                await client.get(CONFIG_MAP, KEY)
        assert [asked.query.get("watch") for asked in server.asked] == ["true", None, None, None]
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await anext(stream)
        assert requests(client, "403") == 3


async def test_every_request_says_who_asks(bench: Any) -> None:
    async with bench.talking(lambda asked: bench.ok(OBJECT), user_agent="aimd/test") as (client, server):
        assert await client.get(CONFIG_MAP, KEY) == OBJECT
        asked = server.asked[0]
        assert (asked.method, asked.path) == ("GET", "/api/v1/namespaces/ns/configmaps/a")
        assert asked.headers["user-agent"] == "aimd/test"
        assert asked.headers["authorization"] == "Bearer token"


async def test_a_rotated_token_file_is_read_once_for_all_who_need_it(bench: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    valid = {"old"}

    def script(asked: Any) -> Any:
        if asked.headers["authorization"].removeprefix("Bearer ") in valid:
            return bench.ok(OBJECT)
        return bench.status(401, "Unauthorized")

    async with bench.talking(script, {"tokenFile": str(token)}) as (client, _):
        await client.get(CONFIG_MAP, KEY)
        token.write_text("new\n")
        valid.clear()
        valid.add("new")
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(client.get, CONFIG_MAP, KEY)
        assert requests(client, "200") == 101
        assert requests(client, "401") <= 32, "only those that were on their way with the old token"
        valid.clear()
        with pytest.raises(Unauthorized):
            await client.get(CONFIG_MAP, KEY)


PLUGIN = """
import json, pathlib, sys
here = pathlib.Path(sys.argv[1])
if (here / "broken").exists():
    sys.exit("no way to log in")
status = {"token": (here / "token").read_text()}
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
"""


async def test_a_credential_plugin_that_fails_is_an_error_of_that_call_and_asked_again(
    bench: Any, tmp_path: Path
) -> None:
    valid, broken = {"Bearer one"}, tmp_path / "broken"
    (tmp_path / "token").write_text("one")
    arguments = {"command": sys.executable, "args": ["-c", PLUGIN, str(tmp_path)]}
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", **arguments}}

    def script(asked: Any) -> Any:
        return bench.ok(OBJECT) if asked.headers["authorization"] in valid else bench.status(401, "Unauthorized")

    async with bench.talking(script, user) as (client, _):
        await client.get(CONFIG_MAP, KEY)
        server = client.server
        broken.touch()
        valid.clear()
        with pytest.raises(Unauthorized):
            await client.get(CONFIG_MAP, KEY)
        assert client.server == server
        (tmp_path / "token").write_text("two")
        broken.unlink()
        valid.add("Bearer two")
        await client.get(CONFIG_MAP, KEY)
    broken.touch()
    with pytest.raises(ConnectionFailed, match="no usable Kubernetes configuration"):
        async with bench.talking(script, user):
            pass


async def test_reads_are_repeated_and_creates_are_not(bench: Any) -> None:
    answers = [bench.status(503, "ServiceUnavailable"), bench.status(429, "TooManyRequests"), bench.ok(OBJECT)]
    async with bench.talking(lambda asked: answers.pop(0)) as (client, _):
        assert await client.get(CONFIG_MAP, KEY) == OBJECT
        answers[:] = [bench.status(503, "ServiceUnavailable"), bench.ok(OBJECT)]
        with pytest.raises(Unavailable):
            await client.create(CONFIG_MAP, OBJECT, reason="test")
        answers[:] = [bench.status(429, "TooManyRequests"), bench.ok(OBJECT)]
        assert await client.create(CONFIG_MAP, OBJECT, reason="test") == OBJECT
        answers[:] = [bench.status(503, "ServiceUnavailable"), bench.ok(OBJECT)]
        await client.apply(CONFIG_MAP, OBJECT, field_manager="m", reason="test")
        answers[:] = [bench.status(503, "ServiceUnavailable")]
        with pytest.raises(Unavailable):
            await client.patch(CONFIG_MAP, KEY, [{"op": "test", "path": "/x", "value": 1}], reason="test")


async def test_attempts_are_bounded_and_retry_after_is_obeyed(bench: Any) -> None:
    patient = bench.reply(429, b"{}", {"Retry-After": "1"})
    answers = [patient, bench.ok(OBJECT)]
    async with bench.talking(lambda asked: answers.pop(0)) as (client, server):
        started = time.monotonic()
        await client.get(CONFIG_MAP, KEY)
        assert time.monotonic() - started >= 1.0
        server.script = lambda asked: bench.status(503, "ServiceUnavailable", "still starting")
        server.asked.clear()
        with pytest.raises(Unavailable, match="still starting"):
            await client.get(CONFIG_MAP, KEY)
        assert len(server.asked) == client.options.max_attempts
        server.script = lambda asked: bench.reply(429, b"{}", {"Retry-After": "3600"})
        with pytest.raises(TooManyRequests) as caught:
            await client.get(CONFIG_MAP, KEY)
        assert caught.value.retry_after == 3600


async def test_silence_ends_at_the_deadline(bench: Any) -> None:
    silent = bench.reply(silence=60)
    async with bench.talking(lambda asked: silent, request_timeout=2.0, max_attempts=1) as (client, _):
        started = time.monotonic()
        with pytest.raises(RequestTimeout):
            await client.get(CONFIG_MAP, KEY)
        assert time.monotonic() - started < 2.2 + LATE
        assert requests(client, "<error>") == 1


async def test_no_one_there_and_a_connection_that_breaks(bench: Any) -> None:
    async with bench.talking(lambda asked: bench.reply(then="reset"), max_attempts=2) as (client, server):
        with pytest.raises(ConnectionFailed):
            await client.get(CONFIG_MAP, KEY)
        assert len(server.asked) == 2
    async with connect(ClientOptions(kubeconfig=bench.kubeconfig(1), max_attempts=1)) as client:
        with pytest.raises(ConnectionFailed) as caught:
            await client.get(CONFIG_MAP, KEY)
        assert caught.value.reason == "ConnectionRefused"
    kubeconfig = bench.kubeconfig(1)
    kubeconfig.write_text(kubeconfig.read_text().replace("127.0.0.1:1", "no-such-host.invalid:1"))
    async with connect(ClientOptions(kubeconfig=kubeconfig, max_attempts=1)) as client:
        with pytest.raises(ConnectionFailed) as caught:
            await client.get(CONFIG_MAP, KEY)
        assert caught.value.reason == "DNSFailure"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>bad gateway</html>", "<html>bad gateway</html>"),
        (b'{"kind":"Status","reason":"InternalError","message":"etcd is sad"}', "etcd is sad"),
        (b'{"error":"no message"}', "no message"),
        (b"", "HTTP status 500"),
    ],
)
async def test_server_errors_keep_what_they_say(bench: Any, body: bytes, message: str) -> None:
    async with bench.talking(lambda asked: bench.reply(500, body)) as (client, server):
        with pytest.raises(ApiError, match=message):
            await client.get(CONFIG_MAP, KEY)
        assert len(server.asked) == 1


async def test_an_answer_that_is_not_json(bench: Any) -> None:
    async with bench.talking(lambda asked: bench.reply(200, b"<html>login</html>")) as (client, _):
        with pytest.raises(ConnectionFailed, match="not JSON"):
            await client.get(CONFIG_MAP, KEY)


async def test_lists_go_over_all_pages(bench: Any) -> None:
    def script(asked: Any) -> Any:
        assert asked.query["labelSelector"] == "a=b"
        number = int(asked.query.get("continue", 0))
        following = str(number + 1) if number < 2 else ""
        items = [{"metadata": {"name": str(number)}}]
        return bench.ok({"metadata": {"resourceVersion": "9", "continue": following}, "items": items})

    async with bench.talking(script) as (client, _):
        items = await client.list(CONFIG_MAP, label_selector="a=b")
    assert [item["metadata"]["name"] for item in items] == ["0", "1", "2"]
    assert {(item["apiVersion"], item["kind"]) for item in items} == {("v1", "ConfigMap")}


async def test_a_watch_survives_strange_characters_cuts_and_megabytes(bench: Any) -> None:
    strange = line("ADDED", name="x\u0085y\u2028z", resourceVersion="2")
    big = line("MODIFIED", name="m" * 1_000_000, resourceVersion="3")
    stream = strange + big + line("BOOKMARK", resourceVersion="4")
    chunks = [stream[:10], stream[10:40], *(stream[at : at + 65536] for at in range(40, len(stream), 65536))]
    async with bench.talking(lambda asked: bench.reply(chunks=chunks)) as (client, server):
        async with client.watch(Selection(CONFIG_MAP), "1") as batches:
            events = [event async for batch in batches for event in batch]
        assert [event.object["metadata"]["resourceVersion"] for event in events] == ["2", "3", "4"]
        assert server.asked[0].query["allowWatchBookmarks"] == "true"
        assert 300 <= int(server.asked[0].query["timeoutSeconds"]) <= 600


async def test_a_watch_that_is_cut_falls_silent_or_is_refused(bench: Any) -> None:
    cut = line("ADDED", name="a", resourceVersion="2") + b'{"type":"MODI'
    async with bench.talking(lambda asked: bench.reply(chunks=[cut], then="reset")) as (client, server):
        with pytest.raises(ConnectionFailed):
            await follow(client)
        server.script = lambda asked: bench.reply(chunks=[], then="stay")
        with pytest.raises(RequestTimeout):
            await follow(client, idle_timeout=0.2)
        server.script = lambda asked: bench.status(410, "Expired")
        with pytest.raises(Gone):
            await follow(client)
        server.script = lambda asked: bench.reply(chunks=[b"{not json}\n"])
        with pytest.raises(ConnectionFailed):
            await follow(client)


async def test_what_the_consumer_of_a_watch_raises_comes_out_as_it_is(bench: Any) -> None:
    async with bench.talking(lambda asked: bench.reply(chunks=[], then="stay")) as (client, _):
        with pytest.raises(ZeroDivisionError):
            async with client.watch(Selection(CONFIG_MAP), "1"):
                raise ZeroDivisionError


async def test_writes_are_counted_by_reason_and_fenced(bench: Any) -> None:
    async with bench.talking(lambda asked: bench.ok(OBJECT)) as (client, server):
        await client.apply(CONFIG_MAP, OBJECT, field_manager="m", reason="children")
        await client.patch(CONFIG_MAP, KEY, {"data": None}, reason="cleanup")
        counted = {
            tuple(sample.labels.values()): sample.value
            for family in client.metrics.writes.collect()
            for sample in family.samples
        }
        assert counted == {("ConfigMap", "apply", "children"): 1.0, ("ConfigMap", "patch", "cleanup"): 1.0}
        client.fence = lambda: False
        server.asked.clear()
        with pytest.raises(WritesSuspended):
            await client.delete(CONFIG_MAP, KEY, reason="x", uid="u")
        assert server.asked == []
        await client.get(CONFIG_MAP, KEY)


async def test_a_delete_names_the_object_it_means(bench: Any) -> None:
    async with bench.talking(lambda asked: bench.ok({"kind": "Status"})) as (client, server):
        await client.delete(CONFIG_MAP, KEY, reason="x", uid="u", propagation="Foreground", grace_period_seconds=0)
        assert json.loads(server.asked[0].body) == {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": "u"},
            "gracePeriodSeconds": 0,
        }


async def test_key_material_of_the_kubeconfig_leaves_no_file(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    kubeconfig = bench.kubeconfig(1)
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["certificate-authority-data"] = CERTIFICATES
    kubeconfig.write_text(yaml.safe_dump(config))
    async with connect(ClientOptions(kubeconfig=kubeconfig)):
        assert list(folder.iterdir()) == []


async def test_the_service_account_of_a_pod(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text("from-file\n")
    (tmp_path / "ca.crt").write_text(CERTIFICATES)
    async with connect(ClientOptions(service_account=tmp_path)) as client:
        assert client.server == "https://10.0.0.1:443"
        assert client._tokens.header() == {"Authorization": "Bearer from-file"}


async def test_no_configuration_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(ConnectionFailed, match="no usable Kubernetes configuration"):
        async with connect(ClientOptions(service_account=tmp_path / "nowhere")):
            pass
