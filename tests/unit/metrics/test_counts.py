"""Counters: template selections, download attempts, discoveries."""

from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE
from aimd.runtime.objects import Key
from tests.unit.metrics.fleet import TEAM, FleetWorld


def test_outcomes_of_selections(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_template_selection_total", outcome="none") == 1
    assert fleet.value("aimd_template_selection_total", outcome="removed_by_gpu") == 1


def test_a_selection_is_counted_when_it_changes(fleet: FleetWorld) -> None:
    best = {"name": "tiny", "scope": "Cluster", "verdict": "BestMatch"}
    outranked = {"name": "other", "scope": "Cluster", "verdict": "LowerPreferenceRank"}
    for chosen in ([best], [best], [best, outranked]):
        fleet.put(AIM_SERVICE, "undecided", status={"status": "Starting", "templateCandidates": chosen})
    assert fleet.value("aimd_template_selection_total", outcome="selected") == 2
    assert fleet.value("aimd_template_selection_total", outcome="removed_by_availability") is None
    tied = [{"type": "TemplateReady", "status": "False", "reason": "TemplateSelectionAmbiguous"}]
    fleet.put(AIM_SERVICE, "undecided", status={"status": "Pending", "conditions": tied})
    assert fleet.value("aimd_template_selection_total", outcome="ambiguous") == 1
    named = {"template": {"name": "tiny"}}
    fleet.put(AIM_SERVICE, "named", spec=named)
    fleet.put(AIM_SERVICE, "named", spec=named, status={"templateCandidates": [best]})
    assert fleet.value("aimd_template_selection_total", outcome="selected") == 2


def test_discoveries(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_discovery_total", result="failed", reason="JobDeadlineExceeded") == 1
    assert fleet.value("aimd_discovery_seconds_sum", result="succeeded", reason="CompletionsReached") == 40


def test_attempts(fleet: FleetWorld) -> None:
    labels = {**TEAM, "name": "ended", "result": "Failed", "reason": "Unknown"}
    assert fleet.value("aimd_artifact_attempts_total", **labels) == 1


def test_another_attempt_within_a_job_counts_as_retried(fleet: FleetWorld) -> None:
    for attempt in (1, 2, 2):
        fleet.put(AIM_ARTIFACT, "moving", status={"status": "Progressing", "download": {"attempt": attempt}})
    labels = {"namespace": "ml-team", "result": "Retried", "reason": "Unknown"}
    assert fleet.value("aimd_artifact_attempts_total", name="moving", **labels) == 1


def test_attempts_of_too_many_artifacts_are_counted_without_their_names() -> None:
    fleet = FleetWorld(limit=2)
    for number in range(3):
        for word in ("Progressing", "Failed"):
            fleet.put(AIM_ARTIFACT, f"weights-{number}", status={"status": word})
    assert fleet.samples("aimd_artifact_attempts", "name") == {"": 3}
    fleet.cache[AIM_ARTIFACT].forget(Key("ml-team", "weights-0"), "AIMArtifact/weights-0")
    assert fleet.samples("aimd_artifact_attempts", "name") == {"weights-1": 1, "weights-2": 1}
