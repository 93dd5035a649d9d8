"""A process that was asked to end ends, even when something in it refuses to."""

import signal
import subprocess
import sys
import time

SCRIPT = """
import asyncio
import anyio
from aimd.cli import run
from aimd.runtime.manager import ManagerOptions

class Stubborn:
    options = ManagerOptions(shutdown_timeout=0.1)

    def stop(self):
        print("asked", flush=True)

async def main():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run._stop_on_signal, Stubborn())
        await anyio.sleep(0.1)
        print("ready", flush=True)
        while True:
            try:
                await anyio.sleep(60)
            except asyncio.CancelledError:
                pass

anyio.run(main)
"""


def test_what_does_not_end_within_the_grace_period_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert process.wait(30) == 1
        assert time.monotonic() - started > 3, "the grace period comes first"
