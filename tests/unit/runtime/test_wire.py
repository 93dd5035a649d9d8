"""Cutting the watch's bytes into lines; and the one private method of kr8s that we rely on."""

import inspect
import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kr8s._api import Api
from kr8s._auth import KubeAuth

from aimd.runtime.client.transport import environment_proxy
from aimd.runtime.client.wire import Call, LineSplitter, json_in_yaml
from aimd.runtime.kinds import ROLE


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


def test_kr8s_is_still_as_we_know_it() -> None:
    """Fails when kr8s changes what `client/session.py` overrides or reads."""
    assert "self._session = httpx.AsyncClient(" in inspect.getsource(Api._create_session)
    call_api = inspect.getsource(Api.call_api)
    assert "await self._create_session()" in call_api
    # Of the session it uses what `client/transport.py` has, and no more.
    used = set(re.findall(r"self\._session\.(\w+)", call_api))
    assert used == {"is_closed", "stream", "request"}
    assert {"method", "version", "namespace", "url", "raise_for_status", "stream"} <= set(
        inspect.signature(Api.call_api).parameters
    )
    source = inspect.getsource(KubeAuth)
    assert all(name in source for name in ("self._user", "self._cluster", "client_key_file", "server_ca_file"))


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


def test_the_environment_names_the_proxy_but_never_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert environment_proxy("https://10.0.0.1:6443") == "http://proxy:3128"
    for direct in ("https://inside.example", "https://127.0.0.1:1", "https://localhost:1", "https://[::1]:1"):
        assert environment_proxy(direct) is None
