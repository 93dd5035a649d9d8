"""Makers of the objects that planning a service looks at; each takes what a test cares about."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.runtime_config import AIMRuntimeConfig
from aimd.api.service import AIMService
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.runtime_config import resolve_config
from aimd.planning.service.observed import ObservedService
from aimd.planning.service.plan import plan_service
from aimd.runtime.objects import Manifest
from tests.unit.planning.service.makers import Maker
from tests.unit.planning.service.plans import READY, rendered

NAMESPACE = "ml-team"
UID = "11111111-2222-3333-4444-555555555555"


def _metadata(name: str, namespace: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}", "labels": labels or {}, "generation": 1}
    return {**metadata, "namespace": namespace} if namespace else metadata


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def service_manifest() -> Maker:
    def make(
        name: str = "qwen-chat",
        *,
        namespace: str = NAMESPACE,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        status: dict[str, Any] | None = None,
        **spec: Any,
    ) -> dict[str, Any]:
        metadata = {**_metadata(name, namespace, labels), "uid": UID, "annotations": annotations or {}}
        return {
            "apiVersion": "aim.eai.amd.com/v1alpha1",
            "kind": "AIMService",
            "metadata": metadata,
            "spec": {"model": {"name": "qwen"}, "replicas": 1, **spec},
            "status": status or {},
        }

    return make


@pytest.fixture
def service(service_manifest: Maker) -> Maker:
    return lambda *args, **kwargs: AIMService.model_validate(service_manifest(*args, **kwargs))


@pytest.fixture
def model() -> Maker:
    def make(name: str = "qwen", *, namespace: str = NAMESPACE, status: str = "Ready", **spec: Any) -> Any:
        kind = AIMModel if namespace else AIMClusterModel
        manifest = {
            "metadata": _metadata(name, namespace),
            "spec": {"image": "registry/aim:1", **spec},
            "status": {"status": status},
        }
        return kind.model_validate(manifest)

    return make


@pytest.fixture
def template() -> Maker:
    def make(
        name: str = "qwen-latency",
        *,
        namespace: str = NAMESPACE,
        status: str = "Ready",
        labels: dict[str, str] | None = None,
        profile: dict[str, Any] | None = None,
        sources: bool = True,
        status_fields: dict[str, Any] | None = None,
        **spec: Any,
    ) -> Any:
        kind = AIMServiceTemplate if namespace else AIMClusterServiceTemplate
        weights = [{"modelId": "Qwen/Qwen3", "sourceUri": "hf://Qwen/Qwen3"}] if sources else []
        manifest = {
            "metadata": _metadata(name, namespace, labels),
            "spec": {"modelName": "qwen", **spec},
            "status": {
                "status": status,
                "modelSources": weights,
                **({"profile": {"metadata": profile}} if profile is not None else {}),
                **(status_fields or {}),
            },
        }
        return kind.model_validate(manifest)

    return make


@pytest.fixture
def cache() -> Maker:
    def make(
        name: str = "qwen-latency-a04542d9",
        *,
        status: str = "Ready",
        mode: str = "Shared",
        template: str = "qwen-latency",
        scope: str = "Namespace",
        owner: str = "",
        labels: dict[str, str] | None = None,
        artifacts: dict[str, Any] | None = None,
    ) -> Any:
        metadata = _metadata(name, NAMESPACE, labels)
        if owner:
            metadata["ownerReferences"] = [{"uid": owner, "kind": "AIMService", "name": "x", "controller": True}]
        default = {
            "a": {
                "name": "hf---qwen-c0",
                "uid": "u",
                "model": "Qwen/Qwen3",
                "status": "Ready",
                "persistentVolumeClaim": "pvc-a",
            }
        }
        manifest = {
            "metadata": metadata,
            "spec": {"templateName": template, "templateScope": scope, "mode": mode},
            "status": {"status": status, "artifacts": default if artifacts is None else artifacts},
        }
        return AIMTemplateCache.model_validate(manifest)

    return make


@pytest.fixture
def observed(service_manifest: Maker) -> Maker:
    """`observed(service={…}, config={…}, **fields)`: a service and what is around it."""

    def make(
        *, service: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **fields: Any
    ) -> ObservedService:
        manifest = service if service is not None else service_manifest()
        runtime_config = None
        if config is not None:
            metadata = _metadata("default", NAMESPACE)
            runtime_config = AIMRuntimeConfig.model_validate({"metadata": metadata, "spec": config})
        name = manifest["spec"].get("runtimeConfigName", "")
        resolved = resolve_config(name, runtime_config, None, namespace=NAMESPACE)
        return ObservedService(AIMService.model_validate(manifest), manifest, resolved, **fields)

    return make


@pytest.fixture
def live() -> Maker:
    """`live(desired)`: a rendered object as the API server would show it, with the given status."""

    def make(manifest: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
        metadata = {**manifest["metadata"], "uid": f"uid-{manifest['kind']}", "generation": 1}
        return {**manifest, "metadata": metadata, "status": status or {}}

    return make


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
