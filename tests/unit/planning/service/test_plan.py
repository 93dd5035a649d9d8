"""The whole decision: what is rendered in which order, and worked examples of states."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMModel
from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.component import State, may_apply
from aimd.planning.pod_rights import PodRights
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service.observed import ObservedService
from aimd.planning.service.plan import plan_service
from aimd.runtime.objects import Condition
from tests.unit.planning.service.makers import Maker
from tests.unit.planning.service.plans import GATEWAY, component, kinds, reasons, root, summary


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


SCOPES = ("service", "template", "model")
INSIDE = PodRights("ml-team", "ml-team", frozenset({"runner"}), frozenset({"token"}))


@pytest.mark.parametrize("named_by", ["service", "template", "model"])
@pytest.mark.parametrize(("account", "allowed"), [("manager", False), ("runner", True)])
def test_a_predictor_in_the_operators_namespace_borrows_no_account(
    named_by: str,
    account: str,
    allowed: bool,
    serving: Maker,
    service_manifest: Maker,
    model: Maker,
    template: Maker,
    now: datetime,
) -> None:
    """Prove OBJ-TEN-10."""
    given = {name: {"serviceAccountName": account} if name == named_by else {} for name in SCOPES}
    running = serving(service=service_manifest(**given["service"]))
    parts = {"models": [model(**given["model"])], "templates": [template(**given["template"])]}
    plan = plan_service(replace(running, rights=INSIDE, **parts), now)
    assert ("InferenceService" in kinds(plan)) is allowed
    assert (reasons(plan)["InferenceService"] == "ReferenceNotAllowed") is not allowed


@pytest.mark.parametrize(
    ("secret", "own", "allowed"), [("db", False, False), ("db", True, True), ("token", False, True)]
)
def test_a_cluster_template_brings_no_secret_of_the_operators_namespace(
    secret: str, own: bool, allowed: bool, serving: Maker, service_manifest: Maker, template: Maker, now: datetime
) -> None:
    """Prove OBJ-TEN-10: what the service itself names is the business of its namespace."""
    env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}}]
    running = serving(service=service_manifest(env=env if own else []))
    plan = plan_service(replace(running, rights=INSIDE, templates=[template(namespace="", env=env)]), now)
    assert ("InferenceService" in kinds(plan)) is allowed
