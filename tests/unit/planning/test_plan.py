"""What planning returns."""

from aimd.planning.plan import Plan


def test_an_empty_plan_asks_for_nothing() -> None:
    plan = Plan()
    assert (plan.components, plan.desired, plan.deletions, plan.extra_conditions, plan.needs) == ((), (), (), (), ())
    assert (dict(plan.status), plan.requeue_after) == ({}, None)
