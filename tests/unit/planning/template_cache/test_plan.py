"""Template caches: artifact names, matching, creation, conditions, clean-up."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.planning.runtime_config import ResolvedConfig, resolve_config
from aimd.planning.template_cache.matching import artifact_name
from aimd.planning.template_cache.plan import (
    PROGRESS_SECONDS,
    Leftover,
    ObservedTemplateCache,
    artifacts_to_delete,
)
from tests.unit.planning.template_cache.makers import (
    TOKEN,
    URI,
    artifact,
    cache,
    condition,
    settle,
    source,
    template,
)


def test_a_missing_artifact_is_made() -> None:
    """Prove TC-ART-8."""
    obj = cache(
        labels={"aim.eai.amd.com/service.name": "chat", "aim.eai.amd.com/service": "chat"},
        env=[{"name": "HF_TOKEN", "value": "a"}, {"name": "X", "value": "1"}],
        runtimeConfigName="team",
        storageClassName="fast",
        downloadImage="registry.example/own:1",
        imagePullSecrets=[{"name": "reg"}],
    )
    wanted = source(size="16Gi", env=[{"name": "HF_TOKEN", "value": "b"}])
    plan, summary = settle(
        ObservedTemplateCache(obj, ResolvedConfig(), template(sources=[source("hf://a/b"), wanted]), ())
    )
    assert len(plan.desired) == 2
    manifest = plan.desired[1].manifest
    assert manifest["spec"] == {
        "sourceUri": URI,
        "size": "16Gi",
        "modelId": "Qwen/Qwen3-32B",
        "storageClassName": "fast",
        "runtimeConfigName": "team",
        "env": [{"name": "HF_TOKEN", "value": "b"}, {"name": "X", "value": "1"}],
        "modelDownloadImage": "registry.example/own:1",
        "imagePullSecrets": [{"name": "reg"}],
    }
    assert manifest["metadata"]["labels"] == {
        "aim.eai.amd.com/service": "chat",
        "aim.eai.amd.com/service.name": "chat",
        "aim.eai.amd.com/template-cache.name": "my-cache",
        "aim.eai.amd.com/template.index": "1",
        "aim.eai.amd.com/template.name": "llama",
        "aim.eai.amd.com/template.scope": "Namespace",
        "app.kubernetes.io/managed-by": "aim-template-cache-controller",
        "template-created": "true",
    }
    assert "ownerReferences" not in manifest["metadata"]
    assert plan.desired[0].manifest["spec"]["size"] == "0"
    assert condition(summary, "ArtifactsReady") == ("False", "CreatingCaches")
    assert "artifacts" not in plan.status


def test_a_dedicated_cache_owns_its_artifacts() -> None:
    """Prove TC-ART-2."""
    plan, _ = settle(ObservedTemplateCache(cache(mode="Dedicated"), ResolvedConfig(), template(), ()))
    (owner,) = plan.desired[0].manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("AIMTemplateCache", "my-cache", "uid-my-cache")


def test_an_existing_artifact_is_never_written_again() -> None:
    """Prove TC-ART-5."""
    name = artifact_name(cache(), source())
    plan, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(), [artifact(name, status="")]))
    assert plan.desired == ()
    assert condition(summary, "ArtifactsReady") == ("False", "CreatingCaches")
    _, before = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(), []))
    messages = [next(c.message for c in each.conditions if c.type == "ArtifactsReady") for each in (before, summary)]
    assert messages[0] == messages[1], "an artifact that nobody has looked at yet is no news"


@pytest.mark.parametrize(
    ("state", "artifacts", "word", "reason"),
    [
        ("Failed", [], "Failed", "TemplateFailed"),
        ("NotAvailable", [], "NotAvailable", "TemplateNotAvailable"),
        ("Progressing", [], "Pending", "Progressing"),
        ("Pending", [], "Pending", "Progressing"),
    ],
)
def test_vectors_of_a_template_without_sources(state: str, artifacts: list[Any], word: str, reason: str) -> None:
    observed = ObservedTemplateCache(cache(), ResolvedConfig(), template(state, sources=[]), artifacts)
    plan, summary = settle(observed)
    assert (str(summary.state), condition(summary, "Ready")) == (word, ("False", reason))
    assert condition(summary, "ArtifactsReady") == ("False", "NoCaches")
    assert plan.status["artifacts"] is None


@pytest.mark.parametrize(
    ("template_state", "states", "word"),
    [
        ("Degraded", ["Ready", "Ready"], "Degraded"),
        ("Ready", [], "Progressing"),
        ("Ready", ["Progressing", "Ready"], "Progressing"),
        ("Ready", ["Ready", "Failed"], "Failed"),
        ("Ready", ["Ready", "Degraded"], "Degraded"),
        ("Ready", ["Pending", "Ready"], "Pending"),
        ("Ready", ["Ready", "Ready"], "Ready"),
    ],
)
def test_vectors(template_state: str, states: list[str], word: str) -> None:
    """Prove TC-TPL-2 and TC-STA-1."""
    sources = [source("hf://a/one", "a/one"), source("hf://a/two", "a/two")]
    artifacts = [artifact(f"art-{i}", state, sources[i].source_uri) for i, state in enumerate(states)]
    _, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(template_state, sources), artifacts))
    assert str(summary.state) == word


def test_all_ready() -> None:
    plan, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(), [artifact()]))
    assert (str(summary.state), condition(summary, "ArtifactsReady")) == ("Ready", ("True", "AllCachesReady"))
    assert condition(summary, "ServiceTemplateReady") == ("True", "TemplateReady")
    assert plan.status["artifacts"] == {
        "a": {
            "name": "a",
            "uid": "uid-a",
            "model": "Qwen/Qwen3-32B",
            "status": "Ready",
            "persistentVolumeClaim": "a-claim",
            "mountPoint": "/workspace/cache/Qwen/Qwen3-32B",
        }
    }
    assert plan.status["resolvedTemplateKind"] == "AIMServiceTemplate"
    assert plan.desired == ()


def test_the_worst_artifact_gives_the_reason() -> None:
    """Prove TC-STA-1."""
    _, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(), [artifact(status="Failed")]))
    assert condition(summary, "ArtifactsReady") == ("False", "BecauseFailed")
    bare = artifact(status="Progressing", status_fields={"conditions": []})
    _, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(), [bare]))
    assert condition(summary, "ArtifactsReady") == ("False", "CachesNotReady")


def test_without_a_claim_nothing_is_ready() -> None:
    """Prove TC-STA-1."""
    bare = artifact(status_fields={"persistentVolumeClaim": ""})
    _, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(), [bare]))
    assert str(summary.state) == "Progressing"


def test_a_ready_template_without_weights_needs_no_artifacts() -> None:
    """Prove TC-STA-2."""
    _, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(sources=[])))
    assert (str(summary.state), condition(summary, "ArtifactsReady")) == ("Ready", ("True", "NothingToCache"))


def test_a_missing_template_and_a_missing_config() -> None:
    plan, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), None))
    assert (str(summary.state), condition(summary, "Ready")) == ("Failed", ("False", "ReferenceNotFound"))
    assert condition(summary, "ServiceTemplateReady") == ("False", "ReferenceNotFound")
    missing = resolve_config("team", None, None, namespace="ml-team")
    plan, summary = settle(ObservedTemplateCache(cache(), missing, template()))
    assert any(component.blocks_apply for component in plan.components)
    assert (str(summary.state), condition(summary, "RuntimeConfigReady")) == ("Failed", ("False", "ReferenceNotFound"))


def test_a_template_nobody_has_looked_at_is_waited_for() -> None:
    """Prove TC-TPL-2."""
    new = AIMServiceTemplate.model_validate({"metadata": {"name": "llama", "namespace": "ml-team"}})
    _, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), new))
    assert str(summary.state) == "Pending"


def test_the_kind_of_a_cluster_template_shows() -> None:
    found = AIMClusterServiceTemplate.model_validate({"metadata": {"name": "llama"}})
    plan, _ = settle(ObservedTemplateCache(cache(), ResolvedConfig(), found))
    assert plan.status["resolvedTemplateKind"] == "AIMClusterServiceTemplate"


def test_a_token_given_later_starts_afresh_and_the_failed_artifact_goes() -> None:
    """Prove TC-ART-7."""
    made = {"template-created": "true", "aim.eai.amd.com/template-cache.name": "my-cache"}
    failed = artifact("old", "Failed", metadata={"labels": made})
    with_token = cache(env=[TOKEN])
    plan, summary = settle(ObservedTemplateCache(with_token, ResolvedConfig(), template(), [failed]))
    assert [item.key.name for item in plan.desired] == [artifact_name(with_token, source())]
    assert (plan.deletions, condition(summary, "ArtifactsReady")) == ((), ("False", "CreatingCaches"))
    fresh = artifact("new", "Progressing", spec={"env": [TOKEN]})
    observed = ObservedTemplateCache(with_token, ResolvedConfig(), template(), [failed, fresh])
    plan, _ = settle(observed)
    assert [(item.key.name, item.reason) for item in plan.deletions] == [("old", "superseded")]
    for kept in (
        replace(observed, used_elsewhere=frozenset({"old"})),
        replace(observed, artifacts=[artifact("old", "Failed"), fresh]),
        replace(observed, artifacts=[artifact("old", "Degraded", metadata={"labels": made}), fresh]),
        replace(observed, artifacts=[failed, artifact("new", "Progressing", uri="hf://x/y")]),
    ):
        assert settle(kept)[0].deletions == ()


def test_progress_is_looked_for_before_there_is_any() -> None:
    begun = ObservedTemplateCache(cache(), ResolvedConfig(), template(), [artifact(status="Progressing")])
    assert settle(begun)[0].requeue_after == PROGRESS_SECONDS
    failed = ObservedTemplateCache(cache(), ResolvedConfig(), template(), [artifact(status="Failed")])
    assert settle(failed)[0].requeue_after is None


def test_progress_is_repeated_at_a_bounded_rate() -> None:
    """Prove TC-STA-4."""
    moving = artifact(
        status="Progressing",
        status_fields={
            "progress": {"percentage": 42},
            "download": {"message": "XET: 5.0 GB of 12.0 GB, 500 MB/s, 14 s left"},
        },
    )
    plan, summary = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(), [moving]))
    assert plan.requeue_after == PROGRESS_SECONDS
    shown = next(c.message for c in summary.conditions if c.type == "ArtifactsReady")
    assert shown == ("0 of 1 artifacts are ready; a is Progressing, 42 % (XET: 5.0 GB of 12.0 GB, 500 MB/s, 14 s left)")
    assert shown in next(c.message for c in summary.conditions if c.type == "Ready")
    plan, _ = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(), [artifact()]))
    assert plan.requeue_after is None


def test_one_artifact_for_two_models_is_listed_twice() -> None:
    """Prove TC-STA-3."""
    sources = [source(model="a/one"), source(model="a/two"), source(model="a/one")]
    plan, _ = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(sources=sources), [artifact()]))
    assert {key: entry["model"] for key, entry in plan.status["artifacts"].items()} == {"a": "a/one", "a#2": "a/two"}
    plan, _ = settle(ObservedTemplateCache(cache(), ResolvedConfig(), template(sources=sources), []))
    assert len(plan.desired) == 1


def test_sources_of_the_cache_replace_those_of_the_template() -> None:
    """Prove TC-SRC-1."""
    own = [{"sourceUri": "s3://bucket/x/", "modelId": "a/b"}]
    plan, _ = settle(ObservedTemplateCache(cache(modelSources=own), ResolvedConfig(), template(), []))
    assert [item.manifest["spec"]["sourceUri"] for item in plan.desired] == ["s3://bucket/x/"]


def test_clean_up_takes_what_is_unfinished_and_unwanted() -> None:
    """Prove TC-DEL-1."""
    label = {"labels": {"aim.eai.amd.com/template-cache.name": "my-cache"}}
    ready, failed, loading, fresh = (
        artifact(name, status, metadata=label)
        for name, status in (("ready", "Ready"), ("failed", "Failed"), ("loading", "Progressing"), ("fresh", ""))
    )
    unrelated = artifact("unrelated", "Failed")
    everything = [ready, failed, loading, fresh, unrelated]
    assert artifacts_to_delete(cache(), Leftover(everything)) == (failed, loading, fresh)
    assert artifacts_to_delete(cache(), Leftover(everything, used_uris=frozenset({URI}))) == (failed,)
    assert artifacts_to_delete(cache(), Leftover(everything, used_names=frozenset({"loading"}))) == (failed, fresh)


words = st.sampled_from(["", "Pending", "Progressing", "Ready", "Degraded", "Failed", "NotAvailable", "Odd"])


@given(words, st.lists(st.tuples(words, st.sampled_from([URI, "hf://a/b"])), max_size=4), st.booleans())
def test_planning_is_total_and_ready_only_when_all_is_there(
    state: str, found: list[tuple[str, str]], dedicated: bool
) -> None:
    artifacts = [artifact(f"a{i}", status, uri) for i, (status, uri) in enumerate(found)]
    obj = cache(mode="Dedicated" if dedicated else "Shared")
    plan, summary = settle(
        ObservedTemplateCache(obj, ResolvedConfig(), template(state, [source(), source("hf://a/b", "a/b")]), artifacts)
    )
    if str(summary.state) == "Ready":
        assert {entry["status"] for entry in plan.status["artifacts"].values()} == {"Ready"}
        assert len(plan.status["artifacts"]) == 2
        assert not dedicated
