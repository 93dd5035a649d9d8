"""The volumes of the predictor."""

from typing import Any

from aimd.planning.service.volumes import (
    cache_volumes,
    mounts_cache,
    preserved_volumes,
    replaced_volumes,
    shared_memory,
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


def test_a_lost_claim_is_replaced_and_the_others_stay(cache: Maker) -> None:
    """Prove SVC-VOL-3."""
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in ("kept", "lost")]
    mounts = [{"name": name, "mountPath": f"/workspace/cache/{name}"} for name in ("kept", "lost")]
    entries = {"name": "new", "uid": "u", "model": "lost", "status": "Ready", "persistentVolumeClaim": "new-claim"}
    fresh = cache_volumes(cache(artifacts={"new": entries}))
    found = replaced_volumes(existing(claims, mounts), shared_memory(), fresh, frozenset({"lost"}))
    assert [item["persistentVolumeClaim"]["claimName"] for item in found.volumes] == ["kept", "new-claim"]
    assert [item["mountPath"] for item in found.mounts] == ["/workspace/cache/kept", "/workspace/cache/lost"]


def test_nothing_is_kept_of_a_predictor_without_containers() -> None:
    assert not preserved_volumes({"spec": {"predictor": {"volumes": [{"name": "x"}]}}}, shared_memory()).volumes
    assert not mounts_cache(existing([{"name": "dshm", "emptyDir": {}}], []))
    assert not mounts_cache(None)
