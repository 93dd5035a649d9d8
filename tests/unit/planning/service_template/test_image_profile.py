"""Profiles that templates pin, read from the image in its registry."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMClusterModel, AIMModel, ImageMetadata
from aimd.api.runtime_config import AIMRuntimeConfig
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate, Profile
from aimd.planning.conditions import Summary, summarize
from aimd.planning.gpus import inventory_of
from aimd.planning.image_inspection import Inspection, LabelsUnreadable, ProfilesOfImage
from aimd.planning.kinds import AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE
from aimd.planning.needs import DiscoverySlot, InspectImage, Need, Reads
from aimd.planning.plan import Plan
from aimd.planning.profiles import read_profiles
from aimd.planning.runtime_config import ResolvedConfig, resolve_config
from aimd.planning.service_template.discovered_profile import discovered_profile_id
from aimd.planning.service_template.discovery_output import UnusableOutput
from aimd.planning.service_template.image_profile import FOUND, PATIENCE, read_profile
from aimd.planning.service_template.needs import discovery_needs, with_reads
from aimd.planning.service_template.observed import ObservedTemplate
from aimd.planning.service_template.plan import plan_service_template
from aimd.registry.failures import Problem, failure
from aimd.runtime.objects import Applied, Key
from tests.aim_profiles import profile_text, published

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NODES = inventory_of([{"amd.com/gpu.device-id": "74a1"}])
GPU = {"gpu": {"model": "MI300X", "requests": 1}}
METADATA = ImageMetadata()
ENV = {"AIM_ID": "acme/tiny"}
EDITED_CUSTOM = {"aimId": "a/b", "modelId": "a/b", "metric": "latency", "precision": "fp8", "customProfile": {}}


def observed(status: dict[str, Any] | None = None, **spec: Any) -> ObservedTemplate:
    inventory, of_model = spec.pop("inventory", NODES), spec.pop("model", {})
    template = {
        "metadata": {"name": "t", "namespace": "team", "uid": "u"},
        "spec": {"modelName": "m", "profileId": "a", "hardware": GPU, **spec},
        "status": status or {},
    }
    model = {"metadata": {"name": "m", "namespace": "team"}, "spec": {"image": "i:1", **of_model}}
    return ObservedTemplate(
        AIMServiceTemplate.model_validate(template),
        ResolvedConfig(),
        AIMModel.model_validate(model),
        inventory=inventory,
    )


def need_of(found: ObservedTemplate) -> InspectImage | None:
    return next((need for need in discovery_needs(found, NOW) if isinstance(need, InspectImage)), None)


def answered(**files: str) -> Inspection:
    texts = {f"acme/tiny/{name}.yaml": text for name, text in files.items()}
    return Inspection(METADATA, ProfilesOfImage(read_profiles(texts, ENV)))


def settle(found: ObservedTemplate, inspection: Inspection | None) -> tuple[Plan, Summary]:
    need = need_of(found)
    known: dict[Need, Any] = {need: inspection} if need is not None and inspection is not None else {}
    found = with_reads(found, Reads(known))
    slot = next((item for item in discovery_needs(found, NOW) if isinstance(item, DiscoverySlot)), None)
    plan = plan_service_template(with_reads(found, Reads({**known, **({slot: True} if slot else {})})), NOW)
    summary = summarize(
        plan.components,
        applied=Applied(),
        previous=(),
        generation=1,
        now=NOW,
        extra_conditions=plan.extra_conditions,
    )
    return plan, summary


def shown(summary: Summary, type_: str) -> tuple[str, str, str] | None:
    return next(((c.status, c.reason, c.message) for c in summary.conditions if c.type == type_), None)


def kinds(plan: Plan) -> list[str]:
    return [item.kind.name for item in plan.desired]


def test_a_pinned_profile_is_read_without_a_job() -> None:
    """Prove TPL-IMG-1 and TPL-IMG-3."""
    plan, summary = settle(observed(), answered(a=profile_text(), b=profile_text(gpu="MI325X")))
    assert (plan.desired, str(summary.state)) == ((), "Ready")
    assert shown(summary, "Discovered") == ("True", "ProfileReadFromRegistry", FOUND)
    assert shown(summary, "ImageProfileReady") is None
    assert shown(summary, "DiscoveryJobReady") is None
    assert plan.status["modelSources"] == [{"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny"}]
    assert plan.status["resolvedHardware"] == {"gpu": {**GPU["gpu"], "resourceName": "amd.com/gpu"}}
    profile = plan.status["profile"]
    found = {"engine": "vllm", "gpu": "MI300X", "gpuCount": 1, "metric": "latency", "precision": "fp8"}
    assert profile["metadata"].items() >= {**found, "type": "optimized"}.items()
    assert profile["engine_args"] == {"tensor-parallel-size": 1}
    assert profile["env_vars"] == {"VLLM_DO_NOT_TRACK": "1"}
    original = profile["originalDiscoveryOutput"]
    assert sorted(original) == ["filename", "path", "profile"]
    assert original["filename"] == "a.yaml"
    assert original["path"] == "/workspace/aim-runtime/profiles/acme/tiny/a.yaml"


def test_after_a_restart_nothing_is_asked() -> None:
    """Prove TPL-DSC-1 and TPL-IMG-1."""
    plan, summary = settle(observed(), answered(a=profile_text()))
    conditions = [
        {"type": item.type, "status": item.status, "reason": item.reason, "message": item.message}
        for item in summary.conditions
    ]
    names = ("modelSources", "profile", "discovery", "resolvedHardware")
    stored = {name: plan.status[name] for name in names}
    restarted = observed({"status": "Ready", "conditions": conditions, **stored})
    assert discovery_needs(restarted, NOW) == ()
    later, again = settle(restarted, None)
    assert later.status["profile"] == plan.status["profile"]
    assert shown(again, "Discovered") == ("True", "ProfileReadFromRegistry", FOUND)
    edited = observed(stored, profileId="b")
    assert need_of(edited) is not None


def test_neither_a_gpu_nor_a_slot_is_needed() -> None:
    """Prove TPL-IMG-1."""
    plan, summary = settle(observed(inventory=inventory_of([])), answered(a=profile_text()))
    assert (str(summary.state), plan.desired) == ("NotAvailable", ())
    assert plan.status["profile"]["metadata"]["gpu"] == "MI300X"
    assert shown(summary, "Discovered") == ("True", "ProfileReadFromRegistry", FOUND)


@pytest.mark.parametrize("scope", ["namespace", "cluster"])
def test_the_registry_is_asked_with_the_pull_secrets_of_a_discovery_pod(scope: str) -> None:
    """Prove TPL-IMG-1."""
    spec: dict[str, Any] = {"imagePullSecrets": [{"name": "own"}], "serviceAccountName": "runner"}
    found = observed(model={"imagePullSecrets": [{"name": "model"}]}, **spec)
    found = replace(found, shared_pull_secrets=("shared",))
    kind, key = AIM_SERVICE_TEMPLATE, Key("team", "t")
    if scope == "cluster":
        template = {"metadata": {"name": "t", "uid": "u"}, "spec": {"modelName": "m", "profileId": "a", **spec}}
        model = {"metadata": {"name": "m"}, "spec": {"image": "i:1", "imagePullSecrets": [{"name": "model"}]}}
        found = replace(
            found,
            template=AIMClusterServiceTemplate.model_validate(template),
            model=AIMClusterModel.model_validate(model),
        )
        kind, key = AIM_CLUSTER_SERVICE_TEMPLATE, Key("", "t")
    need = need_of(found)
    assert need is not None
    assert (need.kind, need.owner, need.uid, need.image) == (kind, key, "u", "i:1")
    assert (need.pull_secrets, need.service_account) == ((), "runner")
    assert set(need.shared_pull_secrets) == {"own", "model", "shared"}


@pytest.mark.parametrize(
    "spec",
    [
        {"profileId": ""},
        {"modelSources": [{"modelId": "a/b", "sourceUri": "hf://a/b"}]},
        {**EDITED_CUSTOM},
        {"env": [{"name": "AIM_ID", "value": "acme/other"}]},
        {"env": [{"name": "AIM_MODEL_ID", "value": "acme/other"}]},
        {"model": {"imageMetadata": {"model": {}}}},
        {"model": {"discovery": {"extractMetadata": False}}},
    ],
)
def test_other_templates_do_not_query_the_registry(spec: dict[str, Any]) -> None:
    """Prove TPL-IMG-1."""
    assert need_of(observed(**spec)) is None


def test_the_runtime_config_can_keep_templates_from_querying_the_registry() -> None:
    """Prove MDL-INS-7 and TPL-IMG-1."""
    config = AIMRuntimeConfig.model_validate(
        {"metadata": {"name": "default", "namespace": "team"}, "spec": {"model": {"autoDiscovery": False}}}
    )
    assert need_of(replace(observed(), config=resolve_config("", config, None, namespace="team"))) is None


def test_while_the_registry_has_not_answered_the_template_waits() -> None:
    for inspection, requeue in ((None, None), (Inspection(again_after=1.0), 1.0)):
        plan, summary = settle(observed(), inspection)
        assert (plan.desired, str(summary.state), plan.requeue_after) == ((), "Progressing", requeue)
        assert (shown(summary, "Discovered") or ())[:2] == ("False", "AwaitingDiscovery")
        assert (shown(summary, "ImageProfileReady") or ())[:2] == ("False", "InspectionPending")


@pytest.mark.parametrize(
    "inspection",
    [
        Inspection(METADATA, ProfilesOfImage(unreadable="its layers are squashed")),
        Inspection(METADATA),
        Inspection(failure=failure(Problem.AUTH, "no"), again_after=300.0, attempts=1),
        Inspection(failure=failure(Problem.NETWORK, "no"), again_after=60.0, attempts=PATIENCE),
        answered(a="x"),
    ],
)
def test_a_job_asks_where_the_registry_cannot_tell(inspection: Inspection) -> None:
    """Prove TPL-IMG-2."""
    plan, summary = settle(observed(), inspection)
    assert kinds(plan) == ["Job"]
    assert (shown(summary, "DiscoveryJobReady") or ())[:2] == ("False", "JobNotCreated")
    assert shown(summary, "ImageProfileReady") is None


def test_labels_that_make_no_sense_do_not_matter() -> None:
    """Prove TPL-IMG-1."""
    found = answered(a=profile_text())
    plan, _ = settle(observed(), Inspection(unreadable=LabelsUnreadable("no"), profiles=found.profiles))
    assert plan.status["profile"]["metadata"]["engine"] == "vllm"


@pytest.mark.parametrize(
    ("problem", "attempts", "reason"),
    [
        (Problem.RATE_LIMIT, 1, "ImagePullBackOff"),
        (Problem.RATE_LIMIT, 9, "ImagePullBackOff"),
        (Problem.NETWORK, 1, "NetworkError"),
    ],
)
def test_trouble_that_passes_is_waited_for(problem: Problem, attempts: int, reason: str) -> None:
    """Prove TPL-IMG-2."""
    inspection = Inspection(failure=failure(problem, "no"), again_after=15.0, attempts=attempts)
    plan, summary = settle(observed(), inspection)
    assert (plan.desired, plan.requeue_after, str(summary.state)) == ((), 15.0, "Degraded")
    text = "The profile cannot be read from the image: no"
    assert shown(summary, "ImageProfileReady") == ("False", reason, text)
    assert shown(summary, "Discovered") == ("False", "AwaitingDiscovery", text)


def test_a_profile_that_the_image_lacks_is_said_at_once() -> None:
    """Prove TPL-IMG-2."""
    plan, summary = settle(observed(profileId="c"), answered(a=profile_text(), b=profile_text()))
    text = "The image has no profile c: correct spec.profileId; its profiles are a, b"
    assert shown(summary, "Discovered") == ("False", "ProfileNotFound", text)
    assert shown(summary, "ImageProfileReady") == ("False", "ProfileNotFound", text)
    assert (plan.desired, str(summary.state), plan.requeue_after) == ((), "Failed", 900.0)
    many = {f"p{number:02}": profile_text() for number in range(12)}
    _, summary = settle(observed(profileId="c"), answered(**many))
    assert (shown(summary, "Discovered") or ("", "", ""))[2].endswith("p08, p09 and 2 more")
    _, summary = settle(observed(profileId="c"), Inspection(METADATA, ProfilesOfImage(read_profiles({}, ENV))))
    assert (shown(summary, "Discovered") or ("", "", ""))[2].endswith("it has none")


def test_a_running_job_is_not_interrupted() -> None:
    found = observed()
    job = {"metadata": {"name": "j", "namespace": "team", "uid": "ju"}, "status": {}}
    assert need_of(replace(found, run=replace(found.run, job=job))) is None


def test_a_profile_for_cpus() -> None:
    """Prove TPL-IMG-3."""
    read = read_profiles(published("0.12/epyc"), {"AIM_ID": "Qwen/Qwen3-8B"})
    found = observed(profileId="vllm-epyc_zen5-bf16-tp1-throughput", hardware={"cpu": {"requests": "124"}})
    plan, summary = settle(found, Inspection(METADATA, ProfilesOfImage(read)))
    assert str(summary.state) == "Ready"
    assert plan.status["resolvedHardware"] == {"cpu": {"requests": "124"}}
    assert "gpu" not in plan.status["profile"]["metadata"]


def test_an_engine_that_brings_its_weights() -> None:
    """Prove TPL-IMG-3."""
    read = read_profiles(published("0.12/instinct"), {"AIM_ID": "monai/swinunetr"})
    plan, _ = settle(observed(profileId="bentoml-mi300x-fp16-tp1-latency"), Inspection(METADATA, ProfilesOfImage(read)))
    assert plan.status["modelSources"] is None
    assert plan.status["profile"]["metadata"]["engine"] == "bentoml"


def test_a_profile_that_fits_any_model_serves_the_model_of_the_image() -> None:
    """Prove TPL-IMG-3."""
    (profile,) = (item for item in read_profiles(published("0.9"), {}).profiles if item.is_general)
    assert [source.model_id for source in read_profile(profile, "acme/tiny").sources] == ["acme/tiny"]
    with pytest.raises(UnusableOutput, match="fits any model"):
        read_profile(profile, "")


@given(
    st.sampled_from(["acme/tiny/a.yaml", "general/a.yaml", "custom/x/a.yaml", "custom/general/a.yaml"]),
    st.builds(
        profile_text,
        gpu=st.sampled_from(["MI300X", "mi325x", "0x740c", "NONE", "CPU"]),
        gpu_count=st.integers(0, 8),
        accelerator_type=st.sampled_from(["gpu", "cpu", None]),
        precision=st.sampled_from(["fp8", "FP16"]),
        engine=st.sampled_from(["vllm", "bentoml"]),
    ),
)
def test_what_is_read_is_what_is_pinned(path: str, text: str) -> None:
    """Prove TPL-IMG-3: the id in the status, and the hardware, are those of the file."""
    (profile,) = read_profiles({path: text}, ENV).profiles
    plan, _ = settle(
        observed(profileId=profile.id, hardware=None),
        Inspection(METADATA, ProfilesOfImage(read_profiles({path: text}, ENV))),
    )
    stored = Profile.model_validate(plan.status["profile"])
    assert discovered_profile_id(stored) == profile.id
    found = read_profile(profile, "acme/tiny")
    assert (found.gpu, found.gpu_count) == (profile.device if profile.gpu_count else "", profile.gpu_count)
    assert found.metadata["precision"] == profile.precision
