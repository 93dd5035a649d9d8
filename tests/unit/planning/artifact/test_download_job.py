"""Jobs and identity of an artifact."""

from dataclasses import replace
from typing import Any

import pytest

from aimd.api.artifact import AIMArtifact
from aimd.api.runtime_config import AIMRuntimeConfig
from aimd.planning.artifact.download_job import (
    JobContext,
    check_size_job,
    check_size_name,
    claim_names,
    download_identity,
    download_job,
    download_name,
    inputs_of,
)
from aimd.planning.labels import CLAIM_UID_ANNOTATION
from aimd.planning.runtime_config import resolve_config
from aimd.planning.settings import ControllerSettings

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
OWN = "registry.example/aimd:1"
CLAIM = {"metadata": {"name": "weights-cache", "uid": "claim-uid"}}


def artifact(name: str = "basic-lifecycle-hf", labels: dict[str, str] | None = None, **spec: Any) -> AIMArtifact:
    return AIMArtifact.model_validate(
        {
            "metadata": {"name": name, "namespace": "ml-team", "uid": UID, "labels": labels or {}},
            "spec": {"sourceUri": "hf://Qwen/Qwen3-32B", **spec},
        }
    )


def context(obj: AIMArtifact, size: int = 2**30, **config: Any) -> JobContext:
    given = AIMRuntimeConfig.model_validate({"metadata": {"name": "default", "namespace": "ml-team"}, "spec": config})
    resolved = resolve_config("", given, None, namespace="ml-team")
    return JobContext(obj, resolved, ControllerSettings(downloader_image=OWN), size)


@pytest.mark.parametrize(
    ("name", "claim", "download", "check_size"),
    [
        (
            "basic-lifecycle-hf",
            "basic-lifecycle-hf-cache-9179ba0d",
            "basic-lifecycle-hf-download-9179ba0d",
            "basic-lifecycle-hf-check-size-9179ba0d",
        ),
        (
            "hf---unsloth-deepseek-r1-distill-llama-70b-instruct-0123456789",
            "hf---unsloth-deepseek-r1-distill-llama-70b-instr-cache-9179ba0d",
            "hf---unsloth-deepseek-r1-distill-llama-70b-in-download-9179ba0d",
            "hf---unsloth-deepseek-r1-distill-llama-70b-check-size-9179ba0d",
        ),
    ],
)
def test_names(name: str, claim: str, download: str, check_size: str) -> None:
    obj = artifact(name)
    assert (claim_names(obj)[-1], download_name(obj), check_size_name(obj)) == (claim, download, check_size)


def test_a_download_by_our_own_image() -> None:
    """Prove ART-JOB-1 and ART-JOB-5."""
    job = download_job(context(artifact(env=[{"name": "HF_TOKEN", "value": "t"}])), CLAIM).manifest
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (2, 600)
    assert job["metadata"]["annotations"][CLAIM_UID_ANNOTATION] == "claim-uid"
    assert (container["name"], container["image"]) == ("model-download", OWN)
    assert (container["command"], container["args"]) == (["aimd", "download"], ["hf://Qwen/Qwen3-32B"])
    assert container["env"] == [
        {"name": "AIM_DOWNLOADER_PROTOCOL", "value": "XET,HF_TRANSFER"},
        {"name": "TMPDIR", "value": "/tmp/"},
        {"name": "HF_HOME", "value": "/tmp/.hf"},
        {"name": "EXPECTED_SIZE_BYTES", "value": "1073741824"},
        {"name": "MOUNT_PATH", "value": "/cache"},
        {"name": "ARTIFACT_NAME", "value": "basic-lifecycle-hf"},
        {"name": "ARTIFACT_NAMESPACE", "value": "ml-team"},
        {"name": "STALL_TIMEOUT", "value": "120"},
        {"name": "TARGET_DIR", "value": "/cache"},
        {"name": "HF_TOKEN", "value": "t"},
    ]
    assert pod["volumes"][0] == {"name": "cache", "persistentVolumeClaim": {"claimName": "weights-cache"}}
    assert container["volumeMounts"][0] == {"name": "cache", "mountPath": "/cache"}
    assert pod["serviceAccountName"] == "basic-lifecycle-hf-download-9179ba0d"
    assert pod["restartPolicy"] == "Never"
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert rules[-1]["onExitCodes"] == {"containerName": "model-download", "operator": "In", "values": [20, 21, 22, 26]}


def test_temporary_files_are_bounded() -> None:
    """Prove ART-JOB-4."""
    for job in (download_job(context(artifact()), CLAIM), check_size_job(context(artifact()))):
        volumes = {volume["name"]: volume for volume in job.manifest["spec"]["template"]["spec"]["volumes"]}
        assert volumes["tmp"] == {"name": "tmp", "emptyDir": {"sizeLimit": "12Gi"}}


def test_another_image_runs_its_own_entry_point() -> None:
    """Prove ART-JOB-1."""
    obj = artifact(modelDownloadImage="registry.example/mine:2")
    job = download_job(context(obj), CLAIM).manifest
    assert "command" not in job["spec"]["template"]["spec"]["containers"][0]
    assert "readOnlyRootFilesystem" not in job["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    assert "podFailurePolicy" not in job["spec"]
    check = check_size_job(context(obj)).manifest
    assert check["spec"]["template"]["spec"]["containers"][0]["command"] == ["/check-size.sh"]


def test_env_of_runtime_config_and_artifact_override_in_place() -> None:
    """Prove ART-JOB-6 and OBJ-ENV-1."""
    obj = artifact(env=[{"name": "STALL_TIMEOUT", "value": "15"}])
    job = download_job(context(obj, env=[{"name": "HF_HOME", "value": "/h"}, {"name": "TEAM", "value": "ml"}]), CLAIM)
    env = {item["name"]: item["value"] for item in job.manifest["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert (env["STALL_TIMEOUT"], env["HF_HOME"], env["TEAM"]) == ("15", "/h", "ml")
    assert list(env)[:3] == ["AIM_DOWNLOADER_PROTOCOL", "TMPDIR", "HF_HOME"]


def test_labels_reach_job_and_pod() -> None:
    """Prove OBJ-APL-5."""
    labels = {"aim.eai.amd.com/service.name": "chat", "team-alpha": "x", "env": "prod", "template-created": "true"}
    propagated = {"enabled": True, "match": ["team-*"]}
    job = download_job(context(artifact(labels=labels), labelPropagation=propagated), CLAIM).manifest
    expected = {
        "aim.eai.amd.com/artifact.name": "basic-lifecycle-hf",
        "aim.eai.amd.com/cache.name": "basic-lifecycle-hf",
        "aim.eai.amd.com/cache.type": "artifact",
        "aim.eai.amd.com/component": "download",
        "aim.eai.amd.com/service.name": "chat",
        "team-alpha": "x",
    }
    assert job["spec"]["template"]["metadata"]["labels"] == expected
    assert job["metadata"]["labels"] == expected | {"app.kubernetes.io/managed-by": "aim-artifact-controller"}
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("AIMArtifact", UID, True)
    assert "blockOwnerDeletion" not in owner


def test_a_size_check_has_neither_token_nor_volume_nor_defaults() -> None:
    """Prove ART-JOB-2 and ART-JOB-7."""
    job = check_size_job(context(artifact(imagePullSecrets=[{"name": "reg"}]), size=0)).manifest
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (2, 300)
    assert container["name"] == "check-size"
    assert (container["command"], container["args"]) == (["aimd", "check-size"], ["hf://Qwen/Qwen3-32B"])
    assert container["env"] == []
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    assert "fsGroup" not in pod["securityContext"]
    assert pod["imagePullSecrets"] == [{"name": "reg"}]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


@pytest.mark.parametrize("render", [lambda c: download_job(c, CLAIM), check_size_job])
def test_pods_pass_the_restricted_level(render: Any) -> None:
    """Prove ART-JOB-3."""
    pod = render(context(artifact())).manifest["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}


@pytest.mark.parametrize(("image", "verbs"), [("", ["patch"]), ("registry.example/mine:2", ["get", "patch"])])
def test_a_download_may_patch_its_own_status_only(image: str, verbs: list[str]) -> None:
    """Prove ART-JOB-2."""
    account, role, binding = download_identity(context(artifact(modelDownloadImage=image)))
    name = "basic-lifecycle-hf-download-9179ba0d"
    assert {account.key.name, role.key.name, binding.key.name} == {name}
    assert role.manifest["rules"] == [
        {
            "apiGroups": ["aim.eai.amd.com"],
            "resources": ["aimartifacts/status"],
            "resourceNames": ["basic-lifecycle-hf"],
            "verbs": verbs,
        }
    ]
    assert binding.manifest["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "ml-team"}]
    assert binding.manifest["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}


def test_the_fingerprint_follows_what_a_user_can_change() -> None:
    plain = inputs_of(download_job(context(artifact()), CLAIM).manifest)
    assert plain == inputs_of(download_job(context(artifact(labels={"a": "b"})), CLAIM, 1234).manifest)
    assert plain != inputs_of(download_job(context(artifact(env=[{"name": "HF_TOKEN", "value": "t"}])), CLAIM).manifest)
    assert plain != inputs_of(download_job(context(artifact(), env=[{"name": "A", "value": "b"}]), CLAIM).manifest)
    assert plain != inputs_of(download_job(context(artifact(modelDownloadImage="x")), CLAIM).manifest)


@pytest.mark.parametrize("where", ["artifact", "config"])
def test_debug_switches_need_the_permission_of_the_operator(where: str) -> None:
    """Prove ART-JOB-8."""
    env = [{"name": "AIM_DEBUG_SIMULATE_DOWNLOAD", "value": "1"}]
    of = context(artifact(env=env)) if where == "artifact" else context(artifact(), env=env)

    def names(of: JobContext) -> set[str]:
        jobs = (download_job(of, CLAIM), check_size_job(of))
        containers = [job.manifest["spec"]["template"]["spec"]["containers"][0] for job in jobs]
        return {item["name"] for container in containers for item in container["env"]}

    assert "AIM_DEBUG_SIMULATE_DOWNLOAD" not in names(of)
    allowed = replace(of, settings=replace(of.settings, allow_debug=True))
    assert "AIM_DEBUG_SIMULATE_DOWNLOAD" in names(allowed)
