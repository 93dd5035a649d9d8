"""The time from a change of a parent's spec to its child, on a real API server: median and 99th percentile.

A user changes a parent, and sees the child change on a watch. Both operators run side by side and are measured
alternately, so that both have the same conditions; once ours is idle, once it has 10,000 items queued.
"""

import asyncio
import ssl
import statistics
import time
from pathlib import Path

import aiohttp
import orjson

from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.kinds import CONFIG_MAP
from bench.cluster import cluster, create_all, create_namespace
from bench.copiers import NAMESPACE, OPERATOR, ROLE, bare, on_runtime, parent
from bench.figures import Figure, Figures, at_most
from bench.fresh import beside, in_fresh_process

NAME = "propagation"
MEDIAN = at_most(2)
TAIL = at_most(4)

_EDITED = 10
"""Parents that the user edits in turn; what else there is only waits."""
_PATIENCE = 30.0
_URL = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


def run(edits: int = 500, backlog: int = 10_000) -> Figures:
    """Measure without and with a backlog."""
    figures: list[Figure] = []
    with cluster() as plane:
        arguments = (plane.url, plane.authority_file, plane.token)
        in_fresh_process(prepare, plane.kubeconfig, {"bare": _EDITED, "idle": _EDITED, "busy": backlog})
        with beside(bare, *arguments, "bare"):
            for operator, waiting in (("idle", 0), ("busy", backlog)):
                with beside(on_runtime, plane.kubeconfig, operator, waiting):
                    seconds = in_fresh_process(edit, *arguments, ("bare", operator), edits)
                state = "idle" if not waiting else f"with {waiting:,} items queued"
                figures += _figures(operator, state, seconds[operator], seconds["bare"])
    return Figures(NAME, tuple(figures))


def _figures(name: str, state: str, ours: list[float], floor: list[float]) -> list[Figure]:
    return [
        Figure(
            f"{NAME}/{name}/{percentile}",
            f"change of a spec → child patched, {percentile}, {state}",
            _percentile(ours, share) * 1e3,
            "ms",
            "bare watch and PATCH",
            _percentile(floor, share) * 1e3,
            (limit,),
        )
        for percentile, share, limit in (("p50", 50, MEDIAN), ("p99", 99, TAIL))
    ]


def _percentile(values: list[float], share: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


async def prepare(kubeconfig: Path, parents: dict[str, int]) -> None:
    """Create the parents of each operator."""
    async with connect(ClientOptions(kubeconfig=kubeconfig)) as client:
        await create_namespace(client, NAMESPACE)
        for operator, count in parents.items():
            await create_all(client, CONFIG_MAP, (parent(operator, number) for number in range(count)))


async def edit(url: str, authority: Path, token: str, operators: tuple[str, ...], edits: int) -> dict[str, list[float]]:
    """Return the seconds from each edit to its effect, by operator; the operators are measured alternately."""
    context = ssl.create_default_context(cafile=str(authority))
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=None)
    seconds: dict[str, list[float]] = {operator: [] for operator in operators}
    async with aiohttp.ClientSession(
        url, headers=headers, connector=aiohttp.TCPConnector(ssl=context), timeout=timeout
    ) as session:
        user = _User(session)
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(user.watch(operators))
            await user.watching.wait()
            for number in range(edits):
                for operator in operators:
                    taken = await user.edit(f"{operator}-{number % _EDITED:05d}", f"{operator} {number}")
                    if number >= _EDITED:  # The first edit of each parent is a warm-up.
                        seconds[operator].append(taken)
            watch.cancel()
    return seconds


class _User:
    """Edits parents, and watches children."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._expected: dict[str, tuple[str, asyncio.Future[float]]] = {}
        self.watching = asyncio.Event()

    async def watch(self, operators: tuple[str, ...]) -> None:
        """Note when each child gets its value, until cancelled."""
        selector = f"{ROLE}=child,{OPERATOR} in ({','.join(operators)})"
        parameters = {"watch": "true", "labelSelector": selector, "sendInitialEvents": "true"}
        parameters |= {"resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
        async with self._session.get(_URL, params=parameters) as response:
            response.raise_for_status()
            async for line in response.content:
                event = orjson.loads(line)
                if event["type"] == "BOOKMARK":
                    self.watching.set()
                    continue
                value, seen = self._expected.get(event["object"]["metadata"]["name"], ("", None))
                if seen is not None and event["object"]["data"]["value"] == value and not seen.done():
                    seen.set_result(time.perf_counter())

    async def edit(self, name: str, value: str) -> float:
        """Return the seconds until the child has the value of its parent. Raises TimeoutError."""
        seen: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._expected[f"{name}-copy"] = (value, seen)
        started = time.perf_counter()
        async with self._session.patch(
            f"{_URL}/{name}",
            data=orjson.dumps({"data": {"value": value}}),
            headers={"Content-Type": "application/merge-patch+json"},
        ) as response:
            response.raise_for_status()
            await response.read()
        async with asyncio.timeout(_PATIENCE):
            return await seen - started
