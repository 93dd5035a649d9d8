"""Attempts at discovery: when, what comes of them, when again."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMModel
from aimd.api.service_template import AIMServiceTemplate
from aimd.planning.conditions import Summary, summarize
from aimd.planning.gpus import GpuInventory, inventory_of
from aimd.planning.plan import Plan
from aimd.planning.pod_rights import PodRights
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service_template.discovery import FIRST_WAIT_SECONDS, DiscoveryRun, wait_seconds
from aimd.planning.service_template.discovery_job import job_key, spec_hash
from aimd.planning.service_template.observed import ObservedTemplate, discovery_context, wants_discovery
from aimd.planning.service_template.plan import plan_service_template
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Applied, Manifest

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NODES = inventory_of([{"amd.com/gpu.device-id": "74a1"}])
MI300X = {"gpu": {"model": "MI300X", "requests": 1, "resourceName": "amd.com/gpu"}}
TYPE = {"type": "optimized"}
OUTPUT = json.dumps(
    [
        {
            "profile": {
                "metadata": {
                    "engine": "vllm",
                    "gpu": "MI300X",
                    "gpu_count": 1,
                    "precision": "fp8",
                    "type": "optimized",
                },
                "engine_args": {"a": 1},
                "env_vars": {"B": "2"},
            },
            "models": [{"name": "a/b", "source": "hf://a/b", "size_gb": 0.5}],
        }
    ]
)
BY_JOB = {"discovery": {"extractMetadata": False}}
"""Keeps a model's templates from querying the registry."""
SOURCES = [{"modelId": "a/b", "sourceUri": "hf://a/b", "size": "512Mi"}]


def observed(status: dict[str, Any] | None = None, *, image: str = "i:1", **spec: Any) -> ObservedTemplate:
    inventory = spec.pop("inventory", NODES)
    of_model = spec.pop("model_spec", {})
    return ObservedTemplate(
        template=AIMServiceTemplate.model_validate(
            {
                "metadata": {"name": "t", "namespace": "ml-team", "uid": "tu"},
                "spec": {"modelName": "m", "hardware": MI300X, **spec},
                "status": status or {},
            }
        ),
        config=ResolvedConfig(),
        model=AIMModel.model_validate(
            {"metadata": {"name": "m", "namespace": "ml-team"}, "spec": {"image": image, **of_model}}
        ),
        inventory=inventory,
    )


def digest(of: ObservedTemplate) -> str:
    context = discovery_context(of)
    assert context is not None
    return spec_hash(context)


def job_name(of: ObservedTemplate) -> str:
    context = discovery_context(of)
    assert context is not None
    return job_key(context).name


def job(of: ObservedTemplate, ended: str = "", uid: str = "ju", reason: str = "BackoffLimitExceeded") -> Manifest:
    conditions = [{"type": ended, "status": "True", "reason": reason, "message": f"the job {ended}"}] if ended else []
    return {
        "metadata": {
            "name": job_name(of),
            "namespace": "ml-team",
            "uid": uid,
            "creationTimestamp": "2026-01-01T11:59:00Z",
        },
        "status": {"conditions": conditions},
    }


def pod(phase: str, **container: Any) -> Manifest:
    status: Manifest = {"phase": phase}
    if container:
        status["containerStatuses"] = [{"name": "discovery", "state": container}]
    return {"metadata": {"name": "p", "namespace": "ml-team", "uid": "pu"}, "status": status}


PULL_FAILURE = pod("Pending", waiting={"reason": "ImagePullBackOff", "message": "manifest unknown"})
CRASHED = pod("Failed", terminated={"exitCode": 1, "reason": "Error"})


def settle(of: ObservedTemplate, run: DiscoveryRun, now: datetime = NOW) -> tuple[Plan, Summary]:
    plan = plan_service_template(replace(of, run=run), now)
    summary = summarize(
        plan.components,
        applied=Applied(),
        previous=(),
        generation=1,
        now=now,
        extra_conditions=plan.extra_conditions,
    )
    return plan, summary


def shown(summary: Summary, type_: str) -> tuple[str, str] | None:
    return next(((c.status, c.reason) for c in summary.conditions if c.type == type_), None)


def kinds(plan: Plan) -> list[str]:
    return [item.kind.name for item in plan.desired]


def failed_before(of: ObservedTemplate, attempts: int, ago: float, **changes: Any) -> dict[str, Any]:
    moment = (NOW - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    state = {"attempts": attempts, "lastAttemptTime": moment, "lastFailureReason": "boom", "specHash": digest(of)}
    return {"discovery": {**state, **changes}, "discoveryJob": {"name": job_name(of), "uid": "ju"}}


def test_a_job_is_made_when_there_is_a_place() -> None:
    of = observed()
    assert wants_discovery(of, DiscoveryRun(), NOW)
    plan, summary = settle(of, DiscoveryRun(may_start=True))
    assert kinds(plan) == ["Job"]
    assert (str(summary.state), shown(summary, "DiscoveryJobReady")) == ("Pending", ("False", "JobNotCreated"))
    assert shown(summary, "Discovered") == ("False", "AwaitingDiscovery")


def test_without_a_place_the_template_asks_again_soon() -> None:
    plan, summary = settle(observed(), DiscoveryRun())
    assert (kinds(plan), plan.requeue_after) == ([], 5)
    assert str(summary.state) == "Pending"


@pytest.mark.parametrize("gpu", [{"model": "MI355X", "requests": 1}, {"minVram": "1Ti", "requests": 1}])
def test_no_job_without_the_gpu_or_its_memory(gpu: dict[str, Any]) -> None:
    """Prove TPL-DSC-7."""
    of = observed(hardware={"gpu": gpu})
    assert not wants_discovery(of, DiscoveryRun(), NOW)
    plan, summary = settle(of, DiscoveryRun(may_start=True))
    assert (kinds(plan), str(summary.state)) == ([], "NotAvailable")


def test_nothing_is_made_beside_a_running_job() -> None:
    of = observed()
    run = DiscoveryRun(job=job(of), pods=(pod("Pending"),), may_start=True)
    assert not wants_discovery(of, run, NOW)
    plan, summary = settle(of, run)
    assert (plan.desired, plan.deletions) == ((), ())
    assert shown(summary, "DiscoveryJobReady") == ("False", "JobRunning")
    assert shown(summary, "DiscoveryPodsReady") == ("False", "PodsPending")


def test_a_completed_job_settles_the_template_at_once() -> None:
    of = observed()
    plan, summary = settle(of, DiscoveryRun(job=job(of, "Complete"), pods=(pod("Succeeded"),), log=OUTPUT))
    assert str(summary.state) == "Ready"
    assert shown(summary, "Discovered") == ("True", "DiscoveryComplete")
    assert shown(summary, "DiscoveryJobReady") == ("True", "Ready")
    assert plan.status["modelSources"] == SOURCES
    profile = plan.status["profile"]
    assert profile["metadata"] == {
        "engine": "vllm",
        "gpu": "MI300X",
        "gpuCount": 1,
        "precision": "fp8",
        "type": "optimized",
    }
    assert (profile["engine_args"], profile["env_vars"]) == ({"a": 1}, {"B": "2"})
    assert profile["originalDiscoveryOutput"] == json.loads(OUTPUT)[0]
    assert plan.status["resolvedHardware"] == MI300X
    assert plan.status["hardwareSummary"] == "1 x MI300X"
    assert plan.status["discovery"] == {"specHash": digest(of)}
    assert plan.status["discoveryJob"] == {
        "name": job_name(of),
        "namespace": "ml-team",
        "scope": "Namespace",
        "kind": "batch/v1/Job",
        "uid": "ju",
    }


def test_the_spec_s_type_goes_over_the_discovered_one() -> None:
    """Prove TPL-OUT-3."""
    of = observed(type="preview")
    plan, _ = settle(of, DiscoveryRun(job=job(of, "Complete"), pods=(pod("Succeeded"),), log=OUTPUT))
    assert plan.status["profile"]["metadata"]["type"] == "preview"
    discovered = {"status": "Ready", **_results(plan)}
    plan, _ = settle(observed(discovered), DiscoveryRun())
    assert plan.status["profile"]["metadata"]["type"] == "optimized"


def test_a_memory_demand_gives_way_to_the_discovered_model() -> None:
    """Prove TPL-GPU-1."""
    of = observed(hardware={"gpu": {"minVram": "64Gi", "requests": 1, "resourceName": "x.y/gpu"}})
    plan, _ = settle(of, DiscoveryRun(job=job(of, "Complete"), log=OUTPUT))
    assert plan.status["resolvedHardware"] == {"gpu": {"model": "MI300X", "requests": 1, "resourceName": "x.y/gpu"}}


def _results(plan: Plan) -> dict[str, Any]:
    names = ("modelSources", "profile", "resolvedHardware", "discovery", "discoveryJob")
    return {name: plan.status[name] for name in names}


@pytest.mark.parametrize("word", ["Ready", "Degraded", "Failed", "NotAvailable", "Pending"])
def test_results_count_whatever_the_template_went_through(word: str) -> None:
    """Prove TPL-DSC-1."""
    of = observed()
    plan, _ = settle(of, DiscoveryRun(job=job(of, "Complete"), log=OUTPUT))
    after = observed({"status": word, **_results(plan)})
    assert not wants_discovery(after, DiscoveryRun(), NOW)
    later, summary = settle(after, DiscoveryRun(may_start=True))
    assert (later.desired, str(summary.state)) == ((), "Ready")
    assert later.status["profile"] == plan.status["profile"]
    assert later.status["discovery"] == plan.status["discovery"]


def test_results_of_a_former_image_do_not_count_after_a_failed_attempt() -> None:
    """Prove TPL-DSC-1: the fingerprint beside attempts is that of the attempts."""
    of = observed()
    plan, _ = settle(of, DiscoveryRun(job=job(of, "Complete"), log=OUTPUT))
    other = observed({"status": "Ready", **_results(plan)}, image="i:2")
    failed, summary = settle(other, DiscoveryRun(job=job(other, "Complete"), log="[]"))
    assert shown(summary, "Discovered") == ("False", "DiscoveryFailed")
    booked = {name: failed.status[name] for name in ("discovery", "discoveryJob")}
    after = observed({"status": "Failed", **_results(plan), **booked}, image="i:2")
    _, later = settle(after, DiscoveryRun(may_start=True))
    assert (shown(later, "Discovered"), str(later.state)) == (("False", "DiscoveryFailed"), "Failed")
    again = NOW + timedelta(seconds=FIRST_WAIT_SECONDS)
    assert wants_discovery(after, DiscoveryRun(), again)


def test_conditions_of_job_and_pods_stay_true_when_both_are_gone() -> None:
    """Prove TPL-DSC-8."""
    of = observed()
    plan, summary = settle(of, DiscoveryRun(job=job(of, "Complete"), pods=(pod("Succeeded"),), log=OUTPUT))
    stored = [{"type": item.type, "status": item.status, "reason": item.reason} for item in summary.conditions]
    _, later = settle(observed({"status": "Ready", "conditions": stored, **_results(plan)}), DiscoveryRun())
    assert shown(later, "DiscoveryJobReady") == ("True", "Ready")
    assert shown(later, "DiscoveryPodsReady") == ("True", "PodsReady")
    _, never = settle(observed({"status": "Ready", **_results(plan)}), DiscoveryRun())
    assert shown(never, "DiscoveryJobReady") is None


CUSTOM = {
    "aimId": "a/b",
    "modelId": "a/b",
    "metric": "latency",
    "precision": "fp16",
    "customProfile": {"engineArgs": {"a": 1}, "envVars": {"X": "1"}},
}


@pytest.mark.parametrize(
    ("spec", "stored"),
    [
        ({}, "96a87a01bd06b355"),
        ({"hardware": {"gpu": {"requests": 1, "minVram": "64Gi"}}}, "f83660646902cbcb"),
        (
            {
                "hardware": {"gpu": {"requests": 2, "model": "AMD Instinct mi300x"}},
                "metric": "latency",
                "precision": "fp8",
            },
            "04dbcfc27ca72f73",
        ),
        ({"profileId": "vllm-mi300x-fp8-tp1-latency"}, "df569540e48a5ca4"),
        ({"hardware": {"cpu": {"requests": "4"}}}, "3436a3c30fb04dd0"),
        (CUSTOM, "ff5d8700ed8c6662"),
    ],
)
@pytest.mark.parametrize("nodes", [[], [{"amd.com/gpu.device-id": "74a1"}], [{"amd.com/gpu.device-id": "740f"}]])
def test_results_of_earlier_versions_stay_valid(spec: dict[str, Any], stored: str, nodes: list[dict[str, str]]) -> None:
    """Prove TPL-DSC-1: neither an upgrade nor a change of the nodes repeats a discovery that has results."""
    status = {"status": "Ready", "modelSources": SOURCES, "profile": {}, "discovery": {"specHash": stored}}
    of = observed(status, inventory=inventory_of(nodes), **spec)
    assert not wants_discovery(of, DiscoveryRun(), NOW)
    plan, summary = settle(of, DiscoveryRun(may_start=True))
    assert plan.desired == ()
    assert shown(summary, "Discovered") == ("True", "DiscoveryComplete")


def test_memory_without_a_gpu_that_is_known_needs_a_model() -> None:
    """Prove TPL-DSC-12."""
    wanted = {"gpu": {"minVram": "64Gi", "requests": 1}}
    unnamed = inventory_of([{"amd.com/gpu.family": "AI", "amd.com/gpu.vram": "192G"}])
    for inventory in (None, unnamed):
        of = observed(hardware=wanted, inventory=inventory)
        assert not wants_discovery(of, DiscoveryRun(), NOW)
        plan, summary = settle(of, DiscoveryRun(may_start=True))
        assert (kinds(plan), str(summary.state)) == ([], "Failed")
        assert shown(summary, "Discovered") == ("False", "GPUModelRequired")
        assert shown(summary, "DiscoveryJobReady") == ("False", "GPUModelRequired")
        assert "hardware.gpu.model" in next(c.message for c in summary.conditions if c.type == "Discovered")
    assert wants_discovery(observed(hardware=wanted), DiscoveryRun(), NOW)


@pytest.mark.parametrize(
    "changed", [{"image": "i:2"}, {"profileId": "other", "model_spec": BY_JOB}, {"metric": "latency"}]
)
def test_what_discovery_depends_on_starts_it_again(changed: dict[str, Any]) -> None:
    """Prove TPL-DSC-1."""
    of = observed()
    plan, _ = settle(of, DiscoveryRun(job=job(of, "Complete"), log=OUTPUT))
    after = observed({"status": "Ready", **_results(plan)}, **changed)
    assert wants_discovery(after, DiscoveryRun(), NOW)
    later, summary = settle(after, DiscoveryRun(may_start=True))
    assert (kinds(later), str(summary.state)) == (["Job"], "Pending")
    assert "modelSources" not in later.status


def test_results_of_an_operator_that_keeps_no_fingerprint_are_believed() -> None:
    """Prove TPL-DSC-1."""
    of = observed({"status": "Ready", "modelSources": SOURCES, "resolvedHardware": MI300X})
    plan, summary = settle(of, DiscoveryRun(may_start=True))
    assert (plan.desired, str(summary.state)) == ((), "Ready")
    assert plan.status["discovery"] == {"specHash": digest(of)}


def test_a_failed_job_is_booked_once() -> None:
    """Prove TPL-DSC-4."""
    of = observed()
    run = DiscoveryRun(job=job(of, "Failed"), pods=(CRASHED,), tails={"p": "repository not found"})
    plan, summary = settle(of, run)
    assert str(summary.state) == "Failed"
    assert shown(summary, "DiscoveryJobReady") == ("False", "JobBackoffLimitExceeded")
    assert shown(summary, "DiscoveryPodsReady") == ("False", "SourceNotFound")
    assert shown(summary, "ConfigValid") == ("False", "InvalidSpec")
    assert shown(summary, "Discovered") == ("False", "DiscoveryFailed")
    booked = plan.status["discovery"]
    assert (booked["attempts"], booked["lastAttemptTime"]) == (1, "2026-01-01T12:00:00Z")
    assert booked["specHash"] == digest(of)
    assert "does not exist" in booked["lastFailureReason"]
    assert (plan.requeue_after, plan.deletions) == (60, ())

    again, _ = settle(observed(dict(plan.status)), run)
    assert "discovery" not in again.status
    other, _ = settle(observed(dict(plan.status)), replace(run, job=job(of, "Failed", uid="next")))
    assert other.status["discovery"]["attempts"] == 2


def test_an_image_that_gives_up_is_quoted() -> None:
    """Prove TPL-DSC-15."""
    said = "Configuration error: Cannot set both AIM_ID and AIM_MODEL_ID. Only one should be set."
    tail = f"2026-01-01 00:00:00,000 - entrypoint - ERROR - {said}\n"
    of = observed()
    plan, summary = settle(of, DiscoveryRun(job=job(of, "Failed"), pods=(CRASHED,), tails={"p": tail}))
    assert shown(summary, "DiscoveryPodsReady") == ("False", "PodFailed")
    assert shown(summary, "DiscoveryJobReady") == ("False", "JobBackoffLimitExceeded")
    assert all(said in c.message for c in summary.conditions if c.type in ("Discovered", "DiscoveryPodsReady"))
    assert said in plan.status["discovery"]["lastFailureReason"]


def test_a_server_s_clock_ahead_of_ours_books_nothing_twice() -> None:
    """Prove TPL-DSC-4."""
    of = observed()
    early = NOW - timedelta(hours=1)
    plan, _ = settle(of, DiscoveryRun(job=job(of, "Failed")), early)
    again, _ = settle(observed(dict(plan.status)), DiscoveryRun(job=job(of, "Failed")), early)
    assert "discovery" not in again.status


@pytest.mark.parametrize(
    ("log", "unreadable"), [("no profile here", ""), ("", ""), (None, "its pod was gone before its output was read")]
)
def test_output_that_cannot_be_read_is_a_failed_attempt(log: str | None, unreadable: str) -> None:
    """Prove TPL-DSC-5."""
    of = observed()
    run = DiscoveryRun(job=job(of, "Complete"), pods=(pod("Succeeded"),), log=log, unreadable=unreadable)
    plan, summary = settle(of, run)
    assert (str(summary.state), shown(summary, "Discovered")) == ("Failed", ("False", "DiscoveryFailed"))
    assert plan.status["discovery"]["attempts"] == 1
    assert plan.requeue_after == 60
    again, summary = settle(observed(dict(plan.status)), replace(run, log=None))
    assert "discovery" not in again.status
    assert str(summary.state) == "Failed"


def test_a_success_counts_also_within_the_pause_of_a_former_failure() -> None:
    of = observed()
    status = failed_before(of, 3, 10)
    plan, summary = settle(observed(status), DiscoveryRun(job=job(of, "Complete", uid="next"), log=OUTPUT))
    assert str(summary.state) == "Ready"
    assert plan.status["discovery"] == {"specHash": digest(of)}


def test_a_pod_that_cannot_pull_its_image_frees_its_place() -> None:
    """Prove TPL-DSC-6."""
    of = observed()
    run = DiscoveryRun(job=job(of), pods=(PULL_FAILURE,))
    plan, summary = settle(of, run)
    assert [deletion.uid for deletion in plan.deletions] == ["ju"]
    assert plan.status["discovery"]["attempts"] == 1
    assert shown(summary, "DiscoveryPodsReady") == ("False", "ImageNotFound")
    assert plan.requeue_after == 60
    again, _ = settle(observed(dict(plan.status)), run)
    assert [deletion.uid for deletion in again.deletions] == ["ju"]
    assert "discovery" not in again.status


def test_a_job_whose_pods_are_refused_frees_its_place() -> None:
    """Prove TPL-DSC-18."""
    of = observed()
    current = job(of)
    event = {
        "involvedObject": {"uid": "ju"},
        "reason": "FailedCreate",
        "message": 'pods "x" is forbidden: failed quota: limits',
    }
    plan, summary = settle(of, DiscoveryRun(job=current, events=(event,)))
    assert [deletion.kind for deletion in plan.deletions] == [JOB]
    assert shown(summary, "DiscoveryPodsReady") == ("False", "FailedCreate")
    assert "failed quota" in plan.status["discovery"]["lastFailureReason"]
    waiting, _ = settle(of, DiscoveryRun(job=current))
    assert waiting.deletions == ()
    assert waiting.requeue_after is not None
    assert waiting.requeue_after <= 5


def test_during_the_pause_the_failure_stays_shown_and_the_timer_is_exact() -> None:
    of = observed()
    plan, summary = settle(observed(failed_before(of, 2, 20)), DiscoveryRun(may_start=True))
    assert (kinds(plan), plan.requeue_after) == ([], 100)
    assert shown(summary, "DiscoveryJobReady") == ("False", "DiscoveryFailed")
    assert "boom" in next(c.message for c in summary.conditions if c.type == "DiscoveryJobReady")


def test_after_the_pause_there_is_another_attempt() -> None:
    of = observed()
    after = observed(failed_before(of, 2, 121))
    assert wants_discovery(after, DiscoveryRun(), NOW)
    plan, _ = settle(after, DiscoveryRun(may_start=True))
    assert kinds(plan) == ["Job"]
    left_over = DiscoveryRun(job=job(of, "Failed"))
    assert not wants_discovery(after, left_over, NOW)
    plan, _ = settle(after, left_over)
    assert [deletion.uid for deletion in plan.deletions] == ["ju"]


def test_a_corrected_input_needs_no_pause() -> None:
    """Prove TPL-DSC-4."""
    of = observed()
    status = failed_before(of, 5, 1)
    assert not wants_discovery(observed(status), DiscoveryRun(), NOW)
    assert wants_discovery(observed(status, image="i:2"), DiscoveryRun(), NOW)
    with_secret = observed(status, model_spec={"imagePullSecrets": [{"name": "regcred"}]})
    assert digest(with_secret) == digest(of)
    assert wants_discovery(with_secret, DiscoveryRun(), NOW)


def test_jobs_for_former_inputs_are_given_up() -> None:
    """Prove TPL-DSC-3."""
    of, former = observed(image="i:2"), observed()
    plan, _ = settle(of, DiscoveryRun(others=(job(former), job(former, "Complete", uid="done")), may_start=True))
    assert [deletion.uid for deletion in plan.deletions] == ["ju"]
    assert kinds(plan) == ["Job"]
    inline = observed(modelSources=SOURCES)
    plan, summary = settle(inline, DiscoveryRun(others=(job(former),)))
    assert [deletion.uid for deletion in plan.deletions] == ["ju"]
    assert str(summary.state) == "Ready"


def test_a_job_that_is_going_blocks_the_next_one() -> None:
    of = observed()
    going = job(of, "Failed")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    plan, _ = settle(of, DiscoveryRun(job=going, may_start=True))
    assert (plan.desired, plan.deletions) == ((), ())


def test_a_profile_that_cannot_be_written_makes_no_job() -> None:
    """Prove TPL-PRF-2."""
    fields: dict[str, Any] = {"aimId": "a/b", "modelId": "a/b", "metric": "latency", "precision": "fp16"}
    of = observed(**fields, customProfile={"engineArgs": ["--x"]})
    plan, summary = settle(of, DiscoveryRun(may_start=True))
    assert (plan.desired, str(summary.state)) == ((), "Failed")
    assert shown(summary, "ConfigValid") == ("False", "InvalidSpec")


def test_caching_follows_in_the_pass_that_found_the_sources() -> None:
    of = observed(caching={"enabled": True})
    plan, _ = settle(of, DiscoveryRun(job=job(of, "Complete"), log=OUTPUT))
    assert kinds(plan) == ["AIMTemplateCache"]


def test_nodes_that_may_not_be_read_stop_nothing() -> None:
    """Prove OPS-RGT-1."""
    inventory: GpuInventory | None = None
    assert wants_discovery(observed(inventory=inventory), DiscoveryRun(), NOW)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 60), (2, 120), (3, 240), (4, 480), (5, 960), (6, 1920), (7, 3600), (8, 3600), (59, 3600), (2**31 - 1, 3600)],
)
def test_pauses(attempts: int, seconds: int) -> None:
    """Prove TPL-DSC-4."""
    assert wait_seconds(attempts) == seconds


@given(
    attempts=st.integers(-5, 2**31 - 1),
    ago=st.integers(-100_000, 100_000),
    phase=st.sampled_from(["", "Complete", "Failed", None]),
    log=st.none() | st.just(OUTPUT) | st.text(),
    pods=st.lists(
        st.sampled_from([CRASHED, PULL_FAILURE, pod("Succeeded"), pod("Running"), pod("Pending")]), max_size=2
    ),
    place=st.booleans(),
)
def test_a_template_that_is_not_settled_never_stalls(
    attempts: int, ago: int, phase: str | None, log: str | None, pods: list[Manifest], place: bool
) -> None:
    """Something is created, waited for by the clock, or running under a deadline; or the template is Ready."""
    of = observed(failed_before(observed(), attempts, ago))
    running = None if phase is None else job(of, phase, uid="ju" if ago % 2 else "next")
    run = DiscoveryRun(job=running, pods=tuple(pods), log=log, may_start=place)
    plan, summary = settle(of, run)
    moving = bool(plan.desired) or phase == "" or bool(plan.deletions) or str(summary.state) == "Ready"
    assert moving or (plan.requeue_after is not None and 0 < plan.requeue_after <= 3600)


def test_a_job_that_would_borrow_rights_is_not_created_and_one_that_runs_is_deleted() -> None:
    """Prove TPL-DSC-16."""
    inside = replace(observed(serviceAccountName="manager"), rights=PodRights("ml-team", "ml-team"))
    assert not wants_discovery(inside, DiscoveryRun(), NOW)
    plan, summary = settle(inside, DiscoveryRun(job=job(inside), may_start=True))
    assert plan.desired == ()
    assert [deletion.key.name for deletion in plan.deletions] == [job_name(inside)]
    assert shown(summary, "Discovered") == ("False", "ReferenceNotAllowed")
    assert shown(summary, "DiscoveryJobReady") == ("False", "ReferenceNotAllowed")
    assert str(summary.state) == "Failed"
