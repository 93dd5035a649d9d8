"""Models and templates for tests."""

from datetime import UTC, datetime
from typing import Any

from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate, AnyServiceTemplate
from aimd.planning.conditions import Summary, summarize
from aimd.planning.model.observed import ObservedModel
from aimd.planning.model.plan import plan_model
from aimd.runtime.objects import Applied

NOW = datetime(2026, 1, 1, tzinfo=UTC)


METADATA = {"model": {"canonicalName": "Qwen/Qwen3-32B"}}


RECOMMENDED = {"model": {"recommendedDeployments": [{"gpuModel": "MI300X", "gpuCount": 1}]}}


SOURCES = [{"modelId": "a/b", "sourceUri": "hf://a/b"}]


def model(status: dict[str, Any] | None = None, **spec: Any) -> AIMModel:
    return AIMModel.model_validate(
        {
            "metadata": {"name": "m", "namespace": "ml-team"},
            "spec": {"image": "img:1", **spec},
            "status": status or {},
        }
    )


def cluster_model(**spec: Any) -> AIMClusterModel:
    return AIMClusterModel.model_validate({"metadata": {"name": "m"}, "spec": {"image": "img:1", **spec}})


def templates(*words: str, cluster: bool = False) -> list[AnyServiceTemplate]:
    kind = AIMClusterServiceTemplate if cluster else AIMServiceTemplate
    return [kind.model_validate({"metadata": {"name": f"t{i}"}, "status": {"status": w}}) for i, w in enumerate(words)]


def settle(observed: ObservedModel) -> Summary:
    plan = plan_model(observed, NOW)
    extra = plan.extra_conditions
    return summarize(plan.components, applied=Applied(), previous=(), generation=1, now=NOW, extra_conditions=extra)


def condition(summary: Summary, type_: str) -> tuple[str, str]:
    return next((c.status, c.reason) for c in summary.conditions if c.type == type_)
