"""A service with what it uses: the model, templates, cache and runtime config, of either scope."""

from collections.abc import Sequence
from typing import Any

from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.service import AIMService
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service.observed import ObservedService
from aimd.planning.service.plan import plan_service
from tests.unit.planning.field_effects import NOW, Spec

NAMESPACE = "ml-team"
MODEL = "qwen"
TEMPLATE = "latency"
WEIGHTS = {"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny"}
LABELS = {"team": "search"}


def metadata(name: str, *, cluster: bool = False) -> dict[str, Any]:
    """Return the metadata of an object."""
    return {"name": name, "uid": f"uid-{name}", "labels": LABELS, **({} if cluster else {"namespace": NAMESPACE})}


def model(spec: Spec, *, cluster: bool = False) -> AIMModel | AIMClusterModel:
    """Return a Ready model."""
    kind = AIMClusterModel if cluster else AIMModel
    manifest = {"metadata": metadata(MODEL, cluster=cluster), "spec": {"image": "registry/aim:1", **spec}}
    return kind.model_validate({**manifest, "status": {"status": "Ready"}})


def template(
    spec: Spec, name: str = TEMPLATE, *, cluster: bool = False, new: bool = False
) -> AIMServiceTemplate | AIMClusterServiceTemplate:
    """Return a template of the model: Ready, or `new`, which no controller has looked at."""
    kind = AIMClusterServiceTemplate if cluster else AIMServiceTemplate
    manifest = {"metadata": metadata(name, cluster=cluster), "spec": {"modelName": MODEL, **spec}}
    found = {"status": "Ready", "modelSources": [WEIGHTS], "resolvedHardware": spec.get("hardware")}
    status = {} if new else found
    return kind.model_validate({**manifest, "status": status})


def cache(*, cluster: bool = False) -> AIMTemplateCache:
    """Return the Ready cache of the template."""
    artifact = {"name": "a", "uid": "u", "model": "acme/tiny", "status": "Ready", "persistentVolumeClaim": "pvc-a"}
    scope = "Cluster" if cluster else "Namespace"
    return AIMTemplateCache.model_validate(
        {
            "metadata": metadata("weights"),
            "spec": {"templateName": TEMPLATE, "templateScope": scope, "mode": "Shared"},
            "status": {"status": "Ready", "artifacts": {"a": artifact}},
        }
    )


def plan_serving(
    *,
    model: AIMModel | AIMClusterModel,
    templates: Sequence[AIMServiceTemplate | AIMClusterServiceTemplate],
    config: ResolvedConfig | None = None,
    caches: Sequence[AIMTemplateCache] = (),
    spec: Spec | None = None,
) -> Plan:
    """Plan a service of the model with these objects around it."""
    manifest = {
        "apiVersion": "aim.eai.amd.com/v1alpha1",
        "kind": "AIMService",
        "metadata": metadata("chat"),
        "spec": {"model": {"name": MODEL}, "replicas": 1, **(spec or {})},
    }
    observed = ObservedService(
        AIMService.model_validate(manifest),
        manifest,
        config or ResolvedConfig(),
        models=[model],
        templates=templates,
        caches=caches,
    )
    return plan_service(observed, NOW)
