"""Events: a change of a 6 KB object and a reconcile that changes nothing, per second and core."""

from bench.figures import Figure, Figures, at_least, no_less_than
from bench.fresh import in_fresh_process
from bench.operators import OperatorCost, bare, on_kopf, on_runtime
from bench.server import serving

NAME = "events"
LEAST_PER_SECOND = no_less_than(4000)
LEAST_OF_KOPF = at_least(7)


def run(objects: int = 5000, rounds: int = 3, repetitions: int = 2) -> Figures:
    """Run all three operators alternately; the best round of each counts."""
    costs: dict[str, list[OperatorCost]] = {"aimd": [], "kopf": [], "bare": []}
    with serving(pods=objects) as url:
        for _ in range(repetitions):
            costs["aimd"].append(in_fresh_process(on_runtime, url, objects, rounds))
            costs["kopf"].append(in_fresh_process(on_kopf, url, objects, 1))
            costs["bare"].append(in_fresh_process(bare, url, objects, rounds))
    rates = {name: 1 / min(cost.event for cost in tried) for name, tried in costs.items()}
    title, unit = "events with a no-op reconcile, objects of 6 KB", "events/s of CPU"
    return Figures(
        NAME,
        (
            Figure(
                f"{NAME}/kopf", title, rates["aimd"], unit, "kopf", rates["kopf"], (LEAST_PER_SECOND, LEAST_OF_KOPF)
            ),
            Figure(f"{NAME}/bare", title, rates["aimd"], unit, "bare loop", rates["bare"]),
        ),
    )
