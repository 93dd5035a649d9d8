"""Conditions and status word: vectors of components, the grace, the bookkeeping."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.component import Component, Direction, State, may_apply
from aimd.planning.conditions import Summary, summarize
from aimd.planning.kinds import INFERENCE_SERVICE
from aimd.planning.time import timestamp
from aimd.runtime.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    NameTaken,
    NotFound,
    RequestTimeout,
    ServerTimeout,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    failure_of,
)
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Applied, Category, Condition, Failure, Key, Kind

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
UP, DOWN = Direction.UPSTREAM, Direction.DOWNSTREAM


def failure(category: Category, reason: str = "Because") -> Failure:
    return Failure(category, reason, f"{reason} happened")


def run(*components: Component, previous: tuple[Condition, ...] = (), now: datetime = NOW, **more: Any) -> Summary:
    options: dict[str, Any] = {"applied": Applied(), "generation": 3, **more}
    return summarize(components, previous=previous, now=now, **options)


def condition(summary: Summary, type_: str) -> Condition:
    return next(item for item in summary.conditions if item.type == type_)


def types(summary: Summary) -> list[str]:
    return [item.type for item in summary.conditions]


REFUSALS: dict[str, ApiError] = {
    "NotFound": NotFound("no"),
    "Unauthorized": Unauthorized("no"),
    "Forbidden": Forbidden("no"),
    "QuotaExceeded": Forbidden("exceeded quota: gpus"),
    "InvalidSpec": Invalid("no"),
    "AlreadyExists": AlreadyExists("no"),
    "NameTaken": NameTaken("no"),
    "Conflict": Conflict("no"),
    "RateLimited": TooManyRequests("no"),
    "Timeout": ServerTimeout("no"),
    "ServiceUnavailable": Unavailable("no", status=503),
    "ServerError": ApiError("no", status=502),
    "ClientError": ApiError("no", status=418),
    "UnknownError": ApiError("no"),
    "NetworkTimeout": RequestTimeout("no"),
    **{
        reason: ConnectionFailed("no", reason=reason)
        for reason in ("ConnectionRefused", "ConnectionReset", "DNSFailure", "NetworkError")
    },
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_child_that_cannot_be_written_shows_the_answer_of_the_server(reason: str) -> None:
    refused = (PERSISTENT_VOLUME_CLAIM, Key("ml-team", "weights"), failure_of(REFUSALS[reason]))
    shown = condition(run(READY_MODEL, applied=Applied(0, (refused,))), "PersistentVolumeClaimReady")
    assert (shown.status, shown.reason) == ("False", reason)
    assert shown.message.startswith("PersistentVolumeClaim ml-team/weights: ")


def test_why_a_child_cannot_be_created_says_more_than_that_it_is_missing() -> None:
    """Prove OBJ-STA-4."""
    taken = (INFERENCE_SERVICE, Key("ml-team", "chat-1"), failure_of(NameTaken("belongs to AIMService other")))
    missing = Component.missing("InferenceServiceReady", "The InferenceService is being created")
    shown = run(missing, applied=Applied(0, (taken,)))
    assert condition(shown, "InferenceServiceReady").reason == "NameTaken"
    assert (shown.state, condition(shown, "Ready").reason) == (State.FAILED, "InvalidSpec")
    assert "belongs to AIMService other" in condition(shown, "Ready").message


READY_MODEL = Component("ModelReady", State.READY, "ModelResolved", "ok", direction=UP)


@pytest.mark.parametrize(
    ("components", "state", "reason"),
    [
        ((READY_MODEL,), State.READY, "AllComponentsReady"),
        ((READY_MODEL, Component("CacheReady", State.PROGRESSING, direction=DOWN)), State.PROGRESSING, "Progressing"),
        (
            (
                Component("TemplateReady", State.PROGRESSING, direction=UP),
                Component("ArtifactsReady", State.PROGRESSING, direction=DOWN),
            ),
            State.PENDING,
            "Progressing",
        ),
        (
            (
                Component("InferenceServiceReady", State.PROGRESSING, direction=DOWN),
                Component("InferenceServicePodsReady", State.PENDING, "FailedScheduling"),
            ),
            State.PENDING,
            "Progressing",
        ),
        ((Component("InferenceServicePodsReady", State.STARTING, "PodsStarting"),), State.PROGRESSING, "Progressing"),
        (
            (READY_MODEL, Component("CacheReady", State.DEGRADED, "CacheLost", direction=DOWN)),
            State.DEGRADED,
            "CacheLost",
        ),
        (
            (Component("DownloadJobPodsReady", failures=(failure(Category.RESOURCE_EXHAUSTION, "StorageFull"),)),),
            State.FAILED,
            "StorageFull",
        ),
        (
            (Component("DownloadJobReady", failures=(failure(Category.MISSING_DOWNSTREAM),), direction=DOWN),),
            State.PROGRESSING,
            "Progressing",
        ),
        (
            (
                Component(
                    "ModelReady",
                    State.FAILED,
                    failures=(failure(Category.MISSING_UPSTREAM, "ModelNotFound"),),
                    direction=UP,
                ),
            ),
            State.FAILED,
            "ReferenceNotFound",
        ),
        ((Component("AnythingReady", failures=(failure(Category.INFRASTRUCTURE),)),), State.DEGRADED, "Because"),
        ((Component("AnythingReady", failures=(failure(Category.UNKNOWN),)),), State.DEGRADED, "InfrastructureError"),
        (
            (READY_MODEL, Component("GPUReady", State.NOT_AVAILABLE, "GPUNotAvailable")),
            State.NOT_AVAILABLE,
            "GPUNotAvailable",
        ),
        ((), State.READY, "AllComponentsReady"),
    ],
)
def test_vectors(components: tuple[Component, ...], state: State, reason: str) -> None:
    """Prove OBJ-CND-1, OBJ-STA-1, OBJ-STA-2 and OBJ-STA-3."""
    summary = run(*components)
    assert summary.state is state
    assert condition(summary, "Ready").reason == reason
    assert condition(summary, "Ready").status == ("True" if state is State.READY else "False")


def test_framework_conditions_exist_only_after_a_failure_and_then_recover() -> None:
    """Prove OBJ-CND-2."""
    assert types(run(READY_MODEL)) == ["ModelReady", "Ready"]
    broken = run(Component("ModelReady", failures=(failure(Category.INVALID_SPEC),), direction=UP))
    assert condition(broken, "ConfigValid").reason == "InvalidSpec"
    healed = run(READY_MODEL, previous=broken.conditions)
    assert condition(healed, "ConfigValid").status == "True"
    assert healed.state is State.READY


def test_auth_outranks_invalid_spec_outranks_missing() -> None:
    """Prove OBJ-STA-2."""
    all_three = tuple(
        failure(category) for category in (Category.MISSING_UPSTREAM, Category.INVALID_SPEC, Category.AUTH)
    )
    assert condition(run(Component("XReady", failures=all_three)), "Ready").reason == "AuthError"
    assert condition(run(Component("XReady", failures=all_three[:2])), "Ready").reason == "InvalidSpec"
    assert condition(run(Component("XReady", failures=all_three[:1])), "Ready").reason == "ReferenceNotFound"


def test_infrastructure_grace_keeps_a_true_condition_for_ten_seconds() -> None:
    """Prove OBJ-CND-6."""
    healthy = run(READY_MODEL)
    outage = Component("ModelReady", failures=(failure(Category.INFRASTRUCTURE, "Timeout"),), direction=UP)
    first = run(outage, previous=healthy.conditions)
    assert first.state is State.READY
    assert first.retry
    later = run(outage, previous=first.conditions, now=NOW + timedelta(seconds=9))
    assert later.state is State.READY
    expired = run(outage, previous=later.conditions, now=NOW + timedelta(seconds=11))
    assert expired.state is State.DEGRADED
    assert condition(expired, "ModelReady").status == "False"
    recovered = run(READY_MODEL, previous=expired.conditions, now=NOW + timedelta(seconds=12))
    assert recovered.state is State.READY
    assert condition(recovered, "DependenciesReachable").reason == "Reachable"


def test_conditions_of_components_no_longer_reported_are_dropped() -> None:
    """Prove OBJ-CND-3."""
    before = run(READY_MODEL, Component("HTTPRouteReady", State.PROGRESSING, "HTTPRoutePending", direction=DOWN))
    assert types(run(READY_MODEL, previous=before.conditions)) == ["ModelReady", "Ready"]


def test_transition_time_moves_with_status_or_reason_only() -> None:
    """Prove OBJ-CND-4."""
    first = run(Component("CacheReady", State.PROGRESSING, "CacheCreating", "one"))
    later = NOW + timedelta(minutes=1)
    same = run(Component("CacheReady", State.PROGRESSING, "CacheCreating", "two"), previous=first.conditions, now=later)
    assert condition(same, "CacheReady").last_transition_time == timestamp(NOW)
    assert condition(same, "CacheReady").message == "two"
    moved = run(Component("CacheReady", State.PROGRESSING, "CacheNotReady"), previous=first.conditions, now=later)
    assert condition(moved, "CacheReady").last_transition_time == timestamp(later)


def test_a_child_that_cannot_be_written_shows_under_its_component() -> None:
    """Prove OBJ-STA-4."""
    claim = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
    applied = Applied(failures=((claim, Key("ns", "x"), failure(Category.AUTH, "Forbidden")),))
    summary = run(READY_MODEL, applied=applied)
    assert summary.state is State.FAILED
    assert condition(summary, "PersistentVolumeClaimReady").reason == "Forbidden"
    assert "PersistentVolumeClaim ns/x" in condition(summary, "PersistentVolumeClaimReady").message


def test_warnings_repeat_and_normal_events_do_not() -> None:
    """Prove OBJ-EVT-1."""
    first = run(READY_MODEL, Component("CacheReady", State.DEGRADED, "CacheLost", "gone"))
    assert {(event.type, event.reason) for event in first.events} == {
        ("Normal", "ModelResolved"),
        ("Warning", "CacheLost"),
    }
    again = run(READY_MODEL, Component("CacheReady", State.DEGRADED, "CacheLost", "gone"), previous=first.conditions)
    assert {(event.reason, event.changed) for event in again.events} == {("CacheLost", False)}


def test_an_unusable_foreign_reason_and_an_endless_message_are_tamed() -> None:
    """Prove OBJ-CND-5."""
    summary = run(Component("HTTPRouteReady", State.DEGRADED, "no good!", "x" * 5000))
    assert condition(summary, "HTTPRouteReady").reason == "HTTPRouteNotReady"
    assert len(condition(summary, "HTTPRouteReady").message) == 1024


def test_only_blocking_components_stop_apply() -> None:
    """Prove OBJ-APL-3."""
    assert may_apply([Component("PodsReady", failures=(failure(Category.AUTH),))])
    assert not may_apply([READY_MODEL, Component("ModelReady", failures=(failure(Category.AUTH),), blocks_apply=True)])


def test_counts_as_overrides_the_aggregation_not_the_condition() -> None:
    summary = run(Component("TemplateReady", State.DEGRADED, "TemplateNotReady", direction=UP, counts_as=State.READY))
    assert summary.state is State.READY
    assert condition(summary, "TemplateReady").status == "False"


COMPONENTS = st.builds(
    Component,
    type=st.sampled_from(["AReady", "BReady", "CReady", ""]),
    state=st.none() | st.sampled_from(State),
    reason=st.text(max_size=5),
    failures=st.lists(st.builds(failure, st.sampled_from(Category)), max_size=2).map(tuple),
    direction=st.sampled_from(Direction),
)


@given(st.lists(COMPONENTS, max_size=5, unique_by=lambda component: component.type))
def test_summaries_are_total_stable_and_valid(components: list[Component]) -> None:
    first = run(*components)
    assert len(types(first)) == len(set(types(first)))
    assert all(item.status in ("True", "False") and item.reason for item in first.conditions)
    assert (condition(first, "Ready").status == "True") == (first.state is State.READY)
    second = run(*components, previous=first.conditions, now=NOW + timedelta(seconds=1))
    assert run(*components, previous=second.conditions, now=NOW + timedelta(seconds=2)).conditions == second.conditions
