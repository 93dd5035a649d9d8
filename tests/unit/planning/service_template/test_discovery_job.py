"""The discovery Job."""

from dataclasses import replace
from typing import Any

import pytest

from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.planning.gpus import inventory_of
from aimd.planning.pod_rights import PodRights
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service_template.discovery_job import (
    DiscoveryContext,
    chosen_gpu,
    config_map_name,
    discovery_objects,
    job_key,
    spec_hash,
)
from aimd.planning.service_template.profile_file import profile_file
from aimd.runtime.objects import Manifest

GPU = {"gpu": {"model": "MI300X", "requests": 1}}
DUMMY = "ghcr.io/silogen/aim-dummy:0.1.8"
PROFILE: dict[str, Any] = {
    "aimId": "meta-llama/Llama-3-8B",
    "modelId": "meta-llama/Llama-3-8B",
    "metric": "latency",
    "precision": "fp16",
    "hardware": GPU,
    "customProfile": {"engineArgs": {"a": 1, "b": [True]}, "envVars": {"X": "1"}},
}


def context(
    name: str = "t", model: str = "m", image: str = "i:1", *, cluster: bool = False, **spec: Any
) -> DiscoveryContext:
    of_model = {"image": image, **spec.pop("model_spec", {})}
    where = {} if cluster else {"namespace": "ml-team"}
    metadata = {"name": name, "uid": "tu", "labels": spec.pop("labels", {}), **where}
    template_type = AIMClusterServiceTemplate if cluster else AIMServiceTemplate
    model_type = AIMClusterModel if cluster else AIMModel
    template = template_type.model_validate({"metadata": metadata, "spec": {"modelName": model, **spec}})
    return DiscoveryContext(
        template,
        model_type.model_validate({"metadata": {"name": model, **where}, "spec": of_model}),
        ResolvedConfig(),
        PodRights("aim-system", "aim-system"),
        profile_file(template),
    )


def job(of: DiscoveryContext) -> Manifest:
    return discovery_objects(of)[-1].manifest


def env(of: DiscoveryContext) -> list[tuple[str, str]]:
    (container,) = job(of)["spec"]["template"]["spec"]["containers"]
    return [(item["name"], item.get("value", "")) for item in container["env"]]


@pytest.mark.parametrize(
    ("given", "name", "digest"),
    [
        (
            context("test-template-discovery-namespace", "test-model-discovery-namespace", DUMMY, hardware=GPU),
            "discover-test-template-discovery-namespace-ee237b0c",
            "ee237b0c576eb704",
        ),
        (
            context("test-template-discovery-cluster", "test-model-discovery-cluster", DUMMY, hardware=GPU),
            "discover-test-template-discovery-cluster-f911ae0c",
            None,
        ),
        (
            context(
                "amdenterpriseai-aim-qwen-qwen3-32b-0-8-5-1x-mi300x-lat-fp8-c381",
                "qwen-qwen3-32b",
                "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5",
                metric="latency",
                precision="fp8",
                hardware=GPU,
                profileId="vllm-mi300x-fp8-tp1-latency",
                model_spec={"imagePullSecrets": [{"name": "regcred"}]},
            ),
            "discover-amdenterpriseai-aim-qwen-qwen3-32b-0-8-5-1x-m-9ad6fd7c",
            None,
        ),
        (
            context(
                "qwen3-32b-latency",
                "aim-qwen-qwen3-32b-0-8-5-cdc1fb22",
                "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5",
                metric="latency",
                precision="fp16",
                hardware=GPU,
            ),
            "discover-qwen3-32b-latency-2edfcfb6",
            "2edfcfb6f5cfdfa2",
        ),
    ],
)
def test_names_and_fingerprints(given: DiscoveryContext, name: str, digest: str | None) -> None:
    """Prove TPL-DSC-3."""
    assert job_key(given).name == name
    assert digest is None or spec_hash(given) == digest


def test_the_job_as_specified() -> None:
    """Prove TPL-DSC-9 and TPL-DSC-6."""
    manifest = job(context(hardware=GPU, metric="latency", precision="fp8", profileId="p", labels={"team": "a"}))
    metadata, spec = manifest["metadata"], manifest["spec"]
    assert metadata["namespace"] == "ml-team"
    assert metadata["labels"] == {
        "aim.eai.amd.com/service-template.name": "t",
        "aim.eai.amd.com/template": "t",
        "app.kubernetes.io/component": "discovery",
        "app.kubernetes.io/managed-by": "aim-controller",
        "app.kubernetes.io/name": "aim-discovery",
    }
    assert [owner["uid"] for owner in metadata["ownerReferences"]] == ["tu"]
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"]) == (0, 600, 600)
    assert spec["template"]["metadata"]["labels"] == {
        "aim.eai.amd.com/service-template.name": "t",
        "aim.eai.amd.com/template": "t",
    }
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["securityContext"] == security
    (container,) = pod["containers"]
    assert container == {
        "name": "discovery",
        "image": "i:1",
        "args": ["dry-run", "--format=json"],
        "env": [
            {"name": "AIM_LOG_LEVEL_ROOT", "value": "WARNING"},
            {"name": "AIM_LOG_LEVEL", "value": "WARNING"},
            {"name": "AIM_METRIC", "value": "latency"},
            {"name": "AIM_PRECISION", "value": "fp8"},
            {"name": "AIM_GPU_MODEL", "value": "MI300X"},
            {"name": "AIM_GPU_COUNT", "value": "1"},
            {"name": "AIM_ACCELERATOR_TYPE", "value": "gpu"},
            {"name": "AIM_ACCELERATOR_MODEL", "value": "MI300X"},
            {"name": "AIM_ACCELERATOR_COUNT", "value": "1"},
            {"name": "AIM_PROFILE_ID", "value": "p"},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "8Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def test_jobs_of_cluster_templates_are_in_the_operator_namespace() -> None:
    """Prove TPL-DSC-11."""
    of = context(cluster=True, hardware=GPU)
    assert job_key(of).namespace == "aim-system"
    owner = job(of)["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("AIMClusterServiceTemplate", "tu")


def test_own_variables_win_over_namesakes_of_the_template() -> None:
    """Prove TPL-DSC-9."""
    given = [{"name": "AIM_METRIC", "value": "throughput"}, {"name": "B", "value": "1"}, {"name": "B", "value": "2"}]
    names = env(context(metric="latency", env=given))
    assert names[2:] == [("B", "2"), ("AIM_METRIC", "latency")]


def test_services_lend_their_pull_secrets() -> None:
    """Prove TPL-DSC-10."""
    own = context(imagePullSecrets=[{"name": "b"}])
    shared = replace(own, shared_pull_secrets=("a", "b"))
    assert [item["name"] for item in job(shared)["spec"]["template"]["spec"]["imagePullSecrets"]] == ["b", "a"]
    assert job_key(shared) != job_key(own)
    assert spec_hash(shared) == spec_hash(own)


def test_pull_secrets_are_united_and_the_template_names_the_account() -> None:
    """Prove TPL-DSC-10."""
    of_model = {"imagePullSecrets": [{"name": "a"}, {"name": "b"}], "serviceAccountName": "of-model"}
    pod = job(context(imagePullSecrets=[{"name": "b"}, {"name": "c"}], model_spec=of_model))["spec"]["template"]["spec"]
    assert [item["name"] for item in pod["imagePullSecrets"]] == ["a", "b", "c"]
    assert pod["serviceAccountName"] == "of-model"
    assert "automountServiceAccountToken" not in pod
    named = job(context(serviceAccountName="own", model_spec=of_model))["spec"]["template"]["spec"]
    assert named["serviceAccountName"] == "own"


def test_a_count_of_zero_asks_for_no_count() -> None:
    names = dict(env(context(hardware={"gpu": {"model": " MI300X ", "requests": 0}})))
    assert names["AIM_GPU_MODEL"] == "MI300X"
    assert "AIM_GPU_COUNT" not in names


@pytest.mark.parametrize(
    ("hardware", "asked"),
    [
        ({"gpu": {"model": "AMD Instinct mi300x-oam", "requests": 2}}, ("gpu", "MI300X", "2")),
        ({"gpu": {"model": "0x75a8", "requests": 1}, "cpu": {"requests": "4"}}, ("gpu", "MI350P", "1")),
        ({"cpu": {"requests": "4"}}, ("cpu", None, None)),
        ({"gpu": {"model": "EPYC_9965", "requests": 1}}, ("cpu", None, None)),
        ({"gpu": {"requests": 0}}, (None, None, None)),
        (None, (None, None, None)),
    ],
)
def test_the_image_is_asked_by_names_that_it_knows(
    hardware: dict[str, Any] | None, asked: tuple[str | None, ...]
) -> None:
    """Prove TPL-DSC-13 and TPL-GPU-6."""
    given = dict(env(context(hardware=hardware) if hardware else context()))
    names = ("AIM_ACCELERATOR_TYPE", "AIM_ACCELERATOR_MODEL", "AIM_ACCELERATOR_COUNT")
    assert tuple(given.get(name) for name in names) == asked
    assert (given.get("AIM_GPU_MODEL"), given.get("AIM_GPU_COUNT")) == asked[1:]


def test_a_gpu_that_the_template_leaves_open_is_chosen_in_the_cluster() -> None:
    """Prove TPL-DSC-12."""
    nodes = inventory_of([{"amd.com/gpu.device-id": device} for device in ("74a1", "740f")])
    by_memory, any_gpu = {"gpu": {"requests": 1, "minVram": "32Gi"}}, {"gpu": {"requests": 1}}
    for hardware, expected in ((by_memory, "MI210"), (any_gpu, "MI300X")):
        of = context(hardware=hardware)
        assert chosen_gpu(of.template, nodes) == expected
        asked = replace(of, chosen_gpu=expected)
        assert dict(env(asked))["AIM_GPU_MODEL"] == expected
        assert not asked.needs_model
        assert (spec_hash(asked), job_key(asked) == job_key(of)) == (spec_hash(of), False)
    assert context(hardware=by_memory).needs_model
    assert not context(hardware=any_gpu).needs_model
    for fields in ({"hardware": by_memory, "profileId": "p"}, {"hardware": GPU}, {}):
        assert chosen_gpu(context(**fields).template, nodes) == ""
        assert not context(**fields).needs_model
    assert chosen_gpu(context(hardware=by_memory).template, None) == ""


def test_a_custom_profile_is_mounted_and_selected() -> None:
    """Prove TPL-PRF-1."""
    of = context("my-template", **PROFILE, profileId="ignored")
    config_map, with_profile = discovery_objects(of)
    assert (
        config_map.manifest["metadata"]["name"]
        == config_map_name("my-template")
        == ("my-template-custom-profile-ee700ae9")
    )
    assert list(config_map.manifest["data"]) == ["vllm-mi300x-fp16-tp1-latency.yaml"]
    pod = with_profile.manifest["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "custom-profile", "configMap": {"name": "my-template-custom-profile-ee700ae9"}}]
    assert pod["containers"][0]["volumeMounts"] == [
        {
            "name": "custom-profile",
            "mountPath": "/workspace/aim-runtime/profiles/custom/meta-llama/Llama-3-8B",
            "readOnly": True,
        }
    ]
    variables = dict(env(of))
    assert variables["AIM_ID"] == "meta-llama/Llama-3-8B"
    assert variables["AIM_PROFILE_ID"] == "custom/meta-llama/Llama-3-8B/vllm-mi300x-fp16-tp1-latency"


def test_the_image_is_asked_for_one_model() -> None:
    """Prove SVC-ENV-3 for discovery: the image refuses to start with both variables, and has `AIM_ID` built in."""
    other = [{"name": "AIM_MODEL_ID", "value": "acme/x"}]
    given = dict(env(context(env=other)))
    assert (given["AIM_MODEL_ID"], given["AIM_ID"]) == ("acme/x", "")
    assert given["AIM_ALLOW_GENERAL_PROFILE_FALLBACK"] == "true"
    given = dict(env(context(**PROFILE, env=other)))
    assert "AIM_MODEL_ID" not in given
    assert given["AIM_ID"] == PROFILE["aimId"]


def test_fingerprints_follow_the_profile_but_not_the_order_of_its_keys() -> None:
    def fingerprint(**profile: Any) -> tuple[str, str]:
        of = context(**{**PROFILE, "customProfile": profile})
        return job_key(of).name, spec_hash(of)

    one = fingerprint(engineArgs={"a": 1, "b": {"c": 1, "d": 2}})
    assert one == fingerprint(engineArgs={"b": {"d": 2, "c": 1}, "a": 1})
    assert one != fingerprint(engineArgs={"a": 2, "b": {"c": 1, "d": 2}})
    assert one != fingerprint(engineArgs={"a": 1, "b": {"c": 1, "d": 2}}, envVars={"A": "1"})


def test_long_template_names_stay_valid_labels() -> None:
    """Prove OBJ-LBL-3."""
    long = "t" * 200
    labels = job(context(long))["metadata"]["labels"]
    assert all(len(value) <= 63 for value in labels.values())
    assert len(job_key(context(long)).name) <= 63


@pytest.mark.parametrize(
    ("engines", "spec", "asked"),
    [
        (["bentoml"], {}, "bentoml"),
        (["bentoml", "bentoml"], {}, "bentoml"),
        (["vllm"], {}, None),
        (["bentoml", "vllm"], {}, None),
        (["bentoml", ""], {}, None),
        ([], {}, None),
        (["bentoml"], PROFILE, None),
        (["bentoml"], {"env": [{"name": "AIM_ENGINE", "value": "vllm_omni"}]}, "vllm_omni"),
    ],
)
def test_an_image_of_another_engine_is_asked_for_it(
    engines: list[str], spec: dict[str, Any], asked: str | None
) -> None:
    """Prove TPL-IMG-4."""
    profiles = {"source": "Registry", "profiles": [{"engine": engine} for engine in engines]}
    found = context(**spec)

    def inspected(image: str) -> DiscoveryContext:
        status = AIMModel.model_validate({"status": {"imageProfiles": profiles, "inspectedImage": image}}).status
        return replace(found, model=found.model.model_copy(update={"status": status}))

    assert dict(env(inspected("i:1"))).get("AIM_ENGINE") == asked
    before = dict(env(found)).get("AIM_ENGINE")
    assert dict(env(inspected("i:0"))).get("AIM_ENGINE") == before
    assert (job_key(inspected("i:1")) == job_key(found)) is (asked == before)
    assert spec_hash(inspected("i:1")) == spec_hash(found)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (context(cluster=True, serviceAccountName="manager"), "of AIMClusterServiceTemplate t names"),
        (context(cluster=True, model_spec={"serviceAccountName": "manager"}), "of AIMClusterModel m names"),
        (
            context(cluster=True, env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            "spec.env of AIMClusterServiceTemplate t takes the variable X from the Secret s",
        ),
    ],
)
def test_a_job_of_a_cluster_template_borrows_no_rights(given: DiscoveryContext, named: str) -> None:
    """Prove TPL-DSC-16 and TPL-DSC-11."""
    assert given.refusal is not None
    assert named in given.refusal.message
    listed = PodRights("aim-system", "aim-discovery", frozenset({"manager"}), frozenset({"s"}))
    allowed = replace(given, rights=listed)
    assert allowed.refusal is None
    assert job_key(allowed).namespace == "aim-discovery"


def test_pull_secrets_of_cluster_templates_need_no_listing() -> None:
    assert context(cluster=True, imagePullSecrets=[{"name": "regcred"}]).refusal is None


def test_a_template_of_the_operators_namespace_cannot_name_its_account() -> None:
    """Prove OBJ-TEN-10."""
    tenant = context(serviceAccountName="manager", env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s"}}}])
    assert tenant.refusal is None
    inside = replace(tenant, rights=PodRights("ml-team", "ml-team"))
    assert inside.refusal is not None
    assert "of AIMServiceTemplate t names the ServiceAccount manager" in inside.refusal.message
