"""Caches, artifacts and templates for tests."""

from datetime import UTC, datetime
from typing import Any

from aimd.api.artifact import AIMArtifact
from aimd.api.service_template import AIMServiceTemplate
from aimd.api.shared import ModelSource
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.conditions import Summary, summarize
from aimd.planning.plan import Plan
from aimd.planning.template_cache.plan import (
    ObservedTemplateCache,
    plan_template_cache,
)
from aimd.runtime.objects import Applied

NOW = datetime(2026, 1, 1, tzinfo=UTC)


URI = "hf://Qwen/Qwen3-32B"


TOKEN = {"name": "HF_TOKEN", "value": "my-token"}


def cache(name: str = "my-cache", labels: dict[str, str] | None = None, **spec: Any) -> AIMTemplateCache:
    return AIMTemplateCache.model_validate(
        {
            "metadata": {"name": name, "namespace": "ml-team", "uid": f"uid-{name}", "labels": labels or {}},
            "spec": {"templateName": "llama", "templateScope": "Namespace", **spec},
        }
    )


def source(uri: str = URI, model: str = "Qwen/Qwen3-32B", **fields: Any) -> ModelSource:
    return ModelSource.model_validate({"sourceUri": uri, "modelId": model, **fields})


def artifact(name: str = "a", status: str = "Ready", uri: str = URI, **changes: Any) -> AIMArtifact:
    metadata = {"name": name, "namespace": "ml-team", "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    shown: dict[str, Any] = {}
    if status:
        shown = {"status": status, "persistentVolumeClaim": f"{name}-claim"}
        ready = "True" if status == "Ready" else "False"
        shown["conditions"] = [{"type": "Ready", "status": ready, "reason": f"Because{status}", "message": "so"}]
    return AIMArtifact.model_validate(
        {
            "metadata": metadata | changes.pop("metadata", {}),
            "spec": {"sourceUri": uri, **changes.pop("spec", {})},
            "status": shown | changes.pop("status_fields", {}),
        }
    )


def template(status: str = "Ready", sources: list[ModelSource] | None = None, **fields: Any) -> AIMServiceTemplate:
    ready = "True" if status == "Ready" else "False"
    conditions = [{"type": "Ready", "status": ready, "reason": f"Template{status}", "message": "m"}]
    listed = [item.manifest() for item in (sources if sources is not None else [source()])]
    return AIMServiceTemplate.model_validate(
        {
            "metadata": {"name": "llama", "namespace": "ml-team"},
            "status": {"status": status, "conditions": conditions, "modelSources": listed, **fields},
        }
    )


def settle(observed: ObservedTemplateCache) -> tuple[Plan, Summary]:
    plan = plan_template_cache(observed, NOW)
    return plan, summarize(plan.components, applied=Applied(), previous=(), generation=1, now=NOW)


def condition(summary: Summary, type_: str) -> tuple[str, str]:
    return next((c.status, c.reason) for c in summary.conditions if c.type == type_)


HF_SECRET = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"key": "token", "name": "huggingface-creds"}}}
