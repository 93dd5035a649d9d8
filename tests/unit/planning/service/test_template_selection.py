"""Automatic selection against an oracle that sorts instead of narrowing."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMModel
from aimd.api.service import ServiceOverrides
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.api.shared import Hardware
from aimd.planning.service.plan import plan_service
from aimd.planning.service.template_selection import Requirements, attributes_of, select_template
from tests.unit.planning.service.makers import Maker

MODEL = AIMModel.model_validate({"metadata": {"name": "qwen", "namespace": "ns"}, "spec": {"image": "i"}})
ALL_GPUS = frozenset({"MI300X", "MI325X", "MI210"})
ANY = Requirements(None, ALL_GPUS, allow_unoptimized=True)


def make(
    name: str,
    profile_type: str = "optimized",
    gpu: str = "MI300X",
    metric: str = "latency",
    precision: str = "fp16",
    *,
    status: str = "Ready",
    cluster: bool = False,
    count: int = 1,
    model: str = "qwen",
    written: bool = False,
    profile_id: str = "",
) -> Any:
    kind = AIMClusterServiceTemplate if cluster else AIMServiceTemplate
    metadata = {"name": name, "labels": {} if written else {"aim.eai.amd.com/origin": "auto-generated"}}
    found = {"type": profile_type, "gpu": gpu, "gpuCount": count, "metric": metric, "precision": precision}
    return kind.model_validate(
        {
            "metadata": metadata if cluster else {**metadata, "namespace": "ns"},
            "spec": {"modelName": model, **({"profileId": profile_id} if profile_id else {})},
            "status": {"status": status, "profile": {"metadata": found}},
        }
    )


def winner(*templates: Any, requirements: Requirements = ANY) -> str | None:
    chosen = select_template(MODEL, templates, requirements).template
    return chosen.metadata.name if chosen is not None else None


def test_optimized_beats_a_newer_gpu() -> None:
    """Prove SVC-SEL-7."""
    assert winner(make("a", "unoptimized", "MI325X"), make("b", "optimized", "MI300X")) == "b"


def test_a_newer_gpu_beats_the_metric() -> None:
    """Prove SVC-SEL-7."""
    assert winner(make("a", gpu="MI300X", metric="latency"), make("b", gpu="MI325X", metric="throughput")) == "b"


def test_latency_beats_throughput_and_fewer_bits_beat_more() -> None:
    """Prove SVC-SEL-7."""
    assert winner(make("a", metric="throughput", precision="fp8"), make("b", precision="fp16")) == "b"
    assert winner(make("a", precision="fp16"), make("b", precision="fp8")) == "b"


def test_gpu_names_are_normalised_before_ranking() -> None:
    assert winner(make("a", gpu="AMD Instinct mi325x"), make("b", gpu="MI300X")) == "a"


def test_namespaced_templates_hide_those_of_the_cluster() -> None:
    """Prove SVC-SEL-7."""
    assert winner(make("a", "unoptimized"), make("b", "optimized", cluster=True)) == "a"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("Pending", "TemplatePending"),
        ("Progressing", "TemplateProgressing"),
        ("NotAvailable", "TemplateNotAvailable"),
        ("Degraded", "TemplateDegraded"),
        ("Failed", "TemplateFailed"),
        ("", "TemplateNotReady"),
        ("Nonsense", "TemplateNotReady"),
    ],
)
def test_the_verdict_on_a_template_that_is_not_ready_names_its_status(status: str, verdict: str) -> None:
    """Prove SVC-SEL-2."""
    (candidate,) = select_template(MODEL, [make("a", status=status)], ANY).candidates
    assert candidate.verdict == verdict


def test_only_ready_templates_of_the_model_count() -> None:
    """Prove SVC-SEL-1 and SVC-SEL-2."""
    selection = select_template(MODEL, [make("a", status="Pending"), make("b", status="Failed")], ANY)
    assert (selection.reason, selection.waiting) == ("TemplateNotReady", True)
    assert {item.verdict for item in selection.candidates} == {"TemplatePending", "TemplateFailed"}
    assert select_template(MODEL, [make("a", model="other")], ANY).reason == "TemplateNotFound"


def test_a_tie_names_the_tied() -> None:
    """Prove SVC-SEL-8."""
    selection = select_template(MODEL, [make("b"), make("a"), make("z", "preview")], ANY)
    assert selection.template is None
    assert selection.reason == "TemplateSelectionAmbiguous"
    assert "a, b" in selection.message


def test_fewer_gpus_beat_more() -> None:
    """Prove SVC-SEL-7."""
    assert winner(make("a", count=2), make("b", count=1), make("c", count=8)) == "b"
    assert winner(make("a", count=0), make("b", count=8)) == "b", "an unknown number is no small one"
    assert winner(make("a", precision="fp8", count=8), make("b", count=1)) == "a"


def test_the_first_profile_of_the_image_breaks_a_tie() -> None:
    """Prove SVC-SEL-8."""
    tied = [make("a", profile_id="z"), make("b", profile_id="x"), make("c", profile_id="y")]
    assert winner(*tied) == winner(*reversed(tied)) == "b"
    verdicts = {item.template.metadata.name: item.verdict for item in select_template(MODEL, tied, ANY).candidates}
    assert verdicts == {"a": "LowerPreferenceRank", "b": "BestMatch", "c": "LowerPreferenceRank"}
    assert winner(*tied, make("d")) is None
    assert winner(*tied, make("d", profile_id="x")) is None


@pytest.mark.parametrize(("allowed", "kept"), [(False, "opt"), (True, "opt")])
def test_the_optimisation_filter(allowed: bool, kept: str) -> None:
    """Prove SVC-SEL-3."""
    templates = [make("opt"), make("un", "unoptimized", "MI325X"), make("pre", "preview", "MI325X")]
    assert winner(*templates, requirements=Requirements(None, ALL_GPUS, allow_unoptimized=allowed)) == kept
    unoptimized = select_template(MODEL, templates[1:], Requirements(None, ALL_GPUS, allow_unoptimized=False))
    assert unoptimized.reason == "TemplateNotFound"
    assert "allowUnoptimized" in unoptimized.message
    assert "2 Ready" in unoptimized.message
    assert winner(*templates[1:], requirements=Requirements(None, ALL_GPUS, allow_unoptimized=True)) == "pre"


def test_a_general_profile_passes_only_where_the_model_has_no_other() -> None:
    """Prove SVC-SEL-3 and SVC-SEL-7."""
    strict = Requirements(None, ALL_GPUS, allow_unoptimized=False)
    general, slow = make("gen", "general"), make("slow", "general", metric="throughput")
    assert winner(general, slow, requirements=strict) == "gen"
    for other in (make("pre", "preview"), make("opt", status="NotAvailable")):
        selection = select_template(MODEL, [general, other], strict)
        assert selection.template is None
        assert "UnoptimizedTemplateFiltered" in {item.verdict for item in selection.candidates}
    assert winner(general, make("opt"), requirements=strict) == "opt"
    assert winner(general, make("pre", "preview"), make("un", "unoptimized")) == "gen"


def test_the_model_of_a_cpu_is_no_gpu_that_the_cluster_lacks() -> None:
    """Prove TPL-GPU-6 and SVC-SEL-5."""
    plain = make("a", gpu="")
    hardware = Hardware.model_validate({"gpu": {"requests": 8, "model": "CPU"}})
    template = plain.model_copy(update={"spec": plain.spec.model_copy(update={"hardware": hardware})})
    assert (attributes_of(template).gpu, attributes_of(template).gpu_count) == ("", 1)
    assert winner(template) == "a"


def test_double_precision_comes_last() -> None:
    """Prove SVC-SEL-7."""
    assert winner(make("a", precision="fp64"), make("b", precision="fp32")) == "b"


def test_a_profile_that_somebody_wrote_passes_the_optimisation_filter() -> None:
    """Prove SVC-SEL-3."""
    assert (
        winner(
            make("mine", "unoptimized", written=True),
            requirements=Requirements(None, ALL_GPUS, allow_unoptimized=False),
        )
        == "mine"
    )


def test_the_cluster_must_have_the_gpu() -> None:
    """Prove SVC-SEL-4."""
    requirements = Requirements(None, frozenset(), allow_unoptimized=True)
    selection = select_template(MODEL, [make("a")], requirements)
    assert (selection.reason, [item.verdict for item in selection.candidates]) == (
        "TemplateNotFound",
        ["RequiredGPUNotInCluster"],
    )
    assert winner(make("cpu", gpu=""), make("a"), requirements=requirements) == "cpu"
    assert winner(make("a"), requirements=Requirements(None, None, allow_unoptimized=True)) == "a"


def test_overrides_narrow() -> None:
    templates = [make("a", precision="fp8", count=4), make("b", precision="fp16", count=1)]
    wanted = {"precision": "FP16", "hardware": {"gpu": {"model": "mi300x", "requests": 1}}}
    assert (
        winner(
            *templates,
            requirements=Requirements(ServiceOverrides.model_validate(wanted), ALL_GPUS, allow_unoptimized=True),
        )
        == "b"
    )
    nothing = ServiceOverrides.model_validate({"metric": "throughput"})
    assert (
        select_template(MODEL, templates, Requirements(nothing, ALL_GPUS, allow_unoptimized=True)).reason
        == "TemplateNotFound"
    )


def test_the_profile_says_metric_and_precision_and_the_spec_the_gpu() -> None:
    """Prove SVC-SEL-5."""
    hardware = {"gpu": {"model": "MI325X", "requests": 2}}
    spec = {"modelName": "qwen", "metric": "throughput", "precision": "fp8", "hardware": hardware}
    status = make("any", gpu="MI300X", metric="latency", precision="fp16", count=1).status.manifest()
    both = attributes_of(AIMServiceTemplate.model_validate({"spec": spec, "status": status}))
    assert (both.metric, both.precision, both.gpu, both.gpu_count) == ("latency", "fp16", "MI325X", 2)
    alone = attributes_of(AIMServiceTemplate.model_validate({"spec": spec}))
    assert (alone.metric, alone.precision) == ("throughput", "fp8")
    found = attributes_of(AIMServiceTemplate.model_validate({"spec": {"modelName": "qwen"}, "status": status}))
    assert (found.gpu, found.gpu_count) == ("MI300X", 1)


def test_the_models_default_template_comes_first() -> None:
    """Prove SVC-SEL-6."""
    model = AIMModel.model_validate(
        {"metadata": {"name": "qwen", "namespace": "ns"}, "spec": {"defaultServiceTemplate": "plain"}}
    )
    templates = [make("plain", "unoptimized"), make("better")]
    chosen = select_template(model, templates, Requirements(None, ALL_GPUS, allow_unoptimized=False)).template
    assert chosen is not None
    assert chosen.metadata.name == "plain"
    absent = select_template(model, templates[1:], Requirements(None, ALL_GPUS, allow_unoptimized=False)).template
    assert absent is not None
    assert absent.metadata.name == "better"


CANDIDATES: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        profile_type=st.sampled_from(["optimized", "preview", "unoptimized", ""]),
        gpu=st.sampled_from(["MI325X", "MI300X", "MI250X", "MI210", "mi300x", "H100", ""]),
        metric=st.sampled_from(["latency", "throughput", ""]),
        precision=st.sampled_from(["fp4", "fp8", "fp16", "bf16", "auto", ""]),
        status=st.sampled_from(["Ready", "Ready", "Ready", "Pending", "Failed"]),
        cluster=st.booleans(),
        written=st.booleans(),
        count=st.integers(0, 2),
    ),
    max_size=6,
)


def oracle(specs: list[dict[str, Any]], allow: bool, gpus: frozenset[str]) -> str | None:
    """Names are positions; a plain reading of the table, without stages."""

    def place(value: str, order: str) -> int:
        words = order.split()
        return words.index(value) if value in words else 1000 + len(words)

    def eligible(item: dict[str, Any]) -> bool:
        tuned = allow or item["written"] or item["profile_type"] == "optimized"
        return item["status"] == "Ready" and tuned and (not item["gpu"] or item["gpu"].upper() in gpus)

    ranked = []
    for index, item in enumerate(specs):
        if eligible(item):
            key = (
                item["cluster"],
                place(item["profile_type"], "optimized preview unoptimized"),
                place(item["gpu"].upper(), "MI325X MI300X MI250X MI210"),
                place(item["metric"], "latency throughput"),
                place(item["precision"], "fp4 int4 fp8 int8 fp16 bf16 fp32"),
                item["count"] or 1000,
            )
            ranked.append((key, str(index)))
    ranked.sort()
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return None
    return ranked[0][1]


@given(specs=CANDIDATES, allow=st.booleans(), gpus=st.sets(st.sampled_from(["MI325X", "MI300X", "MI210", "H100"])))
def test_selection_agrees_with_the_oracle(specs: list[dict[str, Any]], allow: bool, gpus: set[str]) -> None:
    """Prove SVC-SEL-2 and SVC-SEL-7."""
    templates = [make(str(index), **spec) for index, spec in enumerate(specs)]
    requirements = Requirements(None, frozenset(gpus), allow_unoptimized=allow)
    assert winner(*templates, requirements=requirements) == oracle(specs, allow, frozenset(gpus))
    assert winner(*reversed(templates), requirements=requirements) == winner(*templates, requirements=requirements)
    assert len(select_template(MODEL, templates, requirements).candidates) <= len(templates)


def planned(observed: Any, service: dict[str, Any], model: Any, templates: list[Any], now: Any) -> Any:
    return plan_service(observed(service=service, models=[model], templates=templates), now)


def test_the_verdict_on_every_candidate_is_kept_in_the_status(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-SEL-9."""
    templates = [
        template("best", profile={"type": "optimized", "metric": "latency"}),
        template("slow", profile={"type": "optimized", "metric": "throughput"}),
        template("late", status="Progressing"),
    ]
    plan = planned(observed, service_manifest(), model(), templates, now)
    assert plan.status["templateCandidates"] == [
        {"name": "best", "scope": "Namespace", "verdict": "BestMatch"},
        {"name": "late", "scope": "Namespace", "verdict": "TemplateProgressing"},
        {"name": "slow", "scope": "Namespace", "verdict": "LowerPreferenceRank"},
    ]
    kept = service_manifest(
        status={
            "templateCandidates": plan.status["templateCandidates"],
            "resolvedTemplate": {"name": "best", "namespace": "ml-team", "scope": "Namespace"},
        }
    )
    again = planned(observed, kept, model(), templates[:2], now)
    assert again.status["templateCandidates"] == plan.status["templateCandidates"], (
        "it tells of the choice that was made"
    )
    named = service_manifest(template={"name": "slow"}, status={"templateCandidates": [{"name": "best"}]})
    assert planned(observed, named, model(), templates, now).status["templateCandidates"] is None


def test_a_service_without_a_template_says_where_each_candidate_fell_out(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-SEL-9."""
    generated = {"aim.eai.amd.com/origin": "auto-generated"}
    templates = [
        template("late", status="Progressing", labels=generated),
        template("plain", labels=generated, profile={"type": "unoptimized"}),
    ]
    plan = planned(observed, service_manifest(), model(), templates, now)
    message = next(item for item in plan.components if item.name == "Template").message
    assert "allowUnoptimized" in message
    assert "late TemplateProgressing" in message
    assert "plain UnoptimizedTemplateFiltered" in message


def test_a_thousand_candidates_give_a_message_of_reasonable_length(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    templates = [template(f"template-with-a-rather-long-name-{number}", status="Failed") for number in range(1000)]
    plan = planned(observed, service_manifest(), model(), templates, now)
    message = next(item for item in plan.components if item.name == "Template").message
    assert len(message) < 2000
    assert "and 990 more" in message
    assert len(plan.status["templateCandidates"]) == 20
