"""What a template's plan is based on. The store is the real one, filled by hand."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from aimd.api.service_template import AIMServiceTemplate
from aimd.controllers.discovery_slots import DiscoverySlots
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.relation import Reader
from aimd.controllers.service_template import TEMPLATE_TIES, observe_template, service_template_controllers
from aimd.planning.kinds import AIM_TEMPLATE_CACHE
from aimd.planning.needs import Reads
from aimd.planning.service_template.plan import plan_service_template
from aimd.runtime.objects import Manifest
from aimd.runtime.store import Cache

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "spec", [{"templateName": "t", "templateScope": "Namespace"}, {"templateName": ["does not parse"]}]
)
def test_the_cache_of_a_template_is_in_its_status(
    build: Callable[..., KindReconciler[Any, Any]], spec: Manifest
) -> None:
    """Prove TPL-CCH-1."""
    cache = Cache()
    for definition in service_template_controllers(DiscoverySlots(cache, 1), "aim-system"):
        build(definition, cache)
    owner = {"apiVersion": "aim.eai.amd.com/v1alpha1", "kind": "AIMServiceTemplate", "name": "t", "uid": "tu"}
    metadata = {
        "name": "t",
        "namespace": "ns",
        "uid": "cu",
        "resourceVersion": "1",
        "ownerReferences": [{**owner, "controller": True}],
    }
    kind = {"apiVersion": AIM_TEMPLATE_CACHE.api_version, "kind": AIM_TEMPLATE_CACHE.name}
    cache[AIM_TEMPLATE_CACHE].upsert({**kind, "metadata": metadata, "spec": spec})
    template = AIMServiceTemplate.model_validate(
        {"metadata": {"name": "t", "namespace": "ns", "uid": "tu"}, "spec": {"modelName": "m"}}
    )
    observed = observe_template(template, Reader(cache), Reads(), TEMPLATE_TIES, "aim-system")
    assert plan_service_template(observed, NOW).status["resolvedCache"] == {
        "kind": "aim.eai.amd.com/v1alpha1/AIMTemplateCache",
        "name": "t",
        "namespace": "ns",
        "scope": "Namespace",
        "uid": "cu",
    }
