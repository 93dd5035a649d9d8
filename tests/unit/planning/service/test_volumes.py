"""The volumes of the predictor."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.service_template import AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.objects import claim_of
from aimd.planning.service.volumes import (
    NONE,
    Volumes,
    cache_volumes,
    holds_weights,
    loaded_weights,
    mounts_cache,
    preserved_volumes,
    running_volumes,
    shared_memory,
    waits_for_weights,
    with_access,
)
from tests.unit.planning.service.makers import Maker


def test_cache_volumes_are_named_after_their_artifacts(cache: Maker) -> None:
    """Prove SVC-VOL-1."""
    artifacts = {
        "b": {
            "name": "hf---Qwen.b",
            "uid": "2",
            "model": "Qwen/../Qwen2",
            "status": "Ready",
            "persistentVolumeClaim": "p2",
        },
        "a": {"name": "a", "uid": "1", "model": "", "status": "Ready", "persistentVolumeClaim": "p1"},
        "c": {"name": "c", "uid": "3", "model": "x", "status": "Progressing", "persistentVolumeClaim": "p3"},
        "d": {"name": "d", "uid": "4", "model": "x", "status": "Ready"},
        "e": {
            "name": "e",
            "uid": "5",
            "model": "x",
            "status": "Ready",
            "persistentVolumeClaim": "p5",
            "mountPoint": "/w",
        },
    }
    found = cache_volumes(cache(artifacts=artifacts))
    assert [(item["name"], item["persistentVolumeClaim"]["claimName"]) for item in found.volumes] == [
        ("a", "p1"),
        ("hf---qwen-b", "p2"),
        ("e", "p5"),
    ]
    assert [item["mountPath"] for item in found.mounts] == [
        "/workspace/cache/a",
        "/workspace/cache/Qwen//Qwen2",
        "/w",
    ]


def existing(volumes: list[dict[str, Any]], mounts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"spec": {"predictor": {"volumes": volumes, "containers": [{"volumeMounts": mounts}]}}}


def test_a_running_predictor_keeps_its_volumes() -> None:
    """Prove SVC-VOL-2."""
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in ("one", "two")]
    mounts = [{"name": name, "mountPath": f"/workspace/cache/{name}"} for name in ("one", "two")]
    shared = {"name": "dshm", "emptyDir": {}}
    profile = {"name": "custom-profile", "configMap": {"name": "gone"}}
    live = existing([shared, *claims, profile], [{"name": "dshm", "mountPath": "/dev/shm"}, *mounts])
    kept = preserved_volumes(live, shared_memory())
    assert list(kept.volumes) == claims
    assert list(kept.mounts) == mounts
    assert mounts_cache(live)


def claims_by_path(found: Volumes) -> dict[str, str]:
    """Return what is mounted where; each mount has a volume, and nothing occurs twice."""
    names = [volume["name"] for volume in found.volumes]
    paths = [mount["mountPath"] for mount in found.mounts]
    held = [claim_of(volume) for volume in found.volumes if claim_of(volume)]
    assert len({*names}) == len(names)
    assert len({*paths}) == len(paths)
    assert len({*held}) == len(held)
    claims = {volume["name"]: claim_of(volume) for volume in found.volumes}
    return {mount["mountPath"].removeprefix("/workspace/cache/"): claims[mount["name"]] for mount in found.mounts}


def entry(model: str, claim: str, name: str = "") -> dict[str, Any]:
    return {"name": name or claim, "uid": claim, "model": model, "status": "Ready", "persistentVolumeClaim": claim}


def custom(template: Maker, *ids: str, model_id: str = "meta/Llama", discovered: tuple[str, ...] = ()) -> Any:
    sources = [{"modelId": name, "sourceUri": f"hf://{name}"} for name in ids]
    found = [{"modelId": name, "sourceUri": f"hf://{name}"} for name in discovered]
    profile = {"aimId": "meta/Llama", "modelId": model_id, "customProfile": {}}
    return template(**profile, modelSources=sources, status_fields={"modelSources": [*sources, *found]})


def test_a_fine_tune_is_where_its_profile_looks(template: Maker, cache: Maker) -> None:
    """Prove SVC-VOL-4."""
    made = cache(artifacts={"a": entry("my-org/tuned", "tuned"), "b": entry("my-org/lora", "lora")})
    weights = loaded_weights(custom(template, "my-org/tuned"), made)
    assert claims_by_path(cache_volumes(made, weights)) == {
        "my-org/tuned": "tuned",
        "meta/Llama": "tuned",
        "my-org/lora": "lora",
    }


def test_weights_with_the_id_of_the_profile_are_mounted_once(template: Maker, cache: Maker) -> None:
    """Prove SVC-VOL-4."""
    made = cache(artifacts={"a": entry("meta/Llama", "base"), "b": entry("my-org/draft", "draft")})
    weights = loaded_weights(custom(template, "my-org/draft", "meta/Llama"), made)
    assert cache_volumes(made, weights) == cache_volumes(made)
    discovered = loaded_weights(custom(template, discovered=("meta/Llama",)), made)
    assert cache_volumes(made, discovered) == cache_volumes(made)
    assert loaded_weights(custom(template), made) is None


def test_an_artifact_that_serves_two_ids_is_one_volume(cache: Maker) -> None:
    """Prove SVC-VOL-1."""
    made = cache(artifacts={"a": entry("x/one", "claim", "a"), "a#2": entry("x/two", "claim", "a")})
    assert claims_by_path(cache_volumes(made)) == {"x/one": "claim", "x/two": "claim"}


def test_volumes_never_share_a_name(cache: Maker) -> None:
    """Prove SVC-VOL-1: names of artifacts may differ only in what the name of a volume cannot have."""
    names = ("a.b", "a-b", "dshm", "custom-profile", "profile-weights")
    made = cache(artifacts={name: entry(f"x/{name}", f"claim-{name}", name) for name in names})
    assert claims_by_path(shared_memory() + cache_volumes(made)) == {
        "/dev/shm": "",
        **{f"x/{name}": f"claim-{name}" for name in names},
    }


def test_a_cache_with_other_sources_is_of_no_use_to_a_profile(template: Maker, cache: Maker) -> None:
    """Prove SVC-VOL-4."""
    made = cache(artifacts={"a": entry("my-org/old", "old")})
    weights = loaded_weights(custom(template, "my-org/new"), made)
    assert not holds_weights(made, weights)
    assert holds_weights(made, loaded_weights(custom(template, "my-org/old"), made))
    assert holds_weights(made, None)
    assert not holds_weights(cache(status="Progressing", artifacts={}), None)
    assert not holds_weights(None, None)


def test_a_running_fine_tune_gets_its_weights_where_the_profile_looks(template: Maker, cache: Maker) -> None:
    """Prove SVC-VOL-4."""
    made = cache(artifacts={"a": entry("my-org/tuned", "tuned")})
    weights = loaded_weights(custom(template, "my-org/tuned"), made)
    live = existing(list(cache_volumes(made).volumes), list(cache_volumes(made).mounts))
    found = running_volumes(live, shared_memory(), cache_volumes(made, weights), weights)
    assert claims_by_path(found) == {"/dev/shm": "", "my-org/tuned": "tuned", "meta/Llama": "tuned"}
    again = existing(list(found.volumes), list(found.mounts))
    assert running_volumes(again, shared_memory(), cache_volumes(made, weights), weights) == found
    # While the cache is being made again, nothing changes.
    assert running_volumes(again, shared_memory(), NONE, weights) == found
    assert not waits_for_weights(again, weights)


def test_what_was_mounted_under_the_profiles_model_is_replaced(template: Maker, cache: Maker) -> None:
    """Prove SVC-VOL-4."""
    base = cache(artifacts={"a": entry("meta/Llama", "base")})
    live = existing(list(cache_volumes(base).volumes), list(cache_volumes(base).mounts))
    made = cache(artifacts={"a": entry("my-org/tuned", "tuned")})
    weights = loaded_weights(custom(template, "my-org/tuned"), made)
    found = running_volumes(live, NONE, cache_volumes(made, weights), weights)
    assert claims_by_path(found) == {"my-org/tuned": "tuned", "meta/Llama": "tuned"}


def test_an_edited_template_waits_for_its_weights(template: Maker, cache: Maker) -> None:
    """Prove SVC-VOL-5."""
    made = cache(artifacts={"a": entry("my-org/tuned", "tuned")})
    weights = loaded_weights(custom(template, "my-org/tuned"), made)
    found = cache_volumes(made, weights)
    live = existing(list(found.volumes), list(found.mounts))
    other = loaded_weights(custom(template, "my-org/tuned", model_id="meta/Other"), made)
    without = loaded_weights(template(modelSources=[{"modelId": "my-org/next", "sourceUri": "hf://a/b"}]), made)
    for changed in (other, without, None):
        assert waits_for_weights(live, changed)
    assert not waits_for_weights(existing([], []), other)
    moved = running_volumes(live, NONE, cache_volumes(made, other), other)
    assert claims_by_path(moved) == {"my-org/tuned": "tuned", "meta/Other": "tuned"}


def test_weights_keep_their_own_name_without_a_profile(template: Maker, cache: Maker) -> None:
    """Prove SVC-VOL-2."""
    made = cache(artifacts={"a": entry("my-org/tuned", "tuned")})
    weights = loaded_weights(custom(template, "my-org/tuned"), made)
    found = cache_volumes(made, weights)
    live = existing(list(found.volumes), list(found.mounts))
    own = loaded_weights(template(modelSources=[{"modelId": "my-org/tuned", "sourceUri": "hf://a/b"}]), made)
    assert claims_by_path(running_volumes(live, NONE, cache_volumes(made, own), own)) == {"my-org/tuned": "tuned"}
    assert claims_by_path(running_volumes(live, NONE, cache_volumes(made), None)) == {"my-org/tuned": "tuned"}


IDS = ("meta/Llama", "my-org/tuned", "my-org/other")
SOURCES = st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True)
STEPS = st.tuples(st.booleans(), SOURCES, st.sampled_from(IDS), st.integers(0, 2))


@given(st.lists(STEPS, min_size=1, max_size=4))
def test_whatever_is_edited_the_container_finds_its_weights(steps: list[tuple[bool, list[str], str, int]]) -> None:
    """Prove SVC-VOL-4: after any sequence of edits, each with a Ready cache, the mounts are valid and right."""
    live: dict[str, Any] = {}
    for is_custom, ids, model_id, generation in steps:
        sources = [{"modelId": name, "sourceUri": f"hf://{name}"} for name in ids]
        spec: dict[str, Any] = {"modelSources": sources}
        if is_custom:
            spec |= {"aimId": model_id, "modelId": model_id, "customProfile": {}}
        chosen = AIMServiceTemplate.model_validate({"spec": spec})
        artifacts = {f"{name}-{generation}": entry(name, f"{name}-{generation}") for name in ids}
        status = {"status": "Ready", "artifacts": artifacts}
        made = AIMTemplateCache.model_validate({"spec": {"templateName": "t"}, "status": status})
        weights = loaded_weights(chosen, made)
        assert weights is not None
        if not holds_weights(made, weights):
            assert is_custom
            assert model_id not in ids
            assert len(ids) > 1
            continue
        fresh = cache_volumes(made, weights)
        found = running_volumes(live, shared_memory(), fresh, weights) if live else shared_memory() + fresh
        claim = claims_by_path(found)[weights.model_id]
        if weights.is_renamed or not live:
            assert claim == f"{weights.source_id}-{generation}"
        else:
            assert claim.startswith(weights.model_id)
        live = existing(list(found.volumes), list(found.mounts))
        assert running_volumes(live, shared_memory(), fresh, weights) == found
        assert not waits_for_weights(live, weights)


def test_a_lost_claim_is_replaced_and_the_others_stay(cache: Maker) -> None:
    """Prove SVC-VOL-3."""
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in ("kept", "lost")]
    mounts = [{"name": name, "mountPath": f"/workspace/cache/{name}"} for name in ("kept", "lost")]
    fresh = cache_volumes(cache(artifacts={"new": entry("lost", "new-claim", "new")}))
    found = running_volumes(existing(claims, mounts), NONE, fresh, None, frozenset({"lost"}))
    assert claims_by_path(found) == {"kept": "kept", "lost": "new-claim"}
    assert [
        item["name"]
        for item in running_volumes(existing(claims, mounts), NONE, NONE, None, frozenset({"lost"})).volumes
    ] == ["kept", "lost"]


def test_nothing_is_kept_of_a_predictor_without_containers() -> None:
    assert not preserved_volumes({"spec": {"predictor": {"volumes": [{"name": "x"}]}}}, shared_memory()).volumes
    assert not mounts_cache(existing([{"name": "dshm", "emptyDir": {}}], []))
    assert not mounts_cache(None)


def live_with(*, read_only: bool | None) -> dict[str, Any]:
    """Return an InferenceService that mounts one claim; with None, none."""
    mount = {"name": "w", "mountPath": "/w", **({"readOnly": True} if read_only else {})}
    memory = {"name": "dshm", "mountPath": "/dev/shm"}
    mounts = [memory] if read_only is None else [memory, mount]
    volumes = [{"name": "dshm", "emptyDir": {}}, {"name": "w", "persistentVolumeClaim": {"claimName": "c"}}]
    container = {"name": "kserve-container", "volumeMounts": mounts}
    return {"spec": {"predictor": {"containers": [container], "volumes": volumes}}}


@pytest.mark.parametrize(
    ("live", "said", "expected"),
    [
        (None, None, True),
        (None, False, False),
        (None, True, True),
        (live_with(read_only=False), None, False),
        (live_with(read_only=False), True, True),
        (live_with(read_only=True), None, True),
        (live_with(read_only=True), False, False),
        (live_with(read_only=None), None, True),
    ],
)
def test_weights_are_read_only_unless_a_predictor_already_may_write(
    live: dict[str, Any] | None, said: bool | None, expected: bool, cache: Maker
) -> None:
    """Prove SVC-VOL-6: of a pod's mounts, only those of claims change."""
    placed = shared_memory() + cache_volumes(cache())
    found = with_access(placed, live, read_only=said)
    assert found.volumes == placed.volumes
    assert [mount.get("readOnly", False) for mount in found.mounts] == [False, expected]
    assert with_access(found, live, read_only=said) == found
