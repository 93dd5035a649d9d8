"""The operator dies by SIGKILL before and after each API write of the first scenario: the end is the same every time.

Each point is a run of its own: a namespace, an operator process for it alone, a proxy that sees its requests.
"""

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.client import Client
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import Key
from aimd.sandbox.cluster import Sandbox
from aimd.sandbox.manifests import apply_manifests
from tests.e2e.namespaced import NamespacedOperator
from tests.e2e.world import model, namespace_manifest, runtime_config, service, status_word, template
from tests.end_state import end_state
from tests.faults.proxy import Cut, Seen
from tests.waiting import wait_until

AT_ONCE = 4
_WRITE = re.compile(r"/namespaces/[^/]+/(?P<plural>[^/?]+)(?:/[^/?]+(?:/(?P<subresource>[^/?]+))?)?")


@dataclass(frozen=True, order=True)
class Write:
    """The nth write of its sort."""

    sort: str
    nth: int


@dataclass(frozen=True)
class Point:
    """The operator dies when this write is under way."""

    write: Write
    cut: Cut


@dataclass
class Run:
    """One operator process whose writes are counted, and which dies at a point."""

    operator: NamespacedOperator
    point: Point | None = None
    seen: Counter[str] = field(default_factory=Counter)
    reached: bool = False

    def __post_init__(self) -> None:
        self.operator.proxy.gate = self._gate
        self.operator.proxy.on_cut = lambda seen: self.operator.kill()

    async def _gate(self, seen: Seen) -> Cut:
        sort = sort_of(seen)
        if not sort:
            return Cut.NOT
        self.seen[sort] += 1
        if self.point is None or self.reached or self.point.write != Write(sort, self.seen[sort]):
            return Cut.NOT
        self.reached = True
        return self.point.cut


def sort_of(seen: Seen) -> str:
    """Verb and resource of a write; empty for reads, and for Events, which nothing depends on."""
    found = _WRITE.search(seen.path)
    if seen.method == "GET" or found is None or found["plural"] == "events":
        return ""
    return "/".join(part for part in (seen.method, found["plural"], found["subresource"]) if part)


async def scenario(client: Client, run: Run) -> dict[str, Any]:
    """A service from apply to Running, whatever happens to the operator on the way."""
    operator, namespace = run.operator, run.operator.namespace
    await apply_manifests(client, [namespace_manifest(namespace), runtime_config(namespace, operator.sandbox.hub_url)])
    async with operator.operating():
        await apply_manifests(client, [model(namespace), template(namespace), service(namespace)])
        key = Key(namespace, "chat")
        await wait_until(
            "Running", lambda: client.get(AIM_SERVICE, key), lambda live: status_word(live) == "Running", 300
        )
        state = await settled(client, namespace)
    await client.delete(NAMESPACE, Key("", namespace), reason="test")
    return state


async def settled(client: Client, namespace: str) -> dict[str, Any]:
    """The state once it has not changed for two seconds."""
    state: dict[str, Any] = {}
    same = 0
    while same < 4:
        latest = await end_state(client, namespace)
        same = same + 1 if latest == state else 0
        state = latest
        await asyncio.sleep(0.5)
    return state


def points_in(sort: str, count: int) -> list[int]:
    """All of them; of the many status writes of one kind, which are alike, the first, one on the way and the last."""
    if "status" not in sort:
        return list(range(1, count + 1))
    return sorted({1, (count + 1) // 2, count})


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_killed_before_and_after_each_write_it_ends_the_same(
    sandbox: Sandbox, client: Client, tmp_path: Path
) -> None:
    undisturbed = Run(NamespacedOperator(sandbox, "crash-none", tmp_path))
    expected = await scenario(client, undisturbed)
    print(f"\nundisturbed writes: {dict(sorted(undisturbed.seen.items()))}")
    writes = [Write(sort, nth) for sort, count in sorted(undisturbed.seen.items()) for nth in points_in(sort, count)]
    points = [Point(write, cut) for write in writes for cut in (Cut.BEFORE, Cut.AFTER)]
    runs = [Run(NamespacedOperator(sandbox, f"crash-{index}", tmp_path), point) for index, point in enumerate(points)]
    places = asyncio.Semaphore(AT_ONCE)
    wrong: dict[str, dict[str, Any]] = {}

    async def attempt(run: Run) -> None:
        async with places:
            state = await scenario(client, run)
        if state != expected:
            print(f"{run.point} ended differently")
            wrong[str(run.point)] = {
                name: {"expected": expected.get(name), "found": state.get(name)}
                for name in expected | state
                if expected.get(name) != state.get(name)
            }

    async with asyncio.TaskGroup() as tasks:
        for run in runs:
            tasks.create_task(attempt(run))
    reached = sum(run.reached for run in runs)
    print(f"{len(points)} crash points, {reached} reached")
    assert not wrong, json.dumps(wrong, indent=1)
    # Which states a status passes through differs a little from run to run; what is written otherwise does not.
    missed = {run.point for run in runs if not run.reached}
    assert not [point for point in missed if point is not None and "status" not in point.write.sort]
