"""The work queue: add, get and done of 100,000 keys, with metrics, compared with a dict and a deque without duplicates.

Both run under the garbage collector's thresholds of a manager.
"""

import gc
from collections import deque

from aimd.runtime.manager import COLLECT_AFTER
from aimd.runtime.metrics import ManagerMetrics, QueueMetrics
from aimd.runtime.objects import Key
from aimd.runtime.workqueue import WorkQueue
from bench.figures import Figure, Figures, no_more_than
from bench.fresh import in_fresh_process
from bench.meters import metered

NAME = "queue"
MOST_MICROSECONDS = no_more_than(3.0)


def run(keys: int = 100_000, rounds: int = 5) -> Figures:
    """Run ours and the floor alternately; the best round of each counts."""
    ours, floor = [], []
    for _ in range(rounds):
        ours.append(in_fresh_process(through_queue, keys))
        floor.append(in_fresh_process(through_deque, keys))
    figure = Figure(
        NAME,
        f"add + get + done of a key, {keys:,} keys",
        min(ours) * 1e6,
        "µs of CPU",
        "dict and deque",
        min(floor) * 1e6,
        (MOST_MICROSECONDS,),
    )
    return Figures(NAME, (figure,))


async def through_queue(count: int) -> float:
    """Return the seconds of CPU per key of the work queue, used as by a controller."""
    queue: WorkQueue[Key] = WorkQueue(metrics=QueueMetrics(ManagerMetrics("bench"), "bench"))
    keys = _keys(count)
    gc.set_threshold(*COLLECT_AFTER)
    with metered() as cost:
        for key in keys:
            queue.add(key, reason="bench")
        for _ in keys:
            item = await queue.get()
            queue.done(item.key)
    return cost.cpu / count


def through_deque(count: int) -> float:
    """Return the seconds of CPU per key of the simplest queue without duplicates."""
    keys = _keys(count)
    waiting: dict[Key, str] = {}
    line: deque[Key] = deque()
    working: set[Key] = set()
    with metered() as cost:
        for key in keys:
            if key not in waiting:
                waiting[key] = "bench"
                line.append(key)
        while line:
            key = line.popleft()
            del waiting[key]
            working.add(key)
            working.discard(key)
    return cost.cpu / count


def _keys(count: int) -> list[Key]:
    return [Key(f"team-{number % 20:02d}", f"object-{number:06d}") for number in range(count)]
