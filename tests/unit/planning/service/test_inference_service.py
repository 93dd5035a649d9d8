"""How the InferenceService is rendered."""

from datetime import datetime
from typing import Any

import pytest

from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate
from aimd.planning.kinds import AIM_SERVICE
from aimd.planning.service.inference_service import service_annotations
from aimd.planning.service.plan import plan_service
from aimd.runtime.objects import Manifest
from tests.unit.planning.service.makers import Maker
from tests.unit.planning.service.plans import kinds, rendered

SOURCE = [{"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny"}]


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
            "annotations": {
                "aim.eai.amd.com/model-id": "Qwen/Qwen3",
                "serving.kserve.io/autoscalerClass": "none",
            },
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
                            {"name": "hf---qwen-c0", "mountPath": "/workspace/cache/Qwen/Qwen3", "readOnly": True},
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


def test_annotations_about_access_are_copied() -> None:
    """Prove SVC-ANN-1."""
    given = {"cluster-auth/allowed-group": "ml", "cluster-auth/mode": "oidc", "note": "mine", "x-cluster-auth/a": "b"}
    service = AIMService.model_validate({"metadata": {"annotations": given}})
    assert service_annotations(service, AIMServiceTemplate()) == {
        "cluster-auth/allowed-group": "ml",
        "cluster-auth/mode": "oidc",
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"spec": {"modelId": "spec/model", "aimId": "spec/aim", "modelSources": SOURCE}}, "spec/model"),
        ({"spec": {"modelSources": SOURCE, "aimId": "spec/aim"}}, "acme/tiny"),
        ({"status": {"modelSources": SOURCE}, "spec": {"aimId": "spec/aim"}}, "acme/tiny"),
        ({"spec": {"aimId": "spec/aim"}, "status": {"profile": {"metadata": {"modelId": "found/model"}}}}, "spec/aim"),
        ({"status": {"profile": {"metadata": {"modelId": "found/model", "aimId": "found/aim"}}}}, "found/model"),
        ({"status": {"profile": {"metadata": {"aimId": "found/aim"}}}}, "found/aim"),
        ({}, None),
    ],
)
def test_the_served_model_is_named(fields: Manifest, expected: str | None) -> None:
    """Prove SVC-ANN-2."""
    template = AIMServiceTemplate.model_validate(fields)
    assert service_annotations(AIMService(), template).get("aim.eai.amd.com/model-id") == expected


def test_a_model_that_runs_unnamed_is_named_with_the_next_image(serving: Maker, model: Maker, now: datetime) -> None:
    """Prove SVC-ANN-2."""

    def named(**fields: Any) -> bool:
        annotations = rendered(plan_service(serving(**fields), now), "InferenceService")["metadata"]["annotations"]
        return "aim.eai.amd.com/model-id" in annotations

    unnamed = serving().inference_service
    assert named(inference_service=unnamed)
    del unnamed["metadata"]["annotations"]["aim.eai.amd.com/model-id"]
    assert not named(inference_service=unnamed)
    assert named(inference_service=unnamed, models=[model(image="registry/aim:2")])
