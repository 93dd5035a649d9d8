"""The state of the user's running sandbox."""

from pathlib import Path

import pytest

from aimd.sandbox.running_sandbox import (
    AlreadyRunning,
    SandboxState,
    claim,
    is_claimed,
    read_state,
    state_file,
    write_state,
)

STATE = SandboxState(
    pid=1,
    version="v1.34.4",
    folder=Path("/s"),
    logs=Path("/s/logs"),
    kubeconfig=Path("/s/kubeconfig"),
    operator_command="aimd run",
    gateway_url="http://127.0.0.1:1",
    hub_url="http://127.0.0.1:2",
    hub_root=Path("/s/hub"),
    audit_log=Path("/s/audit.log"),
    nodes=2,
)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_there_is_none_at_first() -> None:
    assert not is_claimed()
    assert read_state() is None


def test_the_state_is_known_while_the_lock_is_held() -> None:
    with claim():
        assert is_claimed()
        assert read_state() is None, "the sandbox is still starting"
        write_state(STATE)
        assert read_state() == STATE
    assert not is_claimed()
    assert not state_file().exists()


def test_a_state_without_a_lock_is_out_of_date() -> None:
    state_file().parent.mkdir(parents=True)
    write_state(STATE)
    assert read_state() is None
    with claim():
        assert read_state() is None


def test_there_is_one_sandbox_per_user() -> None:
    with claim(), pytest.raises(AlreadyRunning, match="already running"), claim():
        pass
