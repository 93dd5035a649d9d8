"""What the container gets: environment, resources, volumes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.core import EnvVar, ResourceRequirements
from aimd.api.shared import Hardware
from aimd.planning.quantities import parse_quantity
from aimd.planning.service.container_environment import container_env
from aimd.planning.service.resources import container_resources, cpu_level, predictor_resources
from aimd.planning.service.volumes import (
    cache_volumes,
    mounts_cache,
    preserved_volumes,
    replaced_volumes,
    shared_memory,
)
from tests.unit.planning.service.makers import Maker


def values(env: tuple[EnvVar, ...]) -> dict[str, str | None]:
    return {variable.name: variable.value for variable in env}


def variables(**pairs: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs.items()]


def test_defaults_are_always_there_and_sorted(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-1."""
    env = container_env(service(), template(), ())
    assert values(env) == {"AIM_CACHE_PATH": "/workspace/cache", "VLLM_ENABLE_METRICS": "true"}
    assert [variable.name for variable in env] == sorted(variable.name for variable in env)


def test_precedence_from_config_to_service(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-1."""
    config = [EnvVar(name=name, value="config") for name in ("A", "B", "C", "AIM_METRIC")]
    chosen = template(env=variables(B="template", C="template"), metric="latency", precision="fp16", profileId="p1")
    env = values(container_env(service(env=variables(C="service")), chosen, config))
    assert (env["A"], env["B"], env["C"]) == ("config", "template", "service")
    assert (env["AIM_METRIC"], env["AIM_PRECISION"], env["AIM_PROFILE_ID"]) == ("latency", "fp16", "p1")


def test_template_env_beats_derived_values_and_service_beats_identity(service: Maker, template: Maker) -> None:
    sources = [{"modelId": "Qwen/Qwen3", "sourceUri": "hf://Qwen/Qwen3"}]
    chosen = template(modelSources=sources, metric="latency", env=variables(AIM_METRIC="x", AIM_MODEL_ID="template"))
    env = values(container_env(service(), chosen, ()))
    assert (env["AIM_METRIC"], env["AIM_MODEL_ID"]) == ("x", "Qwen/Qwen3")
    assert values(container_env(service(env=variables(AIM_MODEL_ID="mine")), chosen, ()))["AIM_MODEL_ID"] == "mine"


def test_a_custom_profile_sets_aim_id_and_never_the_model_id(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-3."""
    chosen = template(
        aimId="meta-llama/Llama-3-8B",
        modelId="meta-llama/Llama-3-8B",
        metric="latency",
        precision="fp16",
        profileId="ignored",
        hardware={"gpu": {"model": "MI300X", "requests": 1}},
        customProfile={"engineArgs": {"dtype": "float16"}},
        modelSources=[{"modelId": "a/b", "sourceUri": "hf://a/b"}],
    )
    env = values(container_env(service(), chosen, ()))
    assert env["AIM_ID"] == "meta-llama/Llama-3-8B"
    assert env["AIM_PROFILE_ID"] == "custom/meta-llama/Llama-3-8B/vllm-mi300x-fp16-tp1-latency"
    assert "AIM_MODEL_ID" not in env


def test_engine_args_merge_over_all_levels(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-2."""
    config = [EnvVar(name="AIM_ENGINE_ARGS", value='{"a": 1, "n": {"x": 1, "y": 1}}')]
    chosen = template(env=variables(AIM_ENGINE_ARGS='{"a": 2, "n": {"y": 2}}'))
    mine = service(env=variables(AIM_ENGINE_ARGS='{"n": {"z": 3}}'))
    merged = values(container_env(mine, chosen, config))["AIM_ENGINE_ARGS"]
    assert json.loads(merged or "") == {"a": 2, "n": {"x": 1, "y": 2, "z": 3}}


def test_a_secret_replaces_engine_args_instead_of_getting_lost(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-2."""
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    mine = service(env=[{"name": "AIM_ENGINE_ARGS", "valueFrom": reference}])
    env = container_env(mine, template(env=variables(AIM_ENGINE_ARGS="{}")), ())
    assert next(variable for variable in env if variable.name == "AIM_ENGINE_ARGS").value_from == reference


NAMES = st.sampled_from(["AIM_METRIC", "AIM_ID", "AIM_ENGINE_ARGS", "AIM_CACHE_PATH", "X"])
LAYERS = st.dictionaries(NAMES, st.sampled_from(["", "1", "{}", '{"a": 1}', "["]), max_size=4)


@given(config=LAYERS, own=LAYERS)
def test_no_name_ever_occurs_twice(config: dict[str, str], own: dict[str, str]) -> None:
    from aimd.api.service import AIMService
    from aimd.api.service_template import AIMServiceTemplate

    service = AIMService.model_validate({"spec": {"env": variables(**own)}})
    template = AIMServiceTemplate.model_validate({"spec": {"metric": "latency", "env": variables(**config)}})
    env = container_env(service, template, [EnvVar(name=name, value=value) for name, value in config.items()])
    names = [variable.name for variable in env]
    assert names == sorted(set(names))


def gpus(count: int, **fields: str) -> Hardware:
    return Hardware.model_validate({"gpu": {"requests": count, **fields}})


def level(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> ResourceRequirements:
    return ResourceRequirements(requests=requests or {}, limits=limits or {})


@pytest.mark.parametrize(
    ("count", "cpu", "memory", "limit"),
    [(1, "4", "32Gi", "48Gi"), (4, "16", "128Gi", "192Gi"), (8, "32", "256Gi", "384Gi")],
)
def test_defaults_per_gpu(count: int, cpu: str, memory: str, limit: str) -> None:
    """Prove SVC-RES-1."""
    device = str(count)
    assert container_resources(gpus(count), ()) == {
        "requests": {"cpu": cpu, "memory": memory, "amd.com/gpu": device},
        "limits": {"memory": limit, "amd.com/gpu": device},
    }


def test_without_a_gpu_there_are_no_defaults() -> None:
    assert container_resources(None, ()) == {}
    assert container_resources(gpus(0, model="MI300X"), (None, level())) == {}


def test_levels_override_single_quantities() -> None:
    """Prove SVC-RES-1."""
    resources = container_resources(gpus(4), (level({"memory": "100Gi"}), None, level({"memory": "64Gi"})))
    assert resources["requests"] == {"cpu": "16", "memory": "64Gi", "amd.com/gpu": "4"}
    assert resources["limits"] == {"memory": "192Gi", "amd.com/gpu": "4"}


def test_a_gpu_count_on_one_side_holds_on_both() -> None:
    """Prove SVC-RES-2."""
    for given_side in (level(limits={"amd.com/gpu": "8"}), level(requests={"amd.com/gpu": "8"})):
        resources = container_resources(gpus(1), (None, None, given_side))
        assert resources["requests"]["amd.com/gpu"] == resources["limits"]["amd.com/gpu"] == "8"


def test_default_requests_give_way_to_user_limits() -> None:
    """Prove SVC-RES-3."""
    resources = container_resources(gpus(8), (None, None, level(limits={"cpu": "6", "memory": "48Gi"})))
    assert resources["requests"] == {"cpu": "6", "memory": "48Gi", "amd.com/gpu": "8"}
    assert resources["limits"] == {"cpu": "6", "memory": "48Gi", "amd.com/gpu": "8"}


def test_a_default_limit_gives_way_to_a_user_request() -> None:
    """Prove SVC-RES-3."""
    resources = container_resources(gpus(1), (None, level({"memory": "256Gi"}), None))
    assert (resources["requests"]["memory"], resources["limits"]["memory"]) == ("256Gi", "256Gi")


def test_a_partitioned_gpu_by_resource_name() -> None:
    resources = container_resources(gpus(2, resourceName="amd.com/cpx_nps4"), ())
    assert resources["limits"]["amd.com/cpx_nps4"] == "2"
    assert "amd.com/gpu" not in resources["limits"]


def test_cpu_hardware_is_a_level() -> None:
    """Prove SVC-RES-4."""
    hardware = Hardware.model_validate({"cpu": {"requests": "500m", "limits": "2"}})
    assert container_resources(hardware, (cpu_level(hardware),)) == {
        "requests": {"cpu": "500m"},
        "limits": {"cpu": "2"},
    }


@pytest.mark.parametrize(
    ("resources", "rendered"),
    [
        (None, {"requests": {"cpu": "500m"}}),
        ({}, {"requests": {"cpu": "500m"}}),
        ({"claims": [{"name": "gpu"}]}, {"requests": {"cpu": "500m"}}),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1Gi"}}),
    ],
)
def test_cpu_hardware_counts_unless_resources_say_something(
    resources: dict[str, Any] | None, rendered: dict[str, Any]
) -> None:
    """Prove SVC-RES-4."""
    hardware = Hardware.model_validate({"cpu": {"requests": "500m"}})
    template = ResourceRequirements.model_validate(resources) if resources is not None else None
    assert predictor_resources(hardware, model=None, template=template, service=None) == rendered


QUANTITIES = st.sampled_from(["1", "500m", "4", "16Gi", "64Gi", "1e3", "nonsense", ""])
SIDES = st.dictionaries(st.sampled_from(["cpu", "memory", "amd.com/gpu"]), QUANTITIES, max_size=3)


@given(count=st.integers(0, 8), requests=SIDES, limits=SIDES)
def test_user_values_stay_and_only_users_contradict_themselves(
    count: int, requests: dict[str, str], limits: dict[str, str]
) -> None:
    resources = container_resources(gpus(count), (level(requests, limits),))
    for name, quantity in requests.items():
        assert resources["requests"][name] == quantity
    for name, quantity in limits.items():
        assert resources["limits"][name] == quantity
    for name in resources.get("requests", {}).keys() & resources.get("limits", {}).keys():
        try:
            fits = parse_quantity(resources["requests"][name]) <= parse_quantity(resources["limits"][name])
        except ValueError:
            continue
        assert fits or (name in requests and name in limits)


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
