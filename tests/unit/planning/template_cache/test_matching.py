"""Which artifact serves which source."""

from typing import Any

import pytest

from aimd.api.artifact import AIMArtifact
from aimd.api.core import EnvVar
from aimd.api.runtime_config import AIMRuntimeConfigSpec
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.template_cache.matching import ArtifactContext, artifact_name, best_artifact, match_sources
from tests.unit.planning.template_cache.makers import HF_SECRET, TOKEN, artifact, cache, source


@pytest.mark.parametrize(
    ("spec", "uri", "name"),
    [
        ({}, "hf://Qwen/Qwen2.5-0.5B", "hf---qwen-qwen2-5-0-5b-28f4fd7e9f"),
        ({}, "hf://sshleifer/tiny-gpt2", "hf---sshleifer-tiny-gpt2-fc6a9647bb"),
        ({"env": [TOKEN]}, "hf://sshleifer/tiny-gpt2", "hf---sshleifer-tiny-gpt2-8b6a4bfd16"),
        ({"mode": "Dedicated"}, "hf://sshleifer/tiny-gpt2", "hf---sshleifer-tiny-gpt2-d0e32af75c"),
        (
            {"env": [HF_SECRET], "storageClassName": "fast"},
            "hf://meta-llama/Llama-3.1-8B",
            "hf---meta-llama-llama-3-1-8b-f424589d40",
        ),
        ({}, "s3://my-bucket/weights/", "s3---my-bucket-weights-8b92096c33"),
    ],
)
def test_artifact_names(spec: dict[str, Any], uri: str, name: str) -> None:
    """Prove TC-ART-6."""
    assert artifact_name(cache(**spec), source(uri)) == name


def test_names_found_in_a_taken_over_namespace() -> None:
    shared = cache(name="inline-a04542d9", storageClassName="nfs")
    dedicated = cache(
        name="inline-dedicated-ef647d2d",
        mode="Dedicated",
        storageClassName="nfs",
        env=[{"name": "HF_TOKEN", "value": "x"}],
    )
    assert artifact_name(shared, source()) == "hf---qwen-qwen3-32b-1a66d7c32f"
    assert artifact_name(dedicated, source()) == "hf---qwen-qwen3-32b-61eb034b75"


def best(obj: AIMTemplateCache, *candidates: AIMArtifact, config: ResolvedConfig | None = None) -> str | None:
    found = best_artifact(obj, source(), candidates, config or ResolvedConfig(), {})
    return found.metadata.name if found is not None else None


def test_the_best_status_wins_then_the_oldest_then_the_name() -> None:
    """Prove TC-ART-4."""
    older = {"creationTimestamp": "2025-01-01T00:00:00Z"}
    assert best(cache(), artifact("a", "Failed"), artifact("b", "Progressing"), artifact("c", "Degraded")) == "b"
    assert best(cache(), artifact("a"), artifact("b", metadata=older)) == "b"
    assert best(cache(), artifact("b"), artifact("a")) == "a"


def test_what_may_not_be_used() -> None:
    """Prove TC-ART-2."""
    owned = {"ownerReferences": [{"uid": "uid-my-cache", "kind": "AIMTemplateCache"}]}
    foreign = {"ownerReferences": [{"uid": "x"}]}
    assert best(cache(), artifact(status="")) is None
    assert best(cache(), artifact(metadata=owned)) is None
    assert best(cache(), artifact(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})) is None
    assert best(cache(), artifact(uri="hf://other/model")) is None
    assert best(cache(mode="Dedicated"), artifact()) is None
    assert best(cache(mode="Dedicated"), artifact(metadata=foreign)) is None
    assert best(cache(mode="Dedicated"), artifact(metadata=owned)) == "a"


def test_storage_class_counts_when_the_cache_names_one() -> None:
    """Prove TC-ART-1."""
    assert best(cache(storageClassName="fast"), artifact()) is None
    assert best(cache(storageClassName="fast"), artifact(spec={"storageClassName": "fast"})) == "a"
    assert best(cache(), artifact(spec={"storageClassName": "fast"})) == "a"


def test_endpoints_separate_credentials_do_not_once_ready() -> None:
    """Prove TC-ART-1."""
    other = {"env": [{"name": "AWS_ENDPOINT_URL", "value": "https://b"}]}
    assert best(cache(), artifact(spec=other)) is None
    assert best(cache(env=other["env"]), artifact(spec=other)) == "a"
    assert best(cache(env=[TOKEN]), artifact()) == "a"
    assert best(cache(env=[TOKEN]), artifact(status="Failed")) is None
    assert best(cache(env=[TOKEN]), artifact(status="Failed", spec={"env": [TOKEN]})) == "a"


def test_the_class_of_the_claim_counts_and_the_config_of_the_artifact() -> None:
    """Prove TC-ART-1."""
    candidate, obj = artifact(), cache(storageClassName="fast")

    def found(contexts: ArtifactContext) -> bool:
        return best_artifact(obj, source(), [candidate], ResolvedConfig(), {"a": contexts}) is not None

    assert found(ArtifactContext(storage_class="fast"))
    assert not found(ArtifactContext(storage_class="slow"))
    elsewhere = AIMRuntimeConfigSpec(env=(EnvVar(name="HF_ENDPOINT", value="https://mirror"),))
    assert not found(ArtifactContext(ResolvedConfig(spec=elsewhere), "fast"))


def test_a_ready_match_stays_one_whatever_the_rules_say_by_now() -> None:
    """Prove TC-ART-3."""
    other = artifact(spec={"env": [{"name": "AWS_ENDPOINT_URL", "value": "https://b"}]})
    assert best(cache(), other) is None
    entry = {"name": "a", "uid": "uid-a", "model": "m", "status": "Ready"}
    user = AIMTemplateCache.model_validate({**cache().manifest(), "status": {"artifacts": {"a": entry}}})
    assert best(user, other) == "a"


def variable(name: str, value: str = "https://elsewhere") -> dict[str, Any]:
    return {"env": [{"name": name, "value": value}]}


@pytest.mark.parametrize(
    "spec",
    [
        variable("AWS_ENDPOINT_URL_S3"),
        variable("https_proxy"),
        variable("HTTPS_PROXY"),
        variable("ALL_PROXY"),
        variable("NO_PROXY", "*"),
        variable("SSL_CERT_FILE", "/cache/ca.pem"),
        variable("REQUESTS_CA_BUNDLE", "/cache/ca.pem"),
        variable("AWS_CONFIG_FILE", "/cache/config"),
        variable("PYTHONPATH", "/cache"),
        variable("AIM_DEBUG_SIMULATE_DOWNLOAD", "1"),
        variable("OF_THE_FUTURE"),
        {"env": [{"name": "HF_ENDPOINT", "valueFrom": {"secretKeyRef": {"name": "mirror", "key": "url"}}}]},
        {"modelDownloadImage": "evil.example/downloader:1"},
    ],
)
def test_an_artifact_of_another_origin_is_not_reused(spec: dict[str, Any]) -> None:
    """Prove TC-ART-9: a new artifact is made, under another name, though the other one took the usual name."""
    obj = cache()
    usual = artifact_name(obj, source())
    other = artifact(usual, spec=spec)
    assert best(obj, other) is None
    (match,) = match_sources(obj, [source()], [other], ResolvedConfig(), {})
    assert (match.artifact, match.name == usual) == (None, False)
    again = artifact(match.name, spec=spec)
    (further,) = match_sources(obj, [source()], [other, again], ResolvedConfig(), {})
    assert further.name not in (usual, match.name)


@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "STALL_TIMEOUT", "AIM_LOG_LEVEL", "VLLM_USE_V1"])
def test_what_cannot_change_the_weights_does_not_count(name: str) -> None:
    """Prove TC-ART-9."""
    assert best(cache(), artifact(spec=variable(name))) == "a"


def test_the_operators_own_images_are_equal_and_those_of_others_are_not() -> None:
    """Prove TC-ART-9."""
    own = ArtifactContext(own_images=frozenset({"aimd:1", "aimd:2"}))

    def found(wanted: str, used: str) -> bool:
        obj = cache(downloadImage=wanted) if wanted else cache()
        candidate = artifact(spec={"modelDownloadImage": used})
        return best_artifact(obj, source(), [candidate], ResolvedConfig(), {"a": own}) is not None

    assert found("", "aimd:1")
    assert found("aimd:2", "aimd:1")
    assert found("acme/downloader:1", "acme/downloader:1")
    assert not found("acme/downloader:1", "")
    assert not found("", "acme/downloader:1")
    assert not found("aimd:1", "acme/downloader:1")
