"""What is sent and received: lines of a watch, paths, JSON in YAML, responses and their errors."""

import json
from collections.abc import AsyncIterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aimd.runtime.client.wire import (
    APPLY_PATCH,
    Call,
    LineSplitter,
    Response,
    Selection,
    WatchEvent,
    WatchStream,
    decode_list,
    json_in_yaml,
)
from aimd.runtime.errors import ConnectionFailed, Invalid, NotFound, Unavailable
from aimd.runtime.kinds import POD, ROLE
from aimd.runtime.objects import Remnant


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=8), st.data())
def test_lines_come_out_whole_wherever_the_bytes_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines) + b"not yet complete"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    splitter = LineSplitter()
    out = [
        line
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for line in splitter.feed(stream[start:end])
    ]
    assert out == [line for line in lines if line]


def test_other_line_separators_of_unicode_do_not_cut() -> None:
    line = '{"a":"x\u0085y\u2028z\u2029\x0b"}'.encode()
    assert list(LineSplitter().feed(line + b"\n")) == [line]


def test_names_are_quoted_in_paths() -> None:
    assert Call("GET", ROLE, "ns", "system:x/y", "status").path == "roles/system%3Ax%2Fy/status"


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.text(max_size=8) | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none(),
        max_size=4,
    )
)
def test_what_we_send_as_yaml_reads_alike_as_json_and_yaml(value: dict[str, object]) -> None:
    sent = json_in_yaml(value)
    assert json.loads(sent) == value
    assert yaml.safe_load(sent) == value


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_watch_brings_one_batch_for_each_piece() -> None:
    added = b'{"type":"ADDED","object":{"a":1}}\n'
    stream = WatchStream(pieces(added + added[:10], added[10:], b""))
    assert [batch async for batch in stream] == [
        [WatchEvent("ADDED", {"a": 1})],
        [WatchEvent("ADDED", {"a": 1})],
        [],
    ]


async def test_a_line_of_a_watch_that_is_no_json_breaks_the_stream() -> None:
    with pytest.raises(ConnectionFailed, match="not JSON"):
        await anext(WatchStream(pieces(b"<html>\n")))


def named(name: str, version: int, rest: str = "") -> bytes:
    metadata = f'{{"name":"{name}","namespace":"ns","resourceVersion":"{version}"}}'
    return f'{{"apiVersion":"v1","metadata":{metadata}{rest}}}'.encode()


DEEP = ',"spec":' + '{"a":' * 1100 + "1" + "}" * 1100
UNDECODABLE = (DEEP, ',"spec":"\\ud800"', ',"spec":[1e999]', ',"spec":NaN', ',"spec":{"a":')


@pytest.mark.parametrize("rest", UNDECODABLE)
async def test_a_line_of_a_watch_that_cannot_be_decoded_costs_its_own_object(rest: str) -> None:
    lines = [(b"ADDED", named("a", 1)), (b"MODIFIED", named("b", 2, rest)), (b"DELETED", named("c", 3))]
    sent = b"".join(b'{"type":"%b","object":%b}\n' % line for line in lines)
    (batch,) = [batch async for batch in WatchStream(pieces(sent))]
    assert [(event.type, event.object["metadata"]["name"]) for event in batch] == [
        ("ADDED", "a"), ("MODIFIED", "b"), ("DELETED", "c"),
    ]  # fmt: skip
    assert [isinstance(event.object, Remnant) for event in batch] == [False, True, False]
    assert batch[1].object["metadata"]["resourceVersion"] == "2"


@pytest.mark.parametrize("line", [b'{"type":"ADDED","object":"text"}', b'"text"', b"[]", b'{"type":5}', b"1"])
async def test_a_line_without_an_object_is_an_event_of_nothing(line: bytes) -> None:
    assert await anext(WatchStream(pieces(line + b"\n"))) == [WatchEvent("", {})]


@pytest.mark.parametrize("rest", UNDECODABLE[:-1])
async def test_an_item_of_a_list_that_cannot_be_decoded_costs_itself(rest: str) -> None:
    items = b",".join([named("a", 1), named("b", 2, rest), b'{"spec":1e999}', named("c", 3)])
    listed = await decode_list(b'{"metadata":{"resourceVersion":"9","continue":"more"},"items":[' + items + b"]}")
    assert listed["metadata"] == {"resourceVersion": "9", "continue": "more"}
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b", "c"], "one item has no name"
    assert isinstance(listed["items"][1], Remnant)


@pytest.mark.parametrize("body", [b"<html>", b'{"items":[{"a":1},{"b"'])
async def test_a_list_that_is_cut_short_is_no_list(body: bytes) -> None:
    with pytest.raises(ConnectionFailed, match="not JSON"):
        await decode_list(body)


def test_an_object_that_cannot_be_decoded_is_returned_by_what_can_be_read() -> None:
    found = Response(200, named("a", 1, DEEP)).manifest()
    assert isinstance(found, Remnant)
    assert "depth limit exceeded" in found.problem


@pytest.mark.parametrize("content_type", [APPLY_PATCH, "application/json"])
def test_what_cannot_be_written_as_json_is_invalid(content_type: str) -> None:
    deep: dict[str, object] = {}
    for _ in range(300):
        deep = {"a": deep}
    for body in (deep, {"a": "\ud800"}):
        with pytest.raises(Invalid, match="cannot be written as JSON"):
            Call("PATCH", POD, "ns", "p", body=body, content_type=content_type).content()


def test_selectors_are_sent_if_they_are_set() -> None:
    assert Selection(POD).parameters() == {}
    selection = Selection(POD, "ns", "app=chat", "status.phase=Running")
    assert selection.parameters() == {"labelSelector": "app=chat", "fieldSelector": "status.phase=Running"}


def test_a_call_describes_itself_to_traces_without_empty_parts() -> None:
    call = Call("PATCH", POD, "ns", "p", "status", verb="patch", reason="why")
    assert call.fields() == {
        "method": "PATCH", "kind": "Pod", "namespace": "ns", "name": "p", "subresource": "status", "reason": "why",
    }  # fmt: skip
    assert Call("GET", POD).fields() == {"method": "GET", "kind": "Pod"}


def test_the_content_follows_its_type() -> None:
    assert Call("GET", POD).content() is None
    assert "Content-Type" not in Call("GET", POD).headers()
    body = {"text": "line\u2028break"}
    assert Call("POST", POD, body=body).content() == '{"text":"line\u2028break"}'.encode()
    applied = Call("PATCH", POD, body=body, content_type=APPLY_PATCH)
    assert applied.content() == b'{"text":"line\\u2028break"}'
    assert applied.headers() == {"Accept": "application/json", "Content-Type": APPLY_PATCH}


def test_a_response_is_an_object_or_an_error() -> None:
    assert Response(200, b'{"kind":"Pod"}').manifest() == {"kind": "Pod"}
    assert Response(200, b"[1]").manifest() == {}, "no object"
    with pytest.raises(NotFound, match="no such pod"):
        Response(404, b'{"reason":"NotFound","message":"no such pod"}').manifest()
    error = Response(503, b"upstream connect error", retry_after=3.0).error()
    assert isinstance(error, Unavailable)
    assert (error.message, error.retry_after) == ("upstream connect error", 3.0)
    with pytest.raises(ConnectionFailed, match="not JSON"):
        Response(200, b"<html>").manifest()
