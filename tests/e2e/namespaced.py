"""An operator process for one namespace, behind a proxy that sees, counts and spoils its requests."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aimd.sandbox.cluster import Sandbox
from tests.faults.proxy import FaultProxy


@dataclass
class NamespacedOperator:
    """`aimd run` for `namespace` only, with the rights of the chart's account; started again whenever it ends."""

    sandbox: Sandbox
    namespace: str
    folder: Path
    proxy: FaultProxy = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        plane = self.sandbox.control_plane
        self.proxy = FaultProxy(plane.url, plane.authority_file)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.namespace}.log"

    @asynccontextmanager
    async def operating(self) -> AsyncIterator[None]:
        async with self.proxy.serving():
            own = self.folder / f"{self.namespace}.kubeconfig"
            kubeconfig = self.proxy.kubeconfig(self.sandbox.operator.kubeconfig, own)
            keeping = asyncio.create_task(self._keep_running(kubeconfig))
            try:
                yield
            finally:
                keeping.cancel()
                self.kill()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def _keep_running(self, kubeconfig: Path) -> None:
        """What a Deployment does: a process that ended is started again."""
        while True:
            if self.process is None or self.process.poll() is not None:
                self._start(kubeconfig)
            await asyncio.sleep(0.1)

    def _start(self, kubeconfig: Path) -> None:
        identity = self.sandbox.operator
        flags = [*identity.arguments, "--leader-elect=false", f"--watch-namespaces={self.namespace}"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aimd", "run", *flags, "--artifact-retry-base=3s"],
                env={**os.environ, **identity.environment, "KUBECONFIG": str(kubeconfig)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
