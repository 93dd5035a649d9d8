"""The operator as a process of the sandbox: `aimd run` with the RBAC and the flags of the chart."""

# tests: tests/integration/test_sandbox_cli.py

import sys
from collections.abc import Sequence

import httpx

from aimd.sandbox.chart import OperatorIdentity
from aimd.sandbox.processes import Supervisor

NAME = "aimd"


async def start_operator(supervisor: Supervisor, identity: OperatorIdentity) -> None:
    """Start `aimd run`, and return when its caches are synced. Raises ProcessFailed."""

    def command(ports: Sequence[int]) -> Sequence[str]:
        address = f"--health-probe-bind-address=127.0.0.1:{ports[0]}"
        return [sys.executable, "-m", "aimd", "run", *identity.arguments, address]

    async def ready(ports: Sequence[int]) -> bool:
        async with httpx.AsyncClient(trust_env=False) as http:
            try:
                response = await http.get(f"http://127.0.0.1:{ports[0]}/readyz")
            except httpx.TransportError:
                return False
            return response.status_code == httpx.codes.OK

    await supervisor.start_on_free_ports(NAME, command, environment=identity.environment, ready=ready)
