"""Startup, readiness and liveness probes, by HTTP or by opening a TCP connection.

Until a probe succeeds, it runs more often than its period, so that a ready pod is reported soon; a failure still counts
only once per period. Probes by command or gRPC always succeed.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import httpx

from aimd.runtime.objects import Manifest

_SHORT_PERIOD = 0.25
"""Seconds between runs of a probe that has not succeeded yet."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe of a container; `port` is that of the container, times are in seconds, thresholds in numbers of runs."""

    port: int = 0
    http_path: str | None = None
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3


@dataclass(slots=True)
class Verdict:
    """Counts results until a threshold is reached; `healthy` is None before that. Pure: the time is an argument."""

    probe: Probe
    healthy: bool | None = None
    _successes: int = 0
    _failures: int = 0
    _failed_at: float = field(default=float("-inf"))

    def take(self, now: float, *, success: bool) -> bool:
        """Count a result; return whether the verdict has changed. `now` is the time on a monotonic clock."""
        before = self.healthy
        if success:
            self._successes, self._failures, self._failed_at = self._successes + 1, 0, float("-inf")
            if self._successes >= self.probe.successes:
                self.healthy = True
        else:
            self._successes = 0
            if now - self._failed_at >= self.probe.period:
                self._failures, self._failed_at = self._failures + 1, now
            if self._failures >= self.probe.failures:
                self.healthy = False
        return self.healthy is not before


def parse_probe(container: Manifest, name: str) -> Probe | None:
    """Return the `readinessProbe`, `livenessProbe` or `startupProbe` of a container, or None."""
    probe = container.get(name) or {}
    action = probe.get("httpGet") or probe.get("tcpSocket")
    if not action:
        return None
    http = probe.get("httpGet")
    return Probe(
        port=_port_number(container, action["port"]),
        http_path=(http.get("path") or "/") if http else None,
        scheme=(action.get("scheme") or "HTTP").lower(),
        headers=tuple((item["name"], item["value"]) for item in action.get("httpHeaders") or ()),
        initial_delay=float(probe.get("initialDelaySeconds") or 0),
        period=float(probe.get("periodSeconds") or 10),
        timeout=float(probe.get("timeoutSeconds") or 1),
        successes=int(probe.get("successThreshold") or 1),
        failures=int(probe.get("failureThreshold") or 3),
    )


async def follow(probe: Probe, run: Callable[[], Awaitable[str]], report: Callable[[str], Awaitable[None]]) -> None:
    """Run a probe for ever, and report each change of the verdict: the problem, empty if the container is healthy.

    `run` returns the problem of one run.
    """
    await anyio.sleep(probe.initial_delay)
    verdict = Verdict(probe)
    while True:
        problem = await run()
        if verdict.take(time.monotonic(), success=not problem):
            await report(problem)
        await anyio.sleep(probe.period if verdict.healthy else min(probe.period, _SHORT_PERIOD))


async def run_once(probe: Probe, local_port: int | None) -> str:
    """Run a probe once, at the loopback port for that of the container; return the problem, empty without one."""
    if local_port is None:
        return f"nothing listens on port {probe.port}"
    try:
        with anyio.fail_after(probe.timeout):
            if probe.http_path is not None:
                return await _run_http(probe, local_port)
            connection = await anyio.connect_tcp("127.0.0.1", local_port)
            await connection.aclose()
    except TimeoutError:
        return f"no response within {probe.timeout:g} s"
    except (OSError, httpx.TransportError) as error:
        return f"port {probe.port}: {error or type(error).__name__}"
    return ""


async def _run_http(probe: Probe, local_port: int) -> str:
    path = f"/{(probe.http_path or '').lstrip('/')}"
    url = f"{probe.scheme}://127.0.0.1:{local_port}{path}"
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501 (as a kubelet does)
        response = await client.get(url, headers=list(probe.headers), timeout=None)
    return "" if 200 <= response.status_code < 400 else f"HTTP probe failed with statuscode: {response.status_code}"


def _port_number(container: Manifest, port: int | str) -> int:
    """Return a port, given by its number or by its name in the container; 0 for an unknown name."""
    if isinstance(port, int):
        return port
    named = (item["containerPort"] for item in container.get("ports") or () if item.get("name") == port)
    return int(next(named, 0))
