"""Sessions: what we override and read of kr8s is as we know it. Requests are in tests/faults/test_client_faults.py."""

import inspect
import re
from pathlib import Path

import pytest
from kr8s._api import Api
from kr8s._auth import KubeAuth

from aimd.runtime.client import ClientOptions
from aimd.runtime.client.session import open_session
from aimd.runtime.errors import ConnectionFailed


def test_kr8s_is_still_as_we_know_it() -> None:
    """Fail when kr8s changes what `client/session.py` overrides or reads."""
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


def count(_code: str, _method: str, _host: str, _seconds: float | None) -> None:
    raise AssertionError("nothing is requested")


async def test_without_a_usable_configuration_there_is_no_session(tmp_path: Path) -> None:
    broken = tmp_path / "config"
    broken.write_text("clusters: [")
    with pytest.raises(ConnectionFailed, match="no usable Kubernetes configuration"):
        await open_session(ClientOptions(kubeconfig=broken, service_account=tmp_path), count)


async def test_a_token_file_of_the_configuration_is_used_and_inline_keys_leave_no_file(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-file\n")
    config = tmp_path / "config"
    config.write_text(f"""
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "https://api.example:6443", insecure-skip-tls-verify: true}}}}]
users: [{{name: u, user: {{tokenFile: "{token}"}}}}]
""")
    session, tokens = await open_session(ClientOptions(kubeconfig=config, service_account=tmp_path), count)
    assert session.server == "https://api.example:6443"
    assert session.host == "api.example:6443"
    assert tokens.header() == {"Authorization": "Bearer from-file"}
    sibling = session.sibling(ClientOptions(), None)
    assert (sibling.server, sibling.host) == (session.server, session.host)
