"""Templates derived from a named one because the service overrides parts of it."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.service import AIMService, ServiceOverrides
from aimd.planning.component import State
from aimd.planning.kinds import AIM_SERVICE_TEMPLATE
from aimd.planning.service.child_names import derived_template_name, former_derived_template_name, has_overrides
from aimd.planning.service.derived_template import leftover_templates
from aimd.planning.service.plan import plan_service
from tests.unit.planning.service.makers import Maker

FULL = {"metric": "throughput", "precision": "fp8", "hardware": {"gpu": {"model": "MI300X", "requests": 4}}}


def overrides(**fields: Any) -> ServiceOverrides:
    return ServiceOverrides.model_validate(fields)


@pytest.mark.parametrize(
    ("base", "fields", "expected"),
    [
        ("my-template", FULL, "my-template-ovr-mi300x-4gpu-fp8-throughput-b295"),
        ("base", {"metric": "latency"}, "base-ovr-latency-817c"),
        ("base", {"hardware": {"gpu": {"model": "MI300X"}}}, "base-ovr-mi300x-a61e"),
        ("base", {"hardware": {"gpu": {"requests": 4}}}, "base-ovr-4gpu-2da2"),
        ("base", {}, "base"),
    ],
)
def test_names(base: str, fields: dict[str, Any], expected: str) -> None:
    assert derived_template_name(base, overrides(**fields)) == expected
    assert derived_template_name(base, None) == base


@given(st.text("abc-.", min_size=1, max_size=80), st.sampled_from(["latency", "throughput"]), st.integers(0, 8))
def test_names_are_valid_and_stable(base: str, metric: str, count: int) -> None:
    wanted = overrides(metric=metric, hardware={"gpu": {"requests": count}})
    name = derived_template_name(base, wanted)
    assert name == derived_template_name(base, wanted)
    assert len(name) <= 63
    assert name == name.lower()


def test_only_what_is_set_overrides() -> None:
    assert not has_overrides(None)
    assert not has_overrides(overrides(hardware={"gpu": {"resourceName": "amd.com/gpu"}}))
    assert has_overrides(overrides(metric="latency"))


def test_what_the_name_does_not_say_is_in_its_hash() -> None:
    """Prove SVC-OVR-4."""
    wanted = [
        overrides(metric="latency"),
        overrides(metric="latency", hardware={"gpu": {"minVram": "100Gi"}}),
        overrides(metric="latency", hardware={"gpu": {"resourceName": "amd.com/cpx"}}),
        overrides(metric="latency", hardware={"cpu": {"requests": "4"}}),
        overrides(metric="latency", hardware={"cpu": {"requests": "4", "limits": "8"}}),
    ]
    assert len({derived_template_name("base", item) for item in wanted}) == len(wanted)
    long = "b" * 60
    assert derived_template_name(long + "1", wanted[0]) != derived_template_name(long + "2", wanted[0])
    assert former_derived_template_name(long + "1", wanted[0]) == former_derived_template_name(long + "2", wanted[0])


def test_a_derived_template_under_its_former_name_is_kept(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-NAM-2."""
    base, metric = "b" * 60, {"metric": "latency"}
    former = former_derived_template_name(base, overrides(**metric))
    kept = template(former, labels={"aim.eai.amd.com/origin": "derived"})
    manifest = service_manifest(
        template={"name": base},
        overrides=metric,
        status={"resolvedTemplate": {"name": former, "scope": "Namespace"}},
    )
    plan = plan_service(observed(service=manifest, models=[model()], templates=[template(base), kept]), now)
    assert plan.status["resolvedTemplate"]["name"] == former


@pytest.fixture
def planned(observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime) -> Maker:
    """Plan of a service that names `base` and overrides `fields` of it."""

    def plan(templates: list[Any], fields: dict[str, Any], **spec: Any) -> Any:
        service = service_manifest(template={"name": "base"}, overrides=fields, **spec)
        return plan_service(observed(service=service, models=[model()], templates=templates), now)

    return plan


def derived_in(plan: Any) -> list[dict[str, Any]]:
    return [item.manifest for item in plan.desired if item.kind == AIM_SERVICE_TEMPLATE]


def condition(plan: Any) -> tuple[State, str]:
    found = next(item for item in plan.components if item.name == "Template")
    return found.effective_state, found.effective_reason


def test_it_is_made_from_the_base_whichever_scope_that_has(planned: Maker, template: Maker) -> None:
    """Prove SVC-OVR-1."""
    sources = [{"modelId": "Qwen/Qwen3", "sourceUri": "hf://Qwen/Qwen3"}]
    for namespace in ("ml-team", ""):
        base = template(
            "base",
            namespace=namespace,
            metric="latency",
            precision="fp16",
            env=[{"name": "A", "value": "1"}],
            modelSources=sources,
            imagePullSecrets=[{"name": "base-secret"}],
        )
        plan = planned([base], FULL)
        (made,) = derived_in(plan)
        assert made["metadata"]["name"] == "base-ovr-mi300x-4gpu-fp8-throughput-" + made["metadata"]["name"][-4:]
        assert made["metadata"]["namespace"] == "ml-team"
        assert "ownerReferences" not in made["metadata"]
        labels = made["metadata"]["labels"]
        assert labels["aim.eai.amd.com/origin"] == "derived"
        assert labels["app.kubernetes.io/managed-by"] == "aim-engine"
        spec = made["spec"]
        assert (spec["metric"], spec["precision"]) == ("throughput", "fp8")
        assert spec["hardware"]["gpu"] == {"model": "MI300X", "requests": 4}
        assert spec["modelName"] == "qwen"
        assert spec["modelSources"] == sources
        assert spec["env"] == [{"name": "A", "value": "1"}]
        assert spec["imagePullSecrets"] == [{"name": "base-secret"}]
        assert spec["runtimeConfigName"] == "default"
        assert spec["caching"] == {"enabled": True}
        assert condition(plan) == (State.PROGRESSING, "TemplateNotReady")


def test_the_service_s_own_fields_win_over_the_base_s(planned: Maker, template: Maker) -> None:
    """Prove SVC-OVR-2."""
    base = template("base", runtimeConfigName="of-base", imagePullSecrets=[{"name": "base-secret"}])
    plan = planned(
        [base],
        {"metric": "latency"},
        imagePullSecrets=[{"name": "own"}],
        resources={"limits": {"cpu": "6"}},
        caching={"mode": "Dedicated"},
    )
    (made,) = derived_in(plan)
    assert made["spec"]["imagePullSecrets"] == [{"name": "own"}]
    assert made["spec"]["resources"] == {"limits": {"cpu": "6"}}
    assert made["spec"]["runtimeConfigName"] == "of-base"
    assert "caching" not in made["spec"]
    (made,) = derived_in(planned([base], {"metric": "latency"}, runtimeConfigName="team"))
    assert made["spec"]["runtimeConfigName"] == "team"


def test_once_it_is_there_it_is_used_and_never_written_again(planned: Maker, template: Maker) -> None:
    """Prove SVC-OVR-1."""
    name = derived_template_name("base", overrides(**FULL))
    derived = template(
        name,
        labels={"aim.eai.amd.com/origin": "derived"},
        profile={"metric": "throughput", "precision": "fp8", "gpu": "MI300X", "gpuCount": 4},
        **FULL,
    )
    plan = planned([template("base"), derived], FULL)
    assert derived_in(plan) == []
    assert condition(plan) == (State.READY, "Resolved")
    assert plan.status["resolvedTemplate"]["name"] == name


def test_without_overrides_the_base_itself_is_used(planned: Maker, template: Maker) -> None:
    plan = planned([template("base")], {})
    assert derived_in(plan) == []
    assert plan.status["resolvedTemplate"]["name"] == "base"


def test_overrides_that_come_later_leave_the_base(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, live: Maker, now: datetime
) -> None:
    stored = {"name": "base", "namespace": "ml-team", "scope": "Namespace"}
    service = service_manifest(
        template={"name": "base"}, overrides={"metric": "latency"}, status={"resolvedTemplate": stored}
    )
    running = live({"kind": "InferenceService", "metadata": {"name": "x", "namespace": "ml-team"}, "spec": {}})
    world = observed(service=service, models=[model()], templates=[template("base")], inference_service=running)
    plan = plan_service(world, now)
    assert [item["metadata"]["name"] for item in derived_in(plan)] == ["base-ovr-latency-817c"]


def test_overrides_given_up_leave_the_derived_template(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, live: Maker, now: datetime
) -> None:
    derived = template("base-ovr-latency-817c", labels={"aim.eai.amd.com/origin": "derived"})
    stored = {"name": derived.metadata.name, "namespace": "ml-team", "scope": "Namespace"}
    running = live({"kind": "InferenceService", "metadata": {"name": "x", "namespace": "ml-team"}, "spec": {}})
    world = observed(
        service=service_manifest(template={"name": "base"}, status={"resolvedTemplate": stored}),
        models=[model()],
        templates=[template("base"), derived],
        leftovers=[derived],
        inference_service=running,
    )
    plan = plan_service(world, now)
    assert plan.status["resolvedTemplate"]["name"] == "base"
    assert [(item.key.name, item.reason) for item in plan.deletions] == [(derived.metadata.name, "overrides-off")]
    unready = replace(world, templates=[template("base", status="Pending"), derived])
    assert not plan_service(unready, now).deletions


def test_a_derived_template_that_nobody_wants_is_left_over(service: Maker, template: Maker) -> None:
    """Prove SVC-OVR-3."""
    maker = {"aim.eai.amd.com/origin": "derived", "aim.eai.amd.com/service.name": "qwen-chat"}
    name = "base-ovr-latency-817c"
    wants = {"template": {"name": "base"}, "overrides": {"metric": "latency"}}
    base = {"template": {"name": "base"}}
    ran_with_it = {"status": {"resolvedTemplate": {"name": name, "scope": "Namespace"}}}

    def left(mine: dict[str, Any], labels: dict[str, str], *others: dict[str, Any]) -> bool:
        neighbours = [
            AIMService.model_validate({"metadata": {"name": "b", "namespace": "ml-team", "uid": "b"}, **other})
            for other in others
        ]
        return bool(leftover_templates(service(**mine), [template(name, labels=labels)], neighbours))

    assert left(base, maker)
    assert left({**base, **ran_with_it}, {**maker, "aim.eai.amd.com/service.name": "somebody"})
    assert not left(wants, maker)
    assert not left(base, {**maker, "aim.eai.amd.com/service.name": "somebody"})
    assert not left(base, {"aim.eai.amd.com/service.name": "qwen-chat"})
    assert not left({"template": {"name": name}}, maker)
    assert not left(base, maker, {"spec": wants})
    assert not left(base, maker, ran_with_it)
    assert not left(base, maker, {"spec": {"template": {"name": name}}})
    assert left(base, maker, {"spec": base})


def test_a_derived_template_is_nobody_else_s_candidate(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-SEL-1."""
    derived = template("base-ovr-latency-817c", labels={"aim.eai.amd.com/origin": "derived"}, metric="latency")
    world = observed(service=service_manifest(), models=[model()], templates=[template("base"), derived])
    assert plan_service(world, now).status["resolvedTemplate"]["name"] == "base"


P1 = {"metric": "throughput", "precision": "fp8", "gpu": "MI300X", "gpuCount": 1}


@pytest.mark.parametrize(
    ("fields", "is_kept"),
    [
        ({"metric": "latency"}, False),
        ({"metric": "throughput"}, True),
        ({"precision": "fp16"}, False),
        ({"precision": "auto"}, False),
        ({"hardware": {"gpu": {"model": "MI325X"}}}, False),
        ({"hardware": {"gpu": {"model": "mi300x-oam", "requests": 1}}}, True),
        ({"hardware": {"gpu": {"requests": 4}}}, False),
        ({"hardware": {"gpu": {"minVram": "256Gi"}}}, False),
        ({"hardware": {"cpu": {"requests": "8"}}}, True),
    ],
)
def test_a_profile_that_contradicts_the_overrides_is_left_out(
    planned: Maker, template: Maker, fields: dict[str, Any], *, is_kept: bool
) -> None:
    """Prove SVC-OVR-5."""
    (made,) = derived_in(planned([template("base", profileId="p1", profile=P1)], fields))
    assert ("profileId" in made["spec"]) is is_kept
    if not is_kept:
        assert made["spec"]["metric"] == fields.get("metric", "throughput")


def test_a_profile_of_which_nothing_is_known_is_left_out(planned: Maker, template: Maker) -> None:
    """Prove SVC-OVR-5."""
    (made,) = derived_in(planned([template("base", profileId="p1", status="Progressing")], {"metric": "latency"}))
    assert "profileId" not in made["spec"]
    (made,) = derived_in(planned([template("base")], {"precision": "fp8"}))
    assert "metric" not in made["spec"]


def test_overrides_for_which_the_image_has_no_profile_are_told(planned: Maker, template: Maker) -> None:
    """Prove SVC-OVR-5: the service repeats why the derived template is not Ready."""
    name = derived_template_name("base", overrides(metric="latency"))
    ready = {"type": "Ready", "status": "False", "reason": "DiscoveryFailed", "message": "No compatible profile found"}
    derived = template(name, status="Failed", sources=False, status_fields={"conditions": [ready]})
    plan = planned([template("base"), derived], {"metric": "latency"})
    assert condition(plan) == (State.FAILED, "TemplateNotReady")
    assert next(item for item in plan.components if item.name == "Template").message.endswith(
        "is Failed: No compatible profile found"
    )
