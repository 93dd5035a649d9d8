"""Templates of models."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMClusterModel, AIMModel, CustomTemplate, RecommendedDeployment
from aimd.api.shared import Hardware
from aimd.planning.model.observed import ObservedModel
from aimd.planning.model.templates import (
    TemplatePlan,
    custom_template_name,
    deployment_template_name,
    merge_hardware,
    plan_templates,
    template_names,
)
from aimd.planning.runtime_config import ResolvedConfig
from aimd.runtime.objects import Manifest

SOURCES = [{"modelId": "a/b", "sourceUri": "hf://a/b", "size": "100Mi"}]
MI300X = {"gpu": {"model": "MI300X", "requests": 1, "resourceName": "amd.com/gpu"}}
QWEN = "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5"


def model(
    *deployments: dict[str, Any], name: str = "m", image: str = "img:1", cluster: bool = False, **spec: Any
) -> Any:
    metadata = {"name": name, "uid": "mu", "labels": spec.pop("labels", {})}
    metadata |= {} if cluster else {"namespace": "ml-team"}
    known = {"imageMetadata": {"model": {"recommendedDeployments": list(deployments)}}} if deployments else {}
    return (AIMClusterModel if cluster else AIMModel).model_validate(
        {"metadata": metadata, "spec": {"image": image, **known, **spec}}
    )


def plan(obj: Any, live: dict[str, Manifest] | None = None, **fields: Any) -> TemplatePlan:
    return plan_templates(ObservedModel(obj, ResolvedConfig(), manifests=live or {}, **fields))


def specs(obj: Any, **fields: Any) -> list[Manifest]:
    return [item.manifest["spec"] for item in plan(obj, **fields).desired]


def as_live(item: Any, uid: str = "tu", **spec: Any) -> Manifest:
    manifest = item.manifest
    return {**manifest, "metadata": {**manifest["metadata"], "uid": uid}, "spec": {**manifest["spec"], **spec}}


@pytest.mark.parametrize(
    ("name", "image", "deployment", "expected"),
    [
        (
            "qwen-qwen3-32b",
            QWEN,
            {"gpuModel": "MI300X", "gpuCount": 1, "metric": "latency", "precision": "fp8"},
            "amdenterpriseai-aim-qwen-qwen3-32b-0-8-5-1x-mi300x-lat-fp8-c381",
        ),
        (
            "my-model",
            "llama-3-1-70b-instruct",
            {"gpuModel": "mi300x", "gpuCount": 2, "metric": "latency", "precision": "fp8"},
            "llama-3-1-70b-instruct-2x-mi300x-lat-fp8-27aa",
        ),
        ("m", "img:1", {}, "img-1-part-4afe"),
        ("m", "img:1", {"gpuModel": "MI300X", "precision": "fp16"}, "img-1-mi300x-fp16-4202"),
        (
            "llama-70b",
            "registry.example.com/team/aim-meta-llama-llama-3-1-70b-instruct:0.10.0",
            {"gpuModel": "MI325X", "gpuCount": 8, "metric": "throughput", "precision": "fp8"},
            "registry-example-com-team-aim-meta-llama-8x-mi325x-thr-fp8-4f8b",
        ),
    ],
)
def test_names_of_recommended_deployments(name: str, image: str, deployment: dict[str, Any], expected: str) -> None:
    """Prove MDL-TPL-2."""
    assert deployment_template_name(name, image, RecommendedDeployment.model_validate(deployment)) == expected


def gpu(model: str, requests: int) -> dict[str, Any]:
    return {"hardware": {"gpu": {"model": model, "requests": requests}}}


@pytest.mark.parametrize(
    ("name", "index", "entry", "expected"),
    [
        ("custom-model-test", 0, None, "custom-model-test-custom-b34d2482"),
        ("custom-model-test", 0, {"name": "default-hardware"}, "custom-model-test-custom-default-hardware-7689ffdb"),
        (
            "custom-model-test",
            1,
            {"name": "multi-gpu", **gpu("MI300X", 2)},
            "custom-model-test-custom-multi-gpu-mi300x-e999d587",
        ),
        (
            "custom-model-test",
            2,
            {"name": "different-gpu", **gpu("MI250X", 1)},
            "custom-model-test-custom-different-gpu-mi250x-0edbfc23",
        ),
        (
            "custom-model-test",
            3,
            {"name": "latency-optimized", "profile": {"metric": "latency", "precision": "fp16"}},
            "custom-model-test-custom-latency-optimized-fp16-480af67c",
        ),
        (
            "custom-model-test",
            4,
            {"name": "throughput-optimized", "profile": {"metric": "throughput", "precision": "fp8"}},
            "custom-model-test-custom-throughput-optimized-fp8-01a3e255",
        ),
        ("custom-model-test", 5, {"name": "minimal"}, "custom-model-test-custom-minimal-4302f81e"),
        (
            "additive-templates-test",
            0,
            {"name": "custom-high-memory", **gpu("MI300X", 2)},
            "additive-templates-te-custom-custom-high-memory-mi300x-37b021af",
        ),
        (
            "additive-templates-test",
            1,
            {"name": "custom-low-latency", "profile": {"metric": "latency", "precision": "fp16"}, **gpu("MI300X", 1)},
            "additive-template-custom-custom-low-latenc-fp16-mi300x-6509a03e",
        ),
        (
            "my-finetuned-llama",
            0,
            {"name": "llama-custom-tp1", "profile": {"metric": "latency", "precision": "fp16"}, **gpu("MI300X", 1)},
            "my-finetuned-llama-custom-llama-custom-tp1-fp16-mi300x-b43e0638",
        ),
    ],
)
def test_names_of_custom_templates(name: str, index: int, entry: dict[str, Any] | None, expected: str) -> None:
    """Prove MDL-TPL-2."""
    parsed = CustomTemplate.model_validate(entry) if entry is not None else None
    assert custom_template_name(name, index, parsed) == expected


def test_a_recommended_deployment_becomes_a_template() -> None:
    deployment = {
        "gpuModel": "MI300X",
        "gpuCount": 1,
        "metric": "latency",
        "precision": "fp8",
        "profileId": "p",
        "description": "d",
    }
    secrets = [{"name": "regcred"}]
    (item,) = plan(model(deployment, imagePullSecrets=secrets, serviceAccountName="sa", env=[{"name": "A"}])).desired
    assert item.manifest["spec"] == {
        "modelName": "m",
        "metric": "latency",
        "precision": "fp8",
        "profileId": "p",
        "hardware": {"gpu": {"requests": 1, "model": "MI300X"}},
        "imagePullSecrets": secrets,
        "serviceAccountName": "sa",
    }
    assert item.manifest["metadata"]["labels"] == {
        "aim.eai.amd.com/model": "m",
        "aim.eai.amd.com/model.name": "m",
        "aim.eai.amd.com/origin": "auto-generated",
        "app.kubernetes.io/managed-by": "aim-model-controller",
    }
    assert [owner["uid"] for owner in item.manifest["metadata"]["ownerReferences"]] == ["mu"]


def test_cluster_models_make_cluster_templates_and_keep_env() -> None:
    env = [{"name": "A", "value": "1"}]
    (item,) = plan(model(cluster=True, modelSources=SOURCES, env=env)).desired
    assert (item.kind.name, item.key.namespace) == ("AIMClusterServiceTemplate", "")
    assert item.manifest["spec"]["env"] == env
    assert item.manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "aim-cluster-model-controller"


def test_the_env_of_a_definition_beats_the_model_s() -> None:
    """Prove SVC-ENV-2 and SVC-ENV-3 for the env of models."""
    env = [{"name": "AIM_ID", "value": "a/b"}, {"name": "AIM_ENGINE_ARGS", "value": '{"a":1}'}]
    own = [{"name": "AIM_MODEL_ID", "value": "c/d"}, {"name": "AIM_ENGINE_ARGS", "value": '{"b":2}'}]
    (spec,) = specs(model(modelSources=SOURCES, env=env, customTemplates=[{"name": "x", "env": own}]))
    assert spec["env"] == [{"name": "AIM_ENGINE_ARGS", "value": '{"a":1,"b":2}'}, own[0]]


def test_an_image_s_recommendations_and_the_definitions_add_up() -> None:
    """Prove MDL-TPL-1."""
    both = model({"gpuModel": "MI300X", "gpuCount": 1}, customTemplates=[{"name": "x"}, {"name": "y"}])
    assert len(specs(both)) == 3
    custom = model({"gpuModel": "MI300X", "gpuCount": 1}, modelSources=SOURCES, customTemplates=[{"name": "x"}])
    assert [spec["modelSources"] for spec in specs(custom)] == [SOURCES]


def test_a_definition_becomes_a_template() -> None:
    entry = {
        "name": "tuned",
        "type": "optimized",
        "profile": {"metric": "latency", "precision": "fp16"},
        "hardware": {"gpu": {"requests": 2}},
        "env": [{"name": "B", "value": "2"}],
        "aimId": "a/b",
        "modelId": "a/b",
        "customProfile": {"engineArgs": {"x": 1}},
    }
    obj = model(
        modelSources=SOURCES, custom={"hardware": MI300X}, env=[{"name": "A", "value": "1"}], customTemplates=[entry]
    )
    (item,) = plan(obj).desired
    assert item.manifest["metadata"]["labels"]["aim.eai.amd.com/template.alias"] == "tuned"
    assert item.manifest["spec"] == {
        "modelName": "m",
        "modelSources": SOURCES,
        "type": "optimized",
        "metric": "latency",
        "precision": "fp16",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "hardware": {"gpu": {"requests": 2, "model": "MI300X", "resourceName": "amd.com/gpu"}},
        "aimId": "a/b",
        "modelId": "a/b",
        "customProfile": {"engineArgs": {"x": 1}},
    }


@pytest.mark.parametrize(
    ("own", "default", "expected"),
    [("optimized", "preview", "optimized"), ("", "preview", "preview"), ("", "", "unoptimized")],
)
def test_types(own: str, default: str, expected: str) -> None:
    """Prove MDL-TPL-8."""
    entry = {"name": "x", **({"type": own} if own else {})}
    custom = {"hardware": MI300X, **({"type": default} if default else {})}
    assert specs(model(modelSources=SOURCES, custom=custom, customTemplates=[entry]))[0]["type"] == expected


def test_cpu_hardware_becomes_resources_in_canonical_form() -> None:
    hardware = {"cpu": {"requests": "500m", "limits": "2000m"}}
    (spec,) = specs(model(modelSources=SOURCES, custom={"hardware": hardware}))
    assert spec["resources"] == {"requests": {"cpu": "500m"}, "limits": {"cpu": "2"}}
    assert spec["hardware"] == {"cpu": {"requests": "500m", "limits": "2"}}


@pytest.mark.parametrize(
    ("default", "own", "expected"),
    [
        (None, None, None),
        (MI300X, None, MI300X),
        (None, MI300X, MI300X),
        (MI300X, {"gpu": {"requests": 4}}, {"gpu": {**MI300X["gpu"], "requests": 4}}),
        (MI300X, {"gpu": {"model": "MI325X"}}, {"gpu": {**MI300X["gpu"], "model": "MI325X"}}),
        (MI300X, {"cpu": {"requests": "4"}}, {**MI300X, "cpu": {"requests": "4"}}),
        (
            MI300X,
            {"gpu": {"minVram": "64Gi"}},
            {"gpu": {"requests": 1, "resourceName": "amd.com/gpu", "minVram": "64Gi"}},
        ),
        (
            {"gpu": {"requests": 1, "minVram": "64Gi"}},
            {"gpu": {"model": "MI300X"}},
            {"gpu": {"requests": 1, "model": "MI300X", "resourceName": "amd.com/gpu"}},
        ),
        (
            {"cpu": {"requests": "2", "limits": "4"}},
            {"cpu": {"requests": "0", "limits": "8"}},
            {"cpu": {"requests": "2", "limits": "8"}},
        ),
    ],
)
def test_hardware_of_two_levels(default: Any, own: Any, expected: Any) -> None:
    """Prove MDL-TPL-7."""

    def parse(value: Any) -> Hardware | None:
        return Hardware.model_validate(value) if value is not None else None

    merged = merge_hardware(parse(default), parse(own))
    assert (merged.manifest() if merged is not None else None) == expected


def test_one_bad_deployment_holds_up_no_other() -> None:
    """Prove MDL-TPL-3."""
    good = {"gpuModel": "MI300X", "gpuCount": 1, "precision": "fp8"}
    found = plan(model({**good, "precision": "fp9"}, {**good, "metric": "speed"}, {**good, "gpuModel": "x" * 65}, good))
    assert len(found.desired) == 1
    assert [text.split(":")[0] for text in found.invalid] == [f"recommendedDeployments[{i}]" for i in range(3)]


def test_entries_that_the_labels_hold_and_nobody_can_read_are_told() -> None:
    labels = {"com.amd.aim.model.recommendedDeployments": '[1, {"gpuModel": "MI300X", "gpuCount": 1}]'}
    metadata = {"model": {"recommendedDeployments": [{"gpuModel": "MI300X", "gpuCount": 1}]}, "originalLabels": labels}
    obj = AIMModel.model_validate(
        {
            "metadata": {"name": "m", "namespace": "ml-team"},
            "spec": {"image": "i"},
            "status": {"imageMetadata": metadata},
        }
    )
    found = plan(obj)
    assert len(found.desired) == 1
    assert len(found.invalid) == 1


def test_an_alias_that_is_no_label_is_told() -> None:
    found = plan(model(customTemplates=[{"name": "my alias"}, {"name": "ok"}]))
    assert len(found.desired) == 1
    assert "customTemplates[0]" in found.invalid[0]


def test_of_deployments_that_differ_in_the_profile_only_the_first_counts() -> None:
    """Prove MDL-TPL-2."""
    same = {"gpuModel": "MI300X", "gpuCount": 1}
    found = plan(model({**same, "profileId": "one"}, {**same, "profileId": "two"}, {**same, "profileId": "one"}))
    assert [item.manifest["spec"]["profileId"] for item in found.desired] == ["one"]
    assert ["recommendedDeployments[1]" in text for text in found.remarks] == [True]
    assert found.invalid == ()


def test_templates_that_nobody_wants_any_more_go_unless_they_are_used() -> None:
    """Prove MDL-TPL-4."""
    before = plan(model({"gpuModel": "MI300X", "gpuCount": 1}, {"gpuModel": "MI325X", "gpuCount": 1})).desired
    live = {item.key.name: as_live(item, uid=item.key.name) for item in before}
    names = frozenset(live)
    after = model({"gpuModel": "MI300X", "gpuCount": 1}, image="img:2")
    assert {item.key.name for item in plan(after, live, applied=names).deletions} == names
    used = next(iter(names))
    assert {item.key.name for item in plan(after, live, applied=names, used=frozenset({used})).deletions} == (
        names - {used}
    )
    copied = plan(after, live)
    assert copied.deletions == ()
    unmarked = {name: {**item, "metadata": {**item["metadata"], "annotations": {}}} for name, item in live.items()}
    assert plan(after, unmarked, applied=names).deletions == ()
    unknown = model(image="img:2")
    assert plan(unknown, live, applied=names).deletions == ()
    off = model({"gpuModel": "MI300X"}, image="img:2", discovery={"createServiceTemplates": False})
    assert plan(off, live, applied=names) == plan(off)


def test_changed_hardware_replaces_a_template_that_nobody_uses() -> None:
    """Prove MDL-TPL-5."""

    def of(count: int) -> Any:
        hardware = {"gpu": {"model": "MI300X", "requests": count}}
        return model(modelSources=SOURCES, custom={"hardware": hardware}, customTemplates=[{"name": "x"}])

    (before,) = plan(of(1)).desired
    name = before.key.name
    live = {name: as_live(before)}
    assert [item.key.name for item in plan(of(1), live, applied=frozenset({name})).desired] == [name]
    replaced = plan(of(2), live, applied=frozenset({name}))
    assert ([item.uid for item in replaced.deletions], replaced.desired) == (["tu"], ())
    kept = plan(of(2), live, applied=frozenset({name}), used=frozenset({name}))
    assert (kept.deletions, kept.desired) == ((), ())
    assert "in use" in kept.remarks[0]


def test_what_the_api_server_fills_in_is_no_change() -> None:
    obj = model({"gpuModel": "MI300X", "gpuCount": 1})
    (before,) = plan(obj).desired
    live = as_live(before, hardware=MI300X)
    assert plan(obj, {before.key.name: live}).deletions == ()


def test_a_namesake_of_somebody_else_is_left_alone() -> None:
    """Prove MDL-TPL-6."""
    obj = model({"gpuModel": "MI300X", "gpuCount": 1})
    (name,) = template_names(obj_observed := ObservedModel(obj, ResolvedConfig()))
    found = plan(obj_observed.model, {name: {"metadata": {"name": name, "namespace": "ml-team"}}})
    assert (found.desired, found.deletions) == ((), ())
    assert name in found.remarks[0]


@given(
    st.lists(
        st.builds(
            dict,
            gpuModel=st.text(max_size=70),
            gpuCount=st.integers(-2, 2**31 - 1),
            metric=st.sampled_from(["", "latency", "x"]) | st.text(max_size=5),
            precision=st.sampled_from(["", "fp8", "x"]),
            profileId=st.text(max_size=5),
        ),
        max_size=5,
    ),
    st.text(min_size=1, max_size=300),
)
def test_whatever_an_image_recommends_gives_valid_names_and_unique_templates(
    deployments: list[dict[str, Any]], image: str
) -> None:
    found = plan(model(*deployments, image=image))
    names = [item.key.name for item in found.desired]
    assert len(names) == len(set(names))
    assert all(0 < len(name) <= 63 and name == name.strip("-").lower() for name in names)
    assert plan(model(*deployments, image=image)) == found
