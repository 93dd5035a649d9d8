"""The comparison of declared and produced conditions sees what it is for."""

from aimd.planning.component import State
from aimd.planning.pods import PodHealth
from tests.produced_conditions import is_declared, missing


def test_a_reason_that_is_not_declared_is_seen(undeclared: list[str]) -> None:
    PodHealth(State.FAILED, "Invented", "").component("DownloadJobPodsReady")
    PodHealth(State.FAILED, "PodFailed", "").component("InventedReady")
    assert undeclared == ["DownloadJobPodsReady: Invented", "InventedReady: PodFailed"]
    undeclared.clear()


def test_what_a_condition_may_say() -> None:
    assert is_declared("ModelReady", "ModelNotFound")
    assert not is_declared("TemplateReady", "ModelNotFound")
    assert is_declared("HTTPRouteReady", "ReasonOfAnImplementation")
    assert is_declared("PersistentVolumeClaimReady", "QuotaExceeded")
    assert not is_declared("PersistentVolumeClaimReady", "PvcLost")


def test_what_is_declared_and_never_given_is_named() -> None:
    names = missing({("ModelReady", "ModelNotFound")})
    assert "ModelReady: ModelNotReady" in names
    assert "ModelReady: ModelNotFound" not in names
    assert "anywhere: FailedMount" in names
    assert "FailedMount" not in " ".join(missing({("InferenceServicePodsReady", "FailedMount")}))
    assert "templateCandidates: BestMatch" in names
