"""The constructors of components: state, direction and whether they stop writes."""

import pytest

from aimd.planning.component import DOWNSTREAM, UPSTREAM, Component, Direction, State, may_apply
from aimd.runtime.objects import Category, Failure

REFUSED = Failure(Category.AUTH, "ImagePullAuthFailure", "The registry refused access")
ABSENT = Failure(Category.MISSING_UPSTREAM, "ModelNotFound", "There is no model m")


@pytest.mark.parametrize(
    ("component", "state", "reason", "direction"),
    [
        (Component.ready("CacheReady", "CacheReady", "ok", DOWNSTREAM), State.READY, "CacheReady", DOWNSTREAM),
        (Component.waiting("CacheReady", "CacheCreating", "x"), State.PROGRESSING, "CacheCreating", None),
        (Component.pending("ModelReady", "CreatingModel", "x", UPSTREAM), State.PENDING, "CreatingModel", UPSTREAM),
        (Component.missing("JobReady", "being created"), State.PROGRESSING, "ResourceNotReady", DOWNSTREAM),
        (Component.failed("PodsReady", REFUSED), State.FAILED, "ImagePullAuthFailure", None),
        (Component.failed("PodsReady", ABSENT, DOWNSTREAM), State.DEGRADED, "ModelNotFound", DOWNSTREAM),
        (Component.blocked("ModelReady", ABSENT), State.DEGRADED, "ModelNotFound", UPSTREAM),
        (Component.blocked("ModelReady", ABSENT, state=State.FAILED), State.FAILED, "ModelNotFound", UPSTREAM),
    ],
)
def test_a_constructor_gives_state_reason_and_direction(
    component: Component, state: State, reason: str, direction: Direction | None
) -> None:
    assert component.effective_state is state
    assert component.effective_reason == reason
    assert component.direction is (direction or Direction.UNSPECIFIED)


def test_only_blocked_stops_writes() -> None:
    assert may_apply([Component.failed("ModelReady", ABSENT, UPSTREAM), Component.missing("JobReady", "being created")])
    assert not may_apply([Component.blocked("ModelReady", ABSENT)])
