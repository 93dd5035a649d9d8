"""The transport: which proxy is used. Requests are in tests/faults/test_client_faults.py."""

import pytest

from aimd.runtime.client.transport import environment_proxy


def test_the_environment_names_the_proxy_but_never_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert environment_proxy("https://10.0.0.1:6443") == "http://proxy:3128"
    for direct in ("https://inside.example", "https://127.0.0.1:1", "https://localhost:1", "https://[::1]:1"):
        assert environment_proxy(direct) is None
