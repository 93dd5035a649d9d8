"""Service templates: model, hardware, sources, cache."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate, AnyServiceTemplate
from aimd.planning.conditions import Summary, summarize
from aimd.planning.gpus import inventory_of
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig, resolve_config
from aimd.planning.service_template.observed import ObservedTemplate
from aimd.planning.service_template.plan import plan_service_template
from aimd.runtime.objects import Applied

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODES = inventory_of([{"amd.com/gpu.device-id": "74a1"}])
INLINE = [{"modelId": "Qwen/Qwen3-32B", "sourceUri": "hf://Qwen/Qwen3-32B", "size": "9094593249"}]
MI300X = {"gpu": {"model": "MI300X", "requests": 1, "resourceName": "amd.com/gpu"}}
MODEL = AIMModel.model_validate(
    {"metadata": {"name": "m", "namespace": "ml-team", "uid": "mu"}, "spec": {"image": "i:1"}}
)
CLUSTER_MODEL = AIMClusterModel.model_validate({"metadata": {"name": "m", "uid": "cu"}, "spec": {"image": "i:1"}})


def template(status: dict[str, Any] | None = None, **spec: Any) -> AIMServiceTemplate:
    return AIMServiceTemplate.model_validate(
        {
            "metadata": {"name": "t", "namespace": "ml-team", "uid": "tu"},
            "spec": {"modelName": "m", **spec},
            "status": status or {},
        }
    )


def cluster_template(**spec: Any) -> AIMClusterServiceTemplate:
    return AIMClusterServiceTemplate.model_validate({"metadata": {"name": "t"}, "spec": {"modelName": "m", **spec}})


def settle(obj: AnyServiceTemplate, model: Any = MODEL, **fields: Any) -> tuple[Plan, Summary]:
    observed = ObservedTemplate(obj, fields.pop("config", ResolvedConfig()), model, **{"inventory": NODES, **fields})
    plan = plan_service_template(observed, NOW)
    extra = plan.extra_conditions
    return plan, summarize(
        plan.components, applied=Applied(), previous=(), generation=1, now=NOW, extra_conditions=extra
    )


def condition(summary: Summary, type_: str) -> tuple[str, str] | None:
    return next(((c.status, c.reason) for c in summary.conditions if c.type == type_), None)


def test_inline_sources_settle_a_template() -> None:
    """Prove TPL-SRC-1."""
    plan, summary = settle(template(modelSources=INLINE, hardware=MI300X, metric="latency", precision="fp16"))
    assert str(summary.state) == "Ready"
    assert condition(summary, "ModelReady") == ("True", "ModelFound")
    assert condition(summary, "GPUReady") == ("True", "GPUAvailable")
    assert condition(summary, "Discovered") == ("True", "InlineModelSources")
    message = next(c.message for c in summary.conditions if c.type == "Discovered")
    assert message == "Model sources provided in-line in spec"
    assert plan.status["modelSources"] == INLINE
    assert plan.status["profile"] == {
        "metadata": {"gpu": "MI300X", "gpuCount": 1, "metric": "latency", "precision": "fp16"}
    }
    assert plan.status["resolvedHardware"] == MI300X
    assert plan.status["hardwareSummary"] == "1 x MI300X"
    assert plan.status["resolvedModel"] == {
        "name": "m",
        "namespace": "ml-team",
        "scope": "Namespace",
        "kind": "aim.eai.amd.com/v1alpha1/AIMModel",
        "uid": "mu",
    }
    terms = plan.status["resolvedNodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"][0]["values"] == ["74a1", "74a9", "74b5", "74bd"]
    assert plan.desired == ()


def test_without_sources_the_template_waits_for_its_discovery() -> None:
    plan, summary = settle(template(hardware=MI300X))
    assert (str(summary.state), condition(summary, "DiscoveryJobReady")) == ("Pending", ("False", "JobNotCreated"))
    assert condition(summary, "Discovered") == ("False", "AwaitingDiscovery")
    assert "modelSources" not in plan.status
    assert "profile" not in plan.status


def test_results_of_an_earlier_discovery_count() -> None:
    known = {"modelSources": INLINE, "profile": {"metadata": {"engine": "vllm"}}, "resolvedHardware": MI300X}
    plan, summary = settle(template(status=known))
    assert (str(summary.state), condition(summary, "Discovered")) == ("Ready", ("True", "DiscoveryComplete"))
    assert condition(summary, "GPUReady") == ("True", "GPUAvailable")
    assert "modelSources" not in plan.status
    assert plan.status["hardwareSummary"] == "1 x MI300X"
    assert plan.desired == ()


@pytest.mark.parametrize(
    ("hardware", "word", "shown"),
    [
        ({"gpu": {"model": "MI355X", "requests": 1}}, "NotAvailable", ("False", "GPUNotAvailable")),
        ({"gpu": {"minVram": "64Gi", "requests": 1}}, "Ready", ("True", "GPUAvailable")),
        ({"gpu": {"minVram": "1Ti", "requests": 1}}, "NotAvailable", ("False", "VRAMNotAvailable")),
        ({"gpu": {"model": " MI300X ", "requests": 0}}, "Ready", ("True", "GPUAvailable")),
        ({"cpu": {"requests": "2"}}, "Ready", None),
        (None, "Ready", None),
    ],
)
def test_the_cluster_must_have_the_gpu(
    hardware: dict[str, Any] | None, word: str, shown: tuple[str, str] | None
) -> None:
    """Prove TPL-GPU-2."""
    spec = {"hardware": hardware} if hardware else {}
    plan, summary = settle(template(modelSources=INLINE, **spec))
    assert (str(summary.state), condition(summary, "GPUReady")) == (word, shown)
    if hardware:
        assert plan.status["resolvedHardware"] == hardware


def test_a_template_that_lacks_its_gpu_is_not_available_even_without_sources() -> None:
    _, summary = settle(template(hardware={"gpu": {"model": "MI355X", "requests": 1}}))
    assert str(summary.state) == "NotAvailable"


@pytest.mark.parametrize(
    ("status", "image", "word", "shown"),
    [
        ({}, "", "Failed", ("False", "ImageNotSpecified")),
        (
            {"status": "Failed", "conditions": [{"type": "ImageMetadataReady", "status": "False", "reason": "X"}]},
            "i:1",
            "Failed",
            ("False", "ModelFailed"),
        ),
        (
            {"status": "Degraded", "conditions": [{"type": "ImageMetadataReady", "status": "False", "reason": "X"}]},
            "i:1",
            "Degraded",
            ("False", "ModelFailed"),
        ),
        (
            {"status": "Failed", "conditions": [{"type": "ServiceTemplatesReady", "status": "False", "reason": "X"}]},
            "i:1",
            "Ready",
            ("True", "ModelFound"),
        ),
        ({"status": "Failed"}, "i:1", "Ready", ("True", "ModelFound")),
        ({"status": "Progressing"}, "i:1", "Ready", ("True", "ModelFound")),
    ],
)
def test_the_model_counts_unless_only_its_templates_are_bad(
    status: dict[str, Any], image: str, word: str, shown: tuple[str, str]
) -> None:
    """Prove TPL-MDL-3."""
    model = AIMModel.model_validate(
        {"metadata": {"name": "m", "namespace": "ml-team"}, "spec": {"image": image}, "status": status}
    )
    _, summary = settle(template(modelSources=INLINE), model)
    assert (str(summary.state), condition(summary, "ModelReady")) == (word, shown)
    twin = AIMClusterModel.model_validate({**model.manifest(), "metadata": {"name": "m"}})
    _, summary = settle(cluster_template(modelSources=INLINE), twin)
    assert (str(summary.state), condition(summary, "ClusterModelReady")) == (
        word,
        (shown[0], shown[1].replace("Model", "ClusterModel")),
    )


def test_a_missing_model_and_a_missing_config() -> None:
    """Prove TPL-MDL-2 and CFG-FND-2."""
    _, summary = settle(template(modelSources=INLINE), None)
    assert (str(summary.state), condition(summary, "ModelReady")) == ("Failed", ("False", "ReferenceNotFound"))
    missing = resolve_config("team", None, None, namespace="ml-team")
    _, summary = settle(template(modelSources=INLINE), config=missing)
    assert (str(summary.state), condition(summary, "RuntimeConfigReady")) == ("Failed", ("False", "ConfigNotFound"))


def test_the_cluster_twin_differs_in_names_only() -> None:
    obj = cluster_template(modelSources=INLINE, hardware=MI300X)
    plan, summary = settle(obj, CLUSTER_MODEL)
    assert condition(summary, "ClusterModelReady") == ("True", "ClusterModelFound")
    assert plan.status["resolvedModel"]["scope"] == "Cluster"
    assert str(summary.state) == "Ready"
    _, summary = settle(obj, None)
    assert condition(summary, "ClusterModelReady") == ("False", "ReferenceNotFound")


def test_a_namespaced_template_may_use_a_cluster_model() -> None:
    """Prove TPL-MDL-1."""
    plan, summary = settle(template(modelSources=INLINE), CLUSTER_MODEL)
    assert condition(summary, "ModelReady") == ("True", "ModelFound")
    assert plan.status["resolvedModel"]["kind"] == "aim.eai.amd.com/v1alpha1/AIMClusterModel"


def test_discovered_hardware_never_breaks_the_schema() -> None:
    """Prove TPL-GPU-1."""
    both = {"gpu": {"model": "MI300X", "minVram": "64Gi", "requests": 1}}
    plan, _ = settle(template(status={"resolvedHardware": both, "profile": {}}))
    assert plan.status["resolvedHardware"] == {"gpu": {"model": "MI300X", "requests": 1}}


def test_a_template_with_caching_makes_its_cache_once() -> None:
    """Prove TPL-CCH-1."""
    env = [{"name": "HF_TOKEN", "value": "x"}]
    caching = {"enabled": True, "env": env}
    plan, _ = settle(template(modelSources=INLINE, caching=caching, runtimeConfigName="team"))
    (cache,) = plan.desired
    assert (cache.key.name, cache.key.namespace) == ("t", "ml-team")
    assert cache.manifest["spec"] == {
        "templateName": "t",
        "templateScope": "Namespace",
        "env": env,
        "runtimeConfigName": "team",
    }
    assert cache.manifest["metadata"]["ownerReferences"][0]["uid"] == "tu"
    live = {"metadata": {"name": "t", "namespace": "ml-team", "uid": "cu"}}
    plan, _ = settle(template(modelSources=INLINE, caching=caching), cache=live)
    assert plan.desired == ()
    assert plan.status["resolvedCache"]["uid"] == "cu"


def test_a_cache_without_env_of_its_own_takes_the_template_s() -> None:
    """Prove TPL-CCH-1."""
    env = [{"name": "HF_TOKEN", "value": "x"}]
    plan, _ = settle(template(modelSources=INLINE, caching={"enabled": True}, env=env))
    assert plan.desired[0].manifest["spec"]["env"] == env


@pytest.mark.parametrize(
    "obj",
    [
        template(modelSources=INLINE, caching={"enabled": False}),
        template(caching={"enabled": True}),
        template(modelSources=INLINE, caching={"enabled": True}, hardware={"gpu": {"model": "MI355X", "requests": 1}}),
    ],
)
def test_no_cache_before_it_makes_sense(obj: AIMServiceTemplate) -> None:
    plan, _ = settle(obj)
    assert plan.desired == ()


def test_an_affinity_that_differs_in_order_only_stays_as_stored() -> None:
    """Prove TPL-GPU-5."""

    def affinity(*values: str) -> dict[str, Any]:
        requirement = {"key": "amd.com/gpu.device-id", "operator": "In", "values": list(values)}
        terms = [{"matchExpressions": [requirement]}]
        return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}

    stored = affinity("74a1", "74b5", "74bd", "74a9")
    plan, _ = settle(template(status={"resolvedNodeAffinity": stored}, modelSources=INLINE, hardware=MI300X))
    assert plan.status["resolvedNodeAffinity"] == stored
    other = affinity("74a1", "74b5")
    plan, _ = settle(template(status={"resolvedNodeAffinity": other}, modelSources=INLINE, hardware=MI300X))
    assert plan.status["resolvedNodeAffinity"] == affinity("74a1", "74a9", "74b5", "74bd")


def test_nothing_is_downloaded_for_a_profile_that_no_image_loads() -> None:
    """Prove TPL-PRF-2."""
    profile: dict[str, Any] = {
        "aimId": "a/b",
        "modelId": "a/b",
        "metric": "latency",
        "precision": "auto",
        "customProfile": {},
    }
    plan, summary = settle(template(**profile, hardware=MI300X, modelSources=INLINE, caching={"enabled": True}))
    assert plan.desired == ()
    assert condition(summary, "CustomProfileReady") == ("False", "InvalidSpec")
    assert str(summary.state) == "Failed"
    plan, summary = settle(template(**profile, hardware=MI300X))
    assert plan.desired == ()
    assert condition(summary, "Discovered") == ("False", "AwaitingDiscovery")


def test_the_version_is_the_tag_of_the_image_of_the_model() -> None:
    """Prove MDL-STA-5."""
    assert settle(template(modelSources=INLINE))[0].status["version"] == "1"
    assert settle(template(modelSources=INLINE), None)[0].status["version"] is None


@pytest.mark.parametrize(
    ("precisions", "own", "expected"),
    [(["fp8"], "", "fp8"), (["fp8", "fp8"], "", "fp8"), (["fp8", "fp16"], "", None), (["fp8"], "fp4", "fp4")],
)
def test_the_precision_of_the_weights_is_that_of_the_template(
    precisions: list[str], own: str, expected: str | None
) -> None:
    """Prove TPL-SRC-2."""
    spec: dict[str, Any] = {"modelSources": [{**INLINE[0], "precision": precision} for precision in precisions]}
    if own:
        spec["precision"] = own
    plan, _ = settle(template(**spec))
    assert plan.status["profile"]["metadata"].get("precision") == expected
