"""The real helm, as tests run it."""

import subprocess
from pathlib import Path

from aimd.sandbox.binaries import locate_binaries


class Helm:
    """The real helm, in one namespace; `cache` is where it keeps what it keeps."""

    def __init__(self, kubeconfig: Path, cache: Path, namespace: str) -> None:
        program = locate_binaries(["helm"]).path("helm")
        self._command = [str(program), "--kubeconfig", str(kubeconfig), "--namespace", namespace]
        self._environment = {
            "HOME": str(cache),  # Without one it keeps its cache in the current folder.
            "HELM_CACHE_HOME": str(cache),
            "HELM_CONFIG_HOME": str(cache),
            "HELM_DATA_HOME": str(cache),
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._command, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False)

    def do(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout
