"""The whole decision: what is rendered in which order, and worked examples of states."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMModel
from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.component import Component, State, may_apply
from aimd.planning.conditions import Summary, summarize
from aimd.planning.kinds import AIM_SERVICE
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service.observed import ObservedService
from aimd.planning.service.plan import plan_service
from aimd.runtime.objects import Applied, Condition, Manifest
from tests.unit.planning.service.makers import Maker

GATEWAY = {"enabled": True, "gatewayRef": {"name": "inference-gateway", "namespace": "gateways"}}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def kinds(plan: Plan) -> list[str]:
    return [desired.kind.name for desired in plan.desired]


def reasons(plan: Plan) -> dict[str, str]:
    return {component.name: component.effective_reason for component in plan.components}


def component(plan: Plan, name: str) -> Component:
    return next(item for item in plan.components if item.name == name)


def summary(plan: Plan, now: datetime, previous: Sequence[Condition] = ()) -> Summary:
    return summarize(plan.components, applied=Applied(), previous=previous, generation=1, now=now)


def root(plan: Plan, now: datetime) -> str:
    words = {State.PROGRESSING: "Starting", State.READY: "Running"}
    state = summary(plan, now).state
    return words.get(state, str(state))


def rendered(plan: Plan, kind: str) -> Manifest:
    return next(desired.manifest for desired in plan.desired if desired.kind.name == kind)


@pytest.fixture
def serving(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, cache: Maker, live: Maker, now: datetime
) -> Maker:
    """`serving(**fields)`: a service whose InferenceService exists and is Ready, made by its own plan."""

    def make(
        *, service: Manifest | None = None, isvc_status: Any = READY, pods: Any = None, **fields: Any
    ) -> ObservedService:
        manifest = service or service_manifest()
        ingredients = {"models": [model()], "templates": [template()], "caches": [cache()]}
        first = plan_service(observed(service=manifest, **ingredients), now)
        inference_service = live(rendered(first, "InferenceService"), isvc_status)
        ready_pod = {
            "metadata": {"name": "p", "uid": "p"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }
        known = {
            **ingredients,
            "inference_service": inference_service,
            "pods": [ready_pod] if pods is None else pods,
            **fields,
        }
        seen: ObservedService = observed(service=manifest, **known)
        return seen

    return make


def test_nothing_exists_but_a_named_model_is_missed(observed: Maker, now: datetime) -> None:
    """Prove SVC-MDL-2 and SVC-ORD-1."""
    plan = plan_service(observed(), now)
    assert reasons(plan)["Model"] == "ModelNotFound"
    assert "AIMModel ml-team/qwen" in component(plan, "Model").effective_message
    assert "AIMClusterModel qwen" in component(plan, "Model").effective_message
    assert not may_apply(plan.components)
    assert root(plan, now) == "Failed"
    conditions = {item.type: item for item in summary(plan, now).conditions}
    assert (conditions["ConfigValid"].status, conditions["ConfigValid"].reason) == ("False", "ReferenceNotFound")


def test_model_and_template_ready_makes_route_and_cache_first(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-ORD-2."""
    fields = {"models": [model()], "templates": [template()]}
    plan = plan_service(observed(service=service_manifest(routing=GATEWAY), **fields), now)
    assert kinds(plan) == ["HTTPRoute", "AIMTemplateCache"]
    assert root(plan, now) == "Starting"
    assert reasons(plan) == {
        "Model": "ModelResolved",
        "Template": "Resolved",
        "InferenceService": "CreatingRuntime",
        "Cache": "CacheCreating",
        "HTTPRoute": "HTTPRouteCreating",
    }
    assert component(plan, "Model").message == "AIMModel qwen is ready"
    assert component(plan, "Template").message == "AIMServiceTemplate qwen-latency is ready"


def test_the_cache_carries_layered_env_and_labels(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-CCH-6."""

    def env(**pairs: str) -> list[Manifest]:
        return [{"name": name, "value": value} for name, value in pairs.items()]

    chosen = template(caching={"env": env(HF_TOKEN="template", HTTP_PROXY="p")})
    manifest = service_manifest(
        env=env(HF_TOKEN="service", HTTPS_PROXY="s"),
        storage={"defaultStorageClassName": "fast"},
        labels={"team-a": "x", "other": "y"},
    )
    config = {
        "labelPropagation": {"enabled": True, "match": ["team-*"]},
        "storage": {"defaultStorageClassName": "slow"},
    }
    plan = plan_service(observed(service=manifest, config=config, models=[model()], templates=[chosen]), now)
    cache = rendered(plan, "AIMTemplateCache")
    assert cache["metadata"]["name"] == "qwen-latency-a04542d9"
    assert "ownerReferences" not in cache["metadata"]
    assert cache["metadata"]["labels"] == {
        "aim.eai.amd.com/service": "qwen-chat",
        "aim.eai.amd.com/service.name": "qwen-chat",
        "app.kubernetes.io/managed-by": "aim-service-controller",
        "team-a": "x",
    }
    assert cache["spec"] == {
        "templateName": "qwen-latency",
        "templateScope": "Namespace",
        "mode": "Shared",
        "storageClassName": "fast",
        "env": env(HF_TOKEN="service", HTTP_PROXY="p", HTTPS_PROXY="s"),
    }


@pytest.mark.parametrize("mode", ["Shared", "Always", "Auto"])
def test_a_shared_cache_belongs_to_nobody(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime, mode: str
) -> None:
    """Prove SVC-CCH-1 and SVC-CCH-3."""
    fields = {"models": [model()], "templates": [template()]}
    cache = rendered(
        plan_service(observed(service=service_manifest(caching={"mode": mode}), **fields), now), "AIMTemplateCache"
    )
    assert cache["spec"]["mode"] == "Shared"
    assert "ownerReferences" not in cache["metadata"]


@pytest.mark.parametrize("mode", ["Dedicated", "Never"])
def test_a_dedicated_cache_belongs_to_the_service(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime, mode: str
) -> None:
    """Prove SVC-CCH-1 and SVC-CCH-3."""
    fields = {"models": [model()], "templates": [template(name="qwen3-32b-latency", namespace="")]}
    plan = plan_service(observed(service=service_manifest(caching={"mode": mode}), **fields), now)
    cache = rendered(plan, "AIMTemplateCache")
    assert cache["metadata"]["name"] == "qwen3-32b-latency-qwen-chat-16b81fda"
    assert cache["spec"]["mode"] == "Dedicated"
    assert cache["spec"]["templateScope"] == "Cluster"
    assert [(owner["kind"], owner["controller"]) for owner in cache["metadata"]["ownerReferences"]] == [
        ("AIMService", True)
    ]


def test_an_existing_cache_is_never_applied_again(
    observed: Maker, model: Maker, template: Maker, cache: Maker, now: datetime
) -> None:
    """Prove SVC-CCH-4."""
    waiting = plan_service(
        observed(models=[model()], templates=[template()], caches=[cache(status="Progressing")]), now
    )
    assert kinds(waiting) == []
    assert reasons(waiting)["Cache"] == "CacheNotReady"
    assert root(waiting, now) == "Starting"


def test_the_inference_service_in_full(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, cache: Maker, now: datetime
) -> None:
    """Prove SVC-RES-5."""
    affinity: Manifest = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    chosen = template(
        metric="latency",
        imagePullSecrets=[{"name": "second"}, {"name": "first"}],
        profile={"metric": "latency", "precision": "fp16", "type": "optimized"},
        status_fields={"resolvedHardware": {"gpu": {"requests": 1}}, "resolvedNodeAffinity": affinity},
    )
    manifest = service_manifest(imagePullSecrets=[{"name": "first"}], replicas=3)
    fields = {"models": [model(serviceAccountName="runner")], "templates": [chosen], "caches": [cache()]}
    plan = plan_service(observed(service=manifest, **fields), now)
    assert kinds(plan) == ["InferenceService"]
    assert rendered(plan, "InferenceService") == {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "qwen-chat-a04542d9",
            "namespace": "ml-team",
            "labels": {
                "aim.eai.amd.com/metric": "latency",
                "aim.eai.amd.com/model": "qwen",
                "aim.eai.amd.com/precision": "fp16",
                "aim.eai.amd.com/service": "qwen-chat",
                "aim.eai.amd.com/service.name": "qwen-chat",
                "aim.eai.amd.com/template": "qwen-latency",
                "app.kubernetes.io/component": "inference",
                "app.kubernetes.io/managed-by": "aim-engine",
            },
            "annotations": {"serving.kserve.io/autoscalerClass": "none"},
            "ownerReferences": [
                {
                    "apiVersion": AIM_SERVICE.api_version,
                    "kind": "AIMService",
                    "name": "qwen-chat",
                    "uid": "11111111-2222-3333-4444-555555555555",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "predictor": {
                "minReplicas": 3,
                "maxReplicas": 3,
                "containers": [
                    {
                        "name": "kserve-container",
                        "image": "registry/aim:1",
                        "ports": [{"containerPort": 8000, "name": "http", "protocol": "TCP"}],
                        "env": [
                            {"name": "AIM_CACHE_PATH", "value": "/workspace/cache"},
                            {"name": "AIM_METRIC", "value": "latency"},
                            {"name": "VLLM_ENABLE_METRICS", "value": "true"},
                        ],
                        "volumeMounts": [
                            {"name": "dshm", "mountPath": "/dev/shm"},
                            {"name": "hf---qwen-c0", "mountPath": "/workspace/cache/Qwen/Qwen3"},
                        ],
                        "resources": {
                            "limits": {"amd.com/gpu": "1", "memory": "48Gi"},
                            "requests": {"amd.com/gpu": "1", "cpu": "4", "memory": "32Gi"},
                        },
                    }
                ],
                "volumes": [
                    {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
                    {"name": "hf---qwen-c0", "persistentVolumeClaim": {"claimName": "pvc-a"}},
                ],
                "imagePullSecrets": [{"name": "first"}, {"name": "second"}],
                "serviceAccountName": "runner",
                "affinity": {"nodeAffinity": affinity},
            }
        },
    }


def test_weights_inside_the_image_need_no_cache(observed: Maker, model: Maker, template: Maker, now: datetime) -> None:
    """Prove SVC-CCH-8."""
    plan = plan_service(observed(models=[model()], templates=[template(sources=False)]), now)
    assert kinds(plan) == ["InferenceService"]
    assert reasons(plan)["Cache"] == "CacheNotRequired"
    assert component(plan, "Cache").effective_state is State.READY


def test_everything_ready_is_running(serving: Maker, now: datetime) -> None:
    plan = plan_service(serving(), now)
    assert root(plan, now) == "Running"
    messages = {item.type: (item.reason, item.message) for item in summary(plan, now).conditions}
    assert messages["CacheReady"] == ("CacheReady", "Template cache is ready")
    assert messages["InferenceServiceReady"] == ("RuntimeReady", "InferenceService is ready")
    assert messages["Ready"] == ("AllComponentsReady", "All components are ready")
    assert "HTTPRouteReady" not in messages
    assert "HPAReady" not in messages


def test_status_fields(serving: Maker, now: datetime) -> None:
    """Prove SVC-STA-2."""
    status = plan_service(serving(config={}), now).status
    kind = "aim.eai.amd.com/v1alpha1"
    assert status["resolvedModel"] == {
        "name": "qwen",
        "namespace": "ml-team",
        "scope": "Namespace",
        "kind": f"{kind}/AIMModel",
        "uid": "uid-qwen",
    }
    assert status["resolvedTemplate"]["kind"] == f"{kind}/AIMServiceTemplate"
    assert status["resolvedRuntimeConfig"]["kind"] == f"{kind}/AIMRuntimeConfig"
    assert status["cache"]["templateCacheRef"]["name"] == "qwen-latency-a04542d9"
    assert status["routing"] is None
    assert status["runtime"] == {
        "currentReplicas": 1,
        "desiredReplicas": 1,
        "minReplicas": 1,
        "maxReplicas": 1,
        "replicas": "1",
    }


def test_a_cluster_reference_has_no_namespace(observed: Maker, model: Maker, template: Maker, now: datetime) -> None:
    """Prove OBJ-STA-6."""
    fields = {"models": [model(namespace="")], "templates": [template(namespace="")]}
    plan = plan_service(observed(**fields), now)
    assert "namespace" not in plan.status["resolvedTemplate"]
    assert plan.status["resolvedModel"]["scope"] == "Cluster"
    assert component(plan, "Template").message == "AIMClusterServiceTemplate qwen-latency is ready"


def test_settled_plans_render_the_same_again(serving: Maker, now: datetime) -> None:
    observed = serving()
    plan = plan_service(observed, now)
    live = {key: observed.inference_service[key] for key in ("spec",)}
    assert {"spec": rendered(plan, "InferenceService")["spec"]} == live


def test_edits_reach_the_inference_service(serving: Maker, service_manifest: Maker, now: datetime) -> None:
    """Prove SVC-ORD-2."""
    edited = service_manifest(replicas=4, env=[{"name": "X", "value": "1"}], resources={"limits": {"memory": "9Gi"}})
    before = serving()
    plan = plan_service(serving(service=edited, inference_service=before.inference_service), now)
    predictor = rendered(plan, "InferenceService")["spec"]["predictor"]
    assert predictor["minReplicas"] == predictor["maxReplicas"] == 4
    assert {"name": "X", "value": "1"} in predictor["containers"][0]["env"]
    assert predictor["containers"][0]["resources"]["limits"] == {"memory": "9Gi"}


def test_a_model_is_made_for_an_image_that_has_none(observed: Maker, service_manifest: Maker, now: datetime) -> None:
    """Prove SVC-MDL-4."""
    wanted = service_manifest(
        model={"image": "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5"},
        runtimeConfigName="default",
        imagePullSecrets=[{"name": "regcred"}],
        serviceAccountName="puller",
        env=[{"name": "X", "value": "1"}],
    )
    plan = plan_service(observed(service=wanted), now)
    assert reasons(plan)["Model"] == "CreatingModel"
    assert root(plan, now) == "Pending"
    model = rendered(plan, "AIMModel")
    assert model["metadata"]["name"] == "aim-qwen-qwen3-32b-0-8-5-cdc1fb22"
    assert model["metadata"]["labels"]["aim.eai.amd.com/origin"] == "auto-generated"
    assert "ownerReferences" not in model["metadata"]
    assert model["spec"] == {
        "image": "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5",
        "runtimeConfigName": "default",
        "imagePullSecrets": [{"name": "regcred"}],
        "serviceAccountName": "puller",
    }


@pytest.mark.parametrize(
    ("custom", "name"),
    [
        (
            {
                "baseImage": "amdenterpriseai/aim-base:0.9",
                "modelSources": [{"modelId": "Qwen/Qwen2-0.5B", "sourceUri": "hf://Qwen/Qwen2-0.5B"}],
            },
            "qwen-qwen2-0-5b-8cd3ca3d",
        ),
        (
            {
                "baseImage": "ghcr.io/silogen/aim-dummy:0.1.10",
                "modelSources": [
                    {
                        "modelId": "shared/s3-endpoint-model",
                        "sourceUri": "s3://test-bucket/model",
                        "env": [{"name": "AWS_ENDPOINT_URL", "value": "https://minio-a.example.com"}],
                    }
                ],
            },
            "shared-s3-endpoint-model-6b8c5ec3",
        ),
    ],
)
def test_a_model_described_in_place_is_made(
    observed: Maker, service_manifest: Maker, now: datetime, custom: Any, name: Any
) -> None:
    hardware = {"gpu": {"requests": 1, "model": "MI300X"}}
    env = [{"name": "X", "value": "1"}]
    wanted = service_manifest(model={"custom": {**custom, "hardware": hardware}}, env=env)
    model = rendered(plan_service(observed(service=wanted), now), "AIMModel")
    assert model["metadata"]["name"] == name
    assert model["metadata"]["labels"]["aim.eai.amd.com/custom-model"] == "true"
    assert model["spec"]["modelSources"] == custom["modelSources"]
    assert model["spec"]["custom"] == {"hardware": hardware}
    assert model["spec"]["env"] == env

    taken = AIMModel.model_validate({**model, "metadata": {**model["metadata"], "uid": "other"}})
    other = service_manifest(model={"custom": {**custom, "hardware": {"gpu": {"requests": 2, "model": "MI300X"}}}})
    second = rendered(plan_service(observed(service=other, models=[taken]), now), "AIMModel")
    assert second["metadata"]["name"] != name
    same = plan_service(observed(service=wanted, models=[taken]), now)
    assert [item for item in same.desired if item.kind.name == "AIMModel"] == []


def test_a_made_model_that_was_given_another_image_is_not_turned_back(
    observed: Maker, service_manifest: Maker, now: datetime
) -> None:
    """Prove SVC-MDL-4."""
    image = "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5"
    metadata = {"name": "aim-qwen-qwen3-32b-0-8-5-cdc1fb22", "namespace": "ml-team"}
    edited = AIMModel.model_validate({"metadata": metadata, "spec": {"image": "other:1"}})
    plan = plan_service(observed(service=service_manifest(model={"image": image}), models=[edited]), now)
    assert reasons(plan)["Model"] == "ModelNameTaken"
    assert root(plan, now) == "Failed"


def test_an_image_that_is_none_makes_no_model(observed: Maker, service_manifest: Maker, now: datetime) -> None:
    broken = plan_service(observed(service=service_manifest(model={"image": "registry/aim:"})), now)
    assert reasons(broken)["Model"] == "InvalidImageReference"
    assert root(broken, now) == "Failed"


def test_image_with_several_models_is_decided(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-MDL-3."""
    models = [model("b"), model("a"), model("c", namespace=""), model("never", status="Pending")]
    manifest = service_manifest(model={"image": "registry/aim:1"})
    plan = plan_service(observed(service=manifest, models=models), now)
    assert plan.status["resolvedModel"]["name"] == "a"


def test_a_custom_model_matches_by_sources_and_hardware(
    observed: Maker, service_manifest: Maker, model: Maker, now: datetime
) -> None:
    """Prove SVC-MDL-5."""
    source = {"modelId": "a/b", "sourceUri": "hf://a/b"}
    custom = {"baseImage": "base:1", "modelSources": [source], "hardware": {"gpu": {"requests": 1}}}
    manifest = service_manifest(model={"custom": custom})
    same = {"image": "base:1", "modelSources": [source]}
    fits = model("fits", **same, custom={"hardware": {"gpu": {"requests": 1}}})
    larger = model("a-larger", **same, custom={"hardware": {"gpu": {"requests": 2}}})
    elsewhere = {**source, "env": [{"name": "AWS_ENDPOINT_URL", "value": "https://x"}]}
    other = model("a-other", image="base:1", modelSources=[elsewhere], custom={"hardware": {"gpu": {"requests": 1}}})
    plan = plan_service(observed(service=manifest, models=[larger, other, fits]), now)
    assert plan.status["resolvedModel"]["name"] == "fits"
    without = plan_service(observed(service=manifest, models=[larger, other]), now)
    assert "resolvedModel" not in without.status
    message = "No model with base image base:1 and the sources and hardware of the service exists"
    assert component(without, "Model").message.startswith(message), "one with other hardware does exist"


def test_the_remembered_model_stays_while_ready(
    observed: Maker, service_manifest: Maker, model: Maker, now: datetime
) -> None:
    """Prove SVC-MDL-1."""
    stored = {"resolvedModel": {"name": "qwen", "scope": "Cluster"}}
    fields = {"service": service_manifest(status=stored)}
    plan = plan_service(observed(models=[model(), model(namespace="")], **fields), now)
    assert plan.status["resolvedModel"]["scope"] == "Cluster"
    plan = plan_service(observed(models=[model(), model(namespace="", status="Failed")], **fields), now)
    assert plan.status["resolvedModel"]["scope"] == "Namespace"


@pytest.mark.parametrize(
    ("model_ready", "running", "chosen"),
    [("False", False, "better"), ("True", False, "first"), (None, False, "first"), ("False", True, "first")],
)
def test_what_was_chosen_before_the_model_was_ready_is_chosen_anew(
    observed: Maker,
    service_manifest: Maker,
    model: Maker,
    template: Maker,
    now: datetime,
    model_ready: str | None,
    running: bool,
    chosen: str,
) -> None:
    """Prove SVC-TPL-2."""
    condition = {"type": "ModelReady", "status": model_ready, "reason": "x", "lastTransitionTime": ""}
    stored = {
        "resolvedTemplate": {"name": "first", "scope": "Namespace"},
        "conditions": [condition] if model_ready else [],
    }
    profiles = {"first": "MI300X", "better": "MI350X"}
    templates = [
        template(name, profile={"gpu": gpu, "type": "optimized"}, hardware={"gpu": {"model": gpu}})
        for name, gpu in profiles.items()
    ]
    live = {"metadata": {"name": "x"}} if running else None
    plan = plan_service(
        observed(
            service=service_manifest(status=stored), models=[model()], templates=templates, inference_service=live
        ),
        now,
    )
    assert plan.status["resolvedTemplate"]["name"] == chosen


@pytest.mark.parametrize(
    ("status", "named", "fetched"),
    [("Ready", False, True), ("Progressing", False, False), ("Progressing", True, True), ("Pending", False, False)],
)
def test_weights_are_not_fetched_for_a_choice_that_may_change(
    observed: Maker,
    service_manifest: Maker,
    model: Maker,
    template: Maker,
    now: datetime,
    status: str,
    named: bool,
    fetched: bool,
) -> None:
    """Prove SVC-CCH-5."""
    manifest = service_manifest(template={"name": "qwen-latency"}) if named else service_manifest()
    plan = plan_service(observed(service=manifest, models=[model(status=status)], templates=[template()]), now)
    assert ("AIMTemplateCache" in {desired.kind.name for desired in plan.desired}) is fetched


@pytest.mark.parametrize(
    ("status", "state"), [("Progressing", "Pending"), ("Pending", "Pending"), ("Failed", "Failed")]
)
def test_models_that_are_not_ready(
    observed: Maker, model: Maker, template: Maker, now: datetime, status: str, state: str
) -> None:
    plan = plan_service(observed(models=[model(status=status)], templates=[template()]), now)
    assert reasons(plan)["Model"] == "ModelNotReady"
    assert root(plan, now) == state


@pytest.mark.parametrize(
    ("status", "state"),
    [("Pending", "Pending"), ("Progressing", "Pending"), ("NotAvailable", "Pending"), ("Failed", "Failed")],
)
def test_named_templates_that_are_not_ready(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime, status: str, state: str
) -> None:
    manifest = service_manifest(template={"name": "qwen-latency"})
    plan = plan_service(observed(service=manifest, models=[model()], templates=[template(status=status)]), now)
    assert reasons(plan)["Template"] == "TemplateNotReady"
    assert root(plan, now) == state


def test_a_named_template_that_is_missing(
    observed: Maker, service_manifest: Maker, model: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-4."""
    manifest = service_manifest(template={"name": "gone"})
    plan = plan_service(observed(service=manifest, models=[model()]), now)
    assert reasons(plan)["Template"] == "TemplateNotFound"
    assert "AIMServiceTemplate ml-team/gone" in component(plan, "Template").effective_message
    assert root(plan, now) == "Failed"


def test_automatic_selection_without_a_result_is_pending(
    observed: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-4."""
    none = plan_service(observed(models=[model()]), now)
    assert (reasons(none)["Template"], root(none, now)) == ("TemplateNotFound", "Pending")
    failed = plan_service(observed(models=[model()], templates=[template(status="Failed")]), now)
    assert (reasons(failed)["Template"], root(failed, now)) == ("TemplateNotReady", "Pending")
    tied = plan_service(observed(models=[model()], templates=[template("a"), template("b")]), now)
    assert (reasons(tied)["Template"], root(tied, now)) == ("TemplateSelectionAmbiguous", "Pending")


def test_a_template_of_another_model_is_refused(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-5."""
    manifest = service_manifest(template={"name": "foreign"})
    foreign = template("foreign", modelName="other")
    fields = {"service": manifest, "templates": [foreign]}
    different = plan_service(observed(models=[model(), model("other", image="x:1")], **fields), now)
    assert (reasons(different)["Template"], root(different, now)) == ("TemplateModelMismatch", "Failed")
    twin = plan_service(observed(models=[model(), model("other")], **fields), now)
    assert reasons(twin)["Template"] == "Resolved"
    unknown = plan_service(observed(models=[model()], **fields), now)
    assert reasons(unknown)["Template"] == "Resolved"


def test_a_template_by_its_alias(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-3."""
    manifest = service_manifest(template={"name": "short"})
    aliased = template("generated-name-1234", labels={"aim.eai.amd.com/template.alias": "short"})
    plan = plan_service(observed(service=manifest, models=[model()], templates=[aliased]), now)
    assert plan.status["resolvedTemplate"]["name"] == "generated-name-1234"


def test_names_that_kserve_refuses_are_an_invalid_spec(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-NAM-1."""
    plan = plan_service(observed(service=service_manifest("9-lives"), models=[model()], templates=[template()]), now)
    assert root(plan, now) == "Failed"
    assert reasons(plan)["InferenceService"] == "InvalidSpec"
    assert not may_apply(plan.components)


def test_a_missing_named_runtime_config(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove CFG-FND-2."""
    manifest = service_manifest(runtimeConfigName="team-config")
    plan = plan_service(observed(service=manifest, models=[model()], templates=[template()]), now)
    assert reasons(plan)["RuntimeConfig"] == "ReferenceNotFound"
    assert not may_apply(plan.components)
    assert root(plan, now) == "Failed"


def test_kinds_that_are_not_installed(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-ORD-4."""
    fields = {"models": [model()], "templates": [template(sources=False)]}
    absent = frozenset({"InferenceService", "HTTPRoute"})
    plan = plan_service(observed(service=service_manifest(routing=GATEWAY), absent_kinds=absent, **fields), now)
    assert kinds(plan) == []
    assert "KServe is not installed" in component(plan, "InferenceService").message
    assert "Gateway API is not installed" in component(plan, "HTTPRoute").message
    assert plan.requeue_after is None, "the runtime wakes everybody when a kind comes"


def test_a_lost_cache_degrades_and_is_made_again(serving: Maker, service_manifest: Maker, now: datetime) -> None:
    """Prove SVC-CCH-9 and SVC-VOL-2."""
    plan = plan_service(serving(caches=[]), now)
    assert (reasons(plan)["Cache"], root(plan, now)) == ("CacheLost", "Degraded")
    assert kinds(plan) == ["AIMTemplateCache", "InferenceService"]
    claims = [
        v for v in rendered(plan, "InferenceService")["spec"]["predictor"]["volumes"] if "persistentVolumeClaim" in v
    ]
    assert len(claims) == 1
    dedicated = service_manifest(caching={"mode": "Dedicated"})
    lost = plan_service(serving(caches=[]), now)
    own = plan_service(serving(caches=[], inference_service=serving().inference_service), now)
    assert kinds(lost) == kinds(own)
    ours = serving().inference_service
    plan = plan_service(_with(serving(caches=[]), dedicated, ours), now)
    assert (reasons(plan)["Cache"], root(plan, now)) == ("CacheCreating", "Degraded")


def _with(observed: ObservedService, manifest: Manifest, inference_service: Manifest | None) -> ObservedService:
    service = AIMService.model_validate(manifest)
    return replace(observed, service=service, manifest=manifest, inference_service=inference_service)


def test_a_failed_cache_degrades_a_service_that_serves(serving: Maker, cache: Maker, now: datetime) -> None:
    """Prove SVC-CCH-9."""
    plan = plan_service(serving(caches=[cache(status="Failed")]), now)
    assert (reasons(plan)["Cache"], root(plan, now)) == ("CacheFailed", "Degraded")


@pytest.mark.parametrize("change", ["template-missing", "template-not-ready", "model-missing", "model-failed"])
def test_a_running_service_outlives_its_inputs(
    serving: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime, change: str
) -> None:
    """Grace, then Degraded, never worse; the InferenceService stays as it is (SVC-TPL-6, SVC-ORD-3)."""
    changed = {
        "template-missing": {"templates": []},
        "template-not-ready": {"templates": [template(status="NotAvailable")]},
        "model-missing": {"models": []},
        "model-failed": {"models": [model(status="Failed")]},
    }[change]
    part = change.partition("-")[0].capitalize()
    stored = {"resolvedTemplate": {"name": "qwen-latency", "scope": "Namespace"}, "status": "Running"}
    named = service_manifest(template={"name": "qwen-latency"}, status=stored)
    before = serving(service=named)
    observed = serving(service=named, inference_service=before.inference_service, **changed)
    plan = plan_service(observed, now)
    assert may_apply(plan.components)
    assert root(plan, now) == "Running"
    assert plan.requeue_after == 10
    condition = next(item for item in summary(plan, now).conditions if item.type == f"{part}Ready")
    assert condition.status == "False"

    def seen(seconds: int, word: str) -> dict[str, Any]:
        since = (now - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [{"type": f"{part}Ready", "status": "False", "reason": "x", "lastTransitionTime": since}]
        manifest: Manifest = service_manifest(
            template={"name": "qwen-latency"}, status={**stored, "status": word, "conditions": conditions}
        )
        return manifest

    within = plan_service(_with(observed, seen(4, "Running"), observed.inference_service), now)
    assert (root(within, now), within.requeue_after) == ("Running", 6)
    after = plan_service(_with(observed, seen(11, "Running"), observed.inference_service), now)
    assert (root(after, now), after.requeue_after) == ("Degraded", None)
    later = plan_service(_with(observed, seen(1, "Degraded"), observed.inference_service), now)
    assert root(later, now) == "Degraded"
    if part == "Model":
        live = observed.inference_service
        assert rendered(after, "InferenceService")["spec"] == live["spec"]
    else:
        assert kinds(after) == []


def test_a_running_service_keeps_its_chosen_template(
    serving: Maker, service_manifest: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-1 and SVC-TPL-7."""
    stored = {"resolvedTemplate": {"name": "qwen-latency", "scope": "Namespace"}}
    manifest = service_manifest(status=stored)
    origin = {"aim.eai.amd.com/origin": "auto-generated"}
    mine = template(profile={"type": "unoptimized"}, labels=origin)
    better = template("better", profile={"type": "optimized"}, labels=origin)
    plan = plan_service(serving(service=manifest, templates=[mine, better]), now)
    assert plan.status["resolvedTemplate"]["name"] == "qwen-latency"
    assert root(plan, now) == "Degraded"
    assert component(plan, "Template").effective_state is State.READY
    alone = plan_service(serving(service=manifest, templates=[mine]), now)
    assert root(alone, now) == "Running"
    assert "unoptimized" in component(alone, "Template").message


def test_pods_decide_while_the_inference_service_is_not_ready(serving: Maker, now: datetime) -> None:
    waiting = serving(isvc_status={}, pods=[])
    assert (reasons(plan_service(waiting, now))["InferenceServicePods"], root(plan_service(waiting, now), now)) == (
        "NoPods",
        "Starting",
    )
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}]
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": conditions}}
    unschedulable = plan_service(serving(isvc_status={}, pods=[pod]), now)
    assert reasons(unschedulable)["InferenceServicePods"] == "FailedScheduling"
    assert root(unschedulable, now) == "Pending"
    running = {"metadata": {"name": "p"}, "status": {"phase": "Running"}}
    assert root(plan_service(serving(isvc_status={}, pods=[running]), now), now) == "Starting"


def test_trouble_of_children_never_blocks(serving: Maker, now: datetime) -> None:
    """Prove SVC-ORD-1."""
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "unauthorized"}}
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Pending", "containerStatuses": [{"state": waiting}]}}
    plan = plan_service(serving(isvc_status={}, pods=[pod]), now)
    assert reasons(plan)["InferenceServicePods"] == "ImagePullAuthFailure"
    assert root(plan, now) == "Failed"
    assert may_apply(plan.components)
    assert kinds(plan) == ["InferenceService"]


def test_a_bad_pod_beside_a_ready_one_degrades(serving: Maker, now: datetime) -> None:
    """Prove SVC-HLT-1."""
    good = {
        "metadata": {"name": "good", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}
    bad = {
        "metadata": {"name": "bad", "creationTimestamp": "2026-01-01T01:00:00Z"},
        "status": {"phase": "Pending", "containerStatuses": [{"state": waiting}]},
    }
    plan = plan_service(serving(pods=[good, bad]), now)
    assert component(plan, "InferenceServicePods").effective_state is State.READY
    assert root(plan, now) == "Degraded"


def test_kserve_events_count_only_while_they_are_news(serving: Maker, now: datetime) -> None:
    """Prove SVC-HLT-2."""

    def event(minutes: float, message: str = "boom") -> dict[str, Any]:
        moment = (now - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"uid": "uid-InferenceService"}
        return {
            "type": "Warning",
            "reason": "InternalError",
            "message": message,
            "involvedObject": about,
            "lastTimestamp": moment,
        }

    def state(events: Any, status: Any = None) -> str:
        observed = serving(isvc_status=status or {}, pods=[], inference_service_events=events)
        return reasons(plan_service(observed, now))["InferenceService"]

    assert state([event(1)]) == "InternalError"
    assert state([{**event(60), "reason": "ServerlessModeRejected"}]) == "ServerlessModeRejected"
    assert state([event(6)]) == "CreatingRuntime"
    assert state([event(1, "the object has been modified")]) == "CreatingRuntime"
    assert state([event(1)], READY) == "RuntimeReady"
    newer = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T11:59:59Z"}]}
    assert state([event(1)], newer) == "CreatingRuntime"


def test_scaling_keeps_a_service_that_served_running(serving: Maker, service_manifest: Maker, now: datetime) -> None:
    """Prove SVC-HLT-3."""
    stored = {"conditions": [{"type": "InferenceServiceReady", "status": "True", "reason": "RuntimeReady"}]}
    plan = plan_service(serving(service=service_manifest(status=stored), isvc_status={}), now)
    assert (reasons(plan)["InferenceService"], root(plan, now)) == ("RuntimeScaling", "Running")
    first = plan_service(serving(isvc_status={}), now)
    assert (reasons(first)["InferenceService"], root(first, now)) == ("CreatingRuntime", "Starting")


WORDS = st.sampled_from(["Ready", "Progressing", "Pending", "Failed", "Degraded", "NotAvailable", "", "Nonsense"])


@given(words=st.tuples(WORDS, WORDS, WORDS), exists=st.tuples(*[st.booleans()] * 4), named=st.booleans())
def test_no_path_leaves_the_words_of_the_schema(
    words: tuple[str, str, str], exists: tuple[bool, ...], named: bool
) -> None:
    """Prove SVC-STA-1."""

    def metadata(name: str) -> dict[str, Any]:
        return {"name": name, "namespace": "ns", "uid": name}

    manifest = {
        "metadata": metadata("s"),
        "spec": {"model": {"name": "m"}, **({"template": {"name": "t"}} if named else {}), "routing": GATEWAY},
    }
    model = AIMModel.model_validate({"metadata": metadata("m"), "spec": {"image": "i"}, "status": {"status": words[0]}})
    template = AIMServiceTemplate.model_validate(
        {"metadata": metadata("t"), "spec": {"modelName": "m"}, "status": {"status": words[1]}}
    )
    cache = AIMTemplateCache.model_validate(
        {
            "metadata": metadata("c"),
            "spec": {"templateName": "t", "templateScope": "Namespace", "mode": "Shared"},
            "status": {"status": words[2]},
        }
    )
    observed = ObservedService(
        AIMService.model_validate(manifest),
        manifest,
        ResolvedConfig(),
        models=[model] if exists[0] else [],
        templates=[template] if exists[1] else [],
        caches=[cache] if exists[2] else [],
        inference_service={"metadata": {**metadata("i")}, "spec": {}} if exists[3] else None,
    )
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    plan = plan_service(observed, moment)
    state = summary(plan, moment).state
    assert state in (State.PENDING, State.STARTING, State.PROGRESSING, State.READY, State.DEGRADED, State.FAILED)
    assert plan == plan_service(observed, moment)
    names = [component.name for component in plan.components]
    assert len(names) == len(set(names))


def test_conditions_of_switched_off_parts_go(serving: Maker, now: datetime) -> None:
    """Prove SVC-DEL-1."""
    stored = [Condition("HTTPRouteReady", "False", "HTTPRoutePending", ""), Condition("HPAReady", "False", "x", "")]
    plan = plan_service(serving(), now)
    assert {item.type for item in summary(plan, now, stored).conditions}.isdisjoint({"HTTPRouteReady", "HPAReady"})
