"""Which cache a service uses, how a new one looks, and what is added to one that failed."""

from datetime import datetime
from typing import Any

import pytest

from aimd.planning.component import State
from aimd.planning.service.caching import amended_cache, find_cache
from aimd.planning.service.plan import plan_service
from aimd.runtime.objects import Manifest
from tests.unit.planning.service.makers import Maker
from tests.unit.planning.service.plans import component, kinds, reasons, rendered, root, with_service


def test_the_remembered_cache_stays_while_ready_else_the_best_is_used(
    service: Maker, template: Maker, cache: Maker
) -> None:
    """Prove SVC-CCH-2."""
    remembered = service(status={"cache": {"templateCacheRef": {"name": "second"}}})
    first, second = cache("first", status="Ready"), cache("second", status="Ready")
    assert find_cache(remembered, template(), [first, second]) == second
    failed = cache("second", status="Failed")
    assert find_cache(remembered, template(), [failed, first]) == first
    other = cache("other", template="another"), cache("cluster", scope="Cluster"), cache("own", mode="Dedicated")
    assert find_cache(service(), template(), other) is None
    ending = {
        **first.manifest(),
        "metadata": {**first.manifest()["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"},
    }
    assert find_cache(service(), template(), [type(first).model_validate(ending)]) is None


def test_a_dedicated_cache_is_used_by_its_owner_only(service: Maker, template: Maker, cache: Maker) -> None:
    """Prove SVC-CCH-3."""
    dedicated = service(caching={"mode": "Dedicated"})
    own = cache("own", mode="Dedicated", owner=dedicated.metadata.uid)
    foreign = cache("foreign", mode="Dedicated", owner="another-service")
    assert find_cache(dedicated, template(), [foreign, own]) == own
    assert find_cache(dedicated, template(), [foreign]) is None


def test_any_service_adds_to_a_failed_cache_and_only_its_maker_changes_it(
    service: Maker, template: Maker, cache: Maker
) -> None:
    """Prove SVC-CCH-7."""

    def amended(maker: str, status: str = "Failed", by: str = "aim-service-controller") -> list[dict[str, Any]] | None:
        labels = {"aim.eai.amd.com/service": maker, "app.kubernetes.io/managed-by": by} if maker else {}
        made = cache(status=status, labels=labels).manifest()
        made["spec"]["env"] = [{"name": "PRESENT", "value": "old"}]
        env = [{"name": "PRESENT", "value": "new"}, {"name": "TOKEN", "value": "t"}]
        desired = amended_cache(service(env=env), template(), type(cache()).model_validate(made))
        return desired.manifest["spec"]["env"] if desired is not None else None

    token = {"name": "TOKEN", "value": "t"}
    assert amended("qwen-chat") == [{"name": "PRESENT", "value": "new"}, token]
    assert amended("another") == [{"name": "PRESENT", "value": "old"}, token]
    assert amended("") is None, "somebody made it by hand"
    assert amended("qwen-chat", by="Helm") is None, "somebody made it by hand, with our label (OBJ-OWN-2)"
    assert amended("qwen-chat", status="Progressing") is None


def test_the_cache_carries_layered_env_and_labels(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-CCH-6 and SVC-CCH-10."""

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


def test_weights_inside_the_image_need_no_cache(observed: Maker, model: Maker, template: Maker, now: datetime) -> None:
    """Prove SVC-CCH-8."""
    plan = plan_service(observed(models=[model()], templates=[template(sources=False)]), now)
    assert kinds(plan) == ["InferenceService"]
    assert reasons(plan)["Cache"] == "CacheNotRequired"
    assert component(plan, "Cache").effective_state is State.READY


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
    plan = plan_service(with_service(serving(caches=[]), dedicated, ours), now)
    assert (reasons(plan)["Cache"], root(plan, now)) == ("CacheCreating", "Degraded")


def test_a_failed_cache_degrades_a_service_that_serves(serving: Maker, cache: Maker, now: datetime) -> None:
    """Prove SVC-CCH-9."""
    plan = plan_service(serving(caches=[cache(status="Failed")]), now)
    assert (reasons(plan)["Cache"], root(plan, now)) == ("CacheFailed", "Degraded")


TUNED = [{"modelId": "my-org/tuned", "sourceUri": "hf://my-org/tuned"}]
PROFILE = {
    "aimId": "meta-llama/Llama-3-8B",
    "modelId": "meta-llama/Llama-3-8B",
    "metric": "latency",
    "precision": "fp16",
    "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
    "customProfile": {},
    "modelSources": TUNED,
}


def test_a_cache_without_the_weights_of_the_profile_is_waited_for(
    observed: Maker, model: Maker, template: Maker, cache: Maker, now: datetime
) -> None:
    """Prove SVC-VOL-4."""
    fields = {"models": [model()], "templates": [template(**PROFILE)]}
    plan = plan_service(observed(**fields, caches=[cache()]), now)
    assert component(plan, "Cache").state is State.PROGRESSING
    assert "does not hold model my-org/tuned" in component(plan, "Cache").message
    assert "InferenceService" not in kinds(plan)
    own = cache().manifest()
    own["spec"]["modelSources"] = [*TUNED, {"modelId": "my-org/lora", "sourceUri": "hf://my-org/lora"}]
    plan = plan_service(observed(**fields, caches=[type(cache()).model_validate(own)]), now)
    assert "set modelId of the template to one of their modelId" in component(plan, "Cache").message


def test_a_running_service_keeps_its_settings_until_new_weights_are_there(
    serving: Maker, template: Maker, cache: Maker, live: Maker, now: datetime
) -> None:
    """Prove SVC-VOL-5: neither InferenceService nor profile change, because new pods would load other weights."""
    tuned = {"model": "my-org/tuned", "status": "Ready", "persistentVolumeClaim": "pvc-tuned", "name": "tuned"}
    first = {"templates": [template(**PROFILE)], "caches": [cache(artifacts={"tuned": tuned})]}
    before = plan_service(serving(**first), now)
    assert kinds(before) == ["ConfigMap", "InferenceService"]
    mounts = rendered(before, "InferenceService")["spec"]["predictor"]["containers"][0]["volumeMounts"]
    assert {"/workspace/cache/my-org/tuned", "/workspace/cache/meta-llama/Llama-3-8B"} < {
        mount["mountPath"] for mount in mounts
    }
    running = {
        "inference_service": live(rendered(before, "InferenceService")),
        "profile_config_map": live(rendered(before, "ConfigMap")),
    }
    next_sources = [{"modelId": "my-org/next", "sourceUri": "hf://my-org/next"}]
    for edited in (template(modelSources=next_sources), template(**{**PROFILE, "modelId": "meta-llama/Llama-3-70B"})):
        coming = cache(status="Progressing", artifacts={})
        plan = plan_service(serving(**running, templates=[edited], caches=[coming]), now)
        assert kinds(plan) == []
        assert not plan.deletions
        assert component(plan, "Cache").state is State.DEGRADED
    done = {"next": {**tuned, "model": "my-org/next", "persistentVolumeClaim": "pvc-next", "name": "next"}}
    plan = plan_service(
        serving(**running, templates=[template(modelSources=next_sources)], caches=[cache(artifacts=done)]), now
    )
    assert kinds(plan) == ["InferenceService"]
    assert [deletion.kind.name for deletion in plan.deletions] == ["ConfigMap"]
    container = rendered(plan, "InferenceService")["spec"]["predictor"]["containers"][0]
    assert {"name": "next", "mountPath": "/workspace/cache/my-org/next", "readOnly": True} in container["volumeMounts"]
