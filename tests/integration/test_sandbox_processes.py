"""Child processes end with the sandbox, in whatever way it ends, and take its folder along."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from aimd.sandbox.processes import ProcessFailed, Supervisor, supervise

# A sandbox with one child that ignores SIGTERM and has a child of its own; it says what it started, then waits.
PARENT = """
import anyio, json, signal, sys
from aimd.sandbox.processes import supervise
# Whoever runs the tests in the background of a shell, or under nohup, hands down signals that are ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
CHILD = ["sh", "-c", "trap '' TERM INT HUP; sleep 300 & echo $! > grandchild; wait; sleep 300"]
async def main():
    async with supervise() as supervisor:
        await supervisor.start("child", CHILD)
        grandchild = supervisor.folder / "grandchild"
        while not grandchild.exists() or not grandchild.read_text().strip():
            await anyio.sleep(0.02)
        print(json.dumps([str(supervisor.folder), int(grandchild.read_text())]), flush=True)
        if sys.argv[1] == "leave":
            return
        if sys.argv[1] == "fail":
            raise RuntimeError
        await anyio.sleep_forever()
anyio.run(main)
"""


@pytest.mark.parametrize("ending", ["leave", "fail", signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_survives_the_sandbox(ending: str | signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(ending)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        folder, grandchild = json.loads(parent.stdout.readline())
        if isinstance(ending, signal.Signals):
            parent.send_signal(ending)
        try:
            parent.wait(timeout=20)
        finally:
            parent.kill()
    deadline = time.monotonic() + 15
    while Path(folder).exists() or is_alive(grandchild):
        assert time.monotonic() < deadline, (folder, grandchild)
        time.sleep(0.05)


async def test_a_process_that_dies_takes_the_sandbox_down_with_its_last_words() -> None:
    async def sandbox() -> None:
        async with supervise() as supervisor:
            await supervisor.start("part", ["sh", "-c", "sleep 0.1; echo no disk; exit 3"])
            await anyio.sleep(20)

    with pytest.raises(ProcessFailed, match=r"(?s)part exited with status 3.*no disk"):
        await sandbox()


async def test_without_its_keeper_the_sandbox_still_clears_up() -> None:
    async with supervise() as supervisor:
        await supervisor.start("part", ["sh", "-c", "echo $$ > pid; sleep 300"])
        pid_file = supervisor.folder / "pid"
        while not pid_file.exists() or not pid_file.read_text():  # noqa: ASYNC110
            await anyio.sleep(0.02)
        pid = int(pid_file.read_text())
        os.kill(supervisor.keeper.pid, signal.SIGKILL)
        await anyio.sleep(0.2)
        supervisor.keeper.release(12345678)
    assert not is_alive(pid)
    assert not pid_file.exists()


async def test_a_process_that_never_gets_ready_is_stopped() -> None:
    async def never() -> bool:
        return False

    async with supervise() as supervisor:
        with pytest.raises(ProcessFailed, match="was not ready within 0 s"):
            await supervisor.start("part", ["sh", "-c", "echo $$ > pid; sleep 300"], ready=never, timeout=0.3)
        assert not is_alive(int((supervisor.folder / "pid").read_text()))


async def test_a_port_taken_meanwhile_is_given_up_for_another() -> None:
    """The first attempt finds its port taken, as if somebody had been quicker."""
    tried: list[int] = []
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()

        def command(ports: Sequence[int]) -> Sequence[str]:
            tried.append(ports[0])
            port = ports[0] if len(tried) > 1 else somebody.getsockname()[1]
            program = (
                "import os, socket, sys, time\n"
                "s = socket.socket()\n"
                f"try: s.bind(('127.0.0.1', {port}))\n"
                "except OSError as e: sys.exit(f'bind: {os.strerror(e.errno).lower()}')\n"
                "s.listen(); time.sleep(60)"
            )
            return [sys.executable, "-c", program]

        async with supervise() as supervisor:
            ports = await supervisor.start_on_free_ports("part", command, ready=lambda ports: accepts(ports[0]))

    assert list(ports) == tried[1:]


async def test_other_failures_are_not_tried_again() -> None:
    starts = 0

    def command(ports: Sequence[int]) -> Sequence[str]:
        nonlocal starts
        starts += 1
        return ["sh", "-c", "echo unknown flag; exit 1"]

    async with supervise() as supervisor:
        with pytest.raises(ProcessFailed, match="unknown flag"):
            await supervisor.start_on_free_ports("part", command, ready=lambda ports: accepts(ports[0]))
    assert starts == 1


async def test_environment_is_added(tmp_path: Path) -> None:
    async def written() -> bool:
        return (tmp_path / "answer").exists()

    async def start(supervisor: Supervisor) -> None:
        script = f'echo "$ANSWER" > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/answer; sleep 60'
        await supervisor.start("part", ["sh", "-c", script], environment={"ANSWER": "42"}, ready=written)

    async with supervise() as supervisor:
        await start(supervisor)
    assert (tmp_path / "answer").read_text() == "42\n"


async def accepts(port: int) -> bool:
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
