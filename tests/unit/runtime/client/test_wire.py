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
    json_in_yaml,
)
from aimd.runtime.errors import ConnectionFailed, NotFound, Unavailable
from aimd.runtime.kinds import POD, ROLE


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
