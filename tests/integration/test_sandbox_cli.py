"""`aimd sandbox` as a user runs it: it comes up, tells where things are, and goes without a trace."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimd.sandbox.running_sandbox import SandboxState
from aimd.sandbox.user_cache import cache_folder
from tests.integration.machine import listening_addresses, processes_in, wait_until

AIMD = [sys.executable, "-m", "aimd", "sandbox"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache with the user's binaries but without the user's sandbox."""
    shared = cache_folder()
    cache = tmp_path / "cache" / "aimd"
    cache.mkdir(parents=True)
    for entry in shared.iterdir() if shared.exists() else ():
        if entry.name != "run":
            (cache / entry.name).symlink_to(entry)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    aimd("down")


def test_keep_stays_until_down(home: Path) -> None:
    started = time.monotonic()
    up = aimd("up", "--nodes", "1", "--keep")
    assert up.returncode == 0, up.stderr
    print(f"sandbox up in {time.monotonic() - started:.1f} s")
    state = read_state(home)

    assert f"export KUBECONFIG={state.kubeconfig}" in up.stdout
    assert "1 node with eight GPUs" in aimd("status").stdout
    assert aimd("kubeconfig").stdout.strip() == str(state.kubeconfig)
    again = aimd("up")
    assert (again.returncode, again.stderr.startswith("A sandbox is already running")) == (1, True)

    addresses = {address for process in processes_in(home) for address in listening_addresses(process)}
    assert addresses | listening_addresses(state.pid) == {"127.0.0.1"}

    assert aimd("down").returncode == 0
    assert_nothing_left(home)
    assert aimd("status").returncode == 1
    assert aimd("down").returncode == 1


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_trace_is_left_after(ending: signal.Signals, home: Path) -> None:
    with subprocess.Popen([*AIMD, "up"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sandbox:
        assert sandbox.stdout is not None
        assert "is ready" in sandbox.stdout.readline()
        assert processes_in(home)
        sandbox.send_signal(ending)
        sandbox.wait(timeout=30)
    wait_until(lambda: not list(home.glob("aimd-sandbox-*")) and not state_file(home).exists())
    assert_nothing_left(home)


def aimd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AIMD, *arguments], capture_output=True, text=True, check=False, timeout=120)


def state_file(home: Path) -> Path:
    return home / "cache" / "aimd" / "run" / "sandbox.json"


def read_state(home: Path) -> SandboxState:
    return SandboxState.model_validate_json(state_file(home).read_text())


def assert_nothing_left(home: Path) -> None:
    assert list(home.glob("aimd-sandbox-*")) == []
    assert processes_in(home) == {}
    assert [path.name for path in state_file(home).parent.iterdir()] == ["sandbox.lock"]
