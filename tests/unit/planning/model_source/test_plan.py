"""Catalog sources."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aimd.api.model_source import AIMClusterModelSource
from aimd.planning.conditions import Summary, summarize
from aimd.planning.model_source.filters import CatalogImage
from aimd.planning.model_source.plan import FilterResult, ObservedSource, interval_seconds, plan_model_source
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig
from aimd.runtime.objects import Applied, Category, Failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def source(**spec: Any) -> AIMClusterModelSource:
    filters = [{"image": "amdenterpriseai/aim-*"}]
    return AIMClusterModelSource.model_validate(
        {"metadata": {"name": "amd", "uid": "su"}, "spec": {"filters": filters, **spec}}
    )


def image(name: str, tag: str = "0.8.4", registry: str = "docker.io") -> CatalogImage:
    return CatalogImage(registry, f"amdenterpriseai/{name}", tag)


def settle(obj: AIMClusterModelSource, *results: FilterResult, **fields: Any) -> tuple[Plan, Summary]:
    plan = plan_model_source(ObservedSource(obj, ResolvedConfig(), results, **fields), NOW)
    extra = plan.extra_conditions
    return plan, summarize(
        plan.components, applied=Applied(), previous=(), generation=1, now=NOW, extra_conditions=extra
    )


def shown(summary: Summary, type_: str) -> tuple[str, str]:
    return next((c.status, c.reason) for c in summary.conditions if c.type == type_)


def test_an_image_becomes_a_model() -> None:
    """Prove SRC-IMP-1."""
    wanted = CatalogImage("docker.io", "amdenterpriseai/aim-qwen-qwen3-32b", "0.8.5")
    plan, summary = settle(
        source(imagePullSecrets=[{"name": "regcred"}]), FilterResult("f", [wanted]), listed_at=NOW, again_after=3600
    )
    (item,) = plan.desired
    metadata = item.manifest["metadata"]
    assert metadata["name"] == "amdenterpriseai-aim-qwen-qwen3-32b-0-8-5-72f726"
    assert metadata["labels"] == {
        "aim.eai.amd.com/cluster-model-source.name": "amd",
        "aim.eai.amd.com/model-source": "amd",
        "aim.eai.amd.com/origin": "auto-generated",
        "app.kubernetes.io/managed-by": "aim-cluster-model-source-controller",
    }
    assert metadata["annotations"] == {
        "aim.eai.amd.com/source-registry": "docker.io",
        "aim.eai.amd.com/source-repository": "amdenterpriseai/aim-qwen-qwen3-32b",
        "aim.eai.amd.com/source-tag": "0.8.5",
    }
    assert [owner["uid"] for owner in metadata["ownerReferences"]] == ["su"]
    assert item.manifest["spec"] == {
        "image": "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5",
        "imagePullSecrets": [{"name": "regcred"}],
    }
    assert str(summary.state) == "Ready"
    assert shown(summary, "ExistingModelsReady") == ("True", "Listed")
    assert shown(summary, "FiltersReady") == ("True", "AllFiltersSucceeded")
    assert shown(summary, "MaxModelsLimitReached") == ("False", "WithinLimit")
    assert plan.status == {
        "discoveredModels": 1,
        "availableModels": 1,
        "modelsLimitReached": False,
        "lastSyncTime": "2026-01-01T00:00:00Z",
    }
    assert plan.requeue_after == 3600


@pytest.mark.parametrize(
    ("registry", "repository", "tag", "name"),
    [
        ("ghcr.io", "silogen/aim-llama", "1.0.0", "silogen-aim-llama-1-0-0-201bdd"),
        (
            "ghcr.io",
            "silogen/aim-mistralai-mistral-small-3.2-24b-instruct-2506",
            "0.8.5",
            "silogen-aim-mistralai-mistral-small-3-2-24b-instru-0-8-5-c6da71",
        ),
    ],
)
def test_names_of_models(registry: str, repository: str, tag: str, name: str) -> None:
    plan, _ = settle(source(), FilterResult("f", [CatalogImage(registry, repository, tag)]))
    assert plan.desired[0].key.name == name
    assert plan.desired[0].manifest["spec"]["image"] == f"{registry}/{repository}:{tag}"


def test_without_a_listing_the_time_of_the_last_one_stays() -> None:
    """Prove SRC-SYN-1."""
    plan, _ = settle(source(), FilterResult("f", [image("a")]))
    assert "lastSyncTime" not in plan.status


def test_the_limit_is_kept_and_shown() -> None:
    """Prove SRC-IMP-2."""
    found = FilterResult("f", [image("a"), image("b"), image("c")])
    plan, summary = settle(source(maxModels=4), found, own=frozenset({"x:1", "y:1"}))
    assert len(plan.desired) == 2
    assert plan.status["discoveredModels"] == 4
    assert plan.status["modelsLimitReached"] is True
    assert shown(summary, "MaxModelsLimitReached") == ("True", "LimitReached")


def test_an_image_found_twice_counts_once_and_others_models_are_left_to_them() -> None:
    """Prove SRC-IMP-3."""
    twice = [FilterResult("f", [image("a")]), FilterResult("g", [image("a"), image("b")])]
    plan, _ = settle(source(), *twice, others=frozenset({image("b").uri}))
    assert [item.manifest["spec"]["image"] for item in plan.desired] == [image("a").uri]
    assert plan.status["availableModels"] == 2


def test_a_model_whose_image_was_edited_is_not_turned_back() -> None:
    """Prove SRC-IMP-1."""
    taken = frozenset({image("a").model_name})
    plan, _ = settle(source(), FilterResult("f", [image("a")]), own=frozenset({"edited:1"}), names=taken)
    assert plan.desired == ()


def test_some_filters_in_error_keep_what_was_found() -> None:
    """Prove SRC-FLT-3."""
    good, bad = FilterResult("f", [image("a")]), FilterResult("g", failures=("Filter 'g': no such namespace",))
    plan, summary = settle(source(), good, bad)
    assert len(plan.desired) == 1
    assert str(summary.state) == "Degraded"
    assert shown(summary, "FiltersReady") == ("False", "SomeFiltersFailed")
    assert "no such namespace" in next(c.message for c in summary.conditions if c.type == "FiltersReady")


def test_all_filters_in_error_fail() -> None:
    """Prove SRC-FLT-3."""
    _, summary = settle(source(), FilterResult("f", failures=("no",)), FilterResult("g", failures=("no",)))
    assert (str(summary.state), shown(summary, "FiltersReady")) == ("Failed", ("False", "AllFiltersFailed"))
    assert shown(summary, "Ready")[0] == "False"


def test_a_missing_secret_is_a_missing_reference() -> None:
    secret = Failure(Category.MISSING_UPSTREAM, "SecretNotFound", "no Secret")
    _, summary = settle(source(), secret=secret)
    assert str(summary.state) == "Failed"
    assert shown(summary, "ConfigValid") == ("False", "ReferenceNotFound")


def test_a_secret_that_cannot_be_read_is_trouble_of_the_cluster() -> None:
    secret = Failure(Category.INFRASTRUCTURE, "SecretAccessFailed", "forbidden")
    _, summary = settle(source(), secret=secret)
    assert (str(summary.state), shown(summary, "FiltersReady")) == ("Degraded", ("False", "SecretAccessFailed"))


def test_a_source_without_filters_waits_for_one() -> None:
    _, summary = settle(source(filters=[]))
    assert (str(summary.state), shown(summary, "FiltersReady")) == ("Progressing", ("False", "NoFilters"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h", 3600),
        ("30m", 1800),
        ("1h30m", 5400),
        ("0", 3600),
        ("0s", 3600),
        ("1s", 30),
        ("soon", 3600),
        ("-1h", 3600),
    ],
)
def test_intervals(text: str, seconds: float) -> None:
    """Prove SRC-SYN-2."""
    assert interval_seconds(source(syncInterval=text)) == seconds


def test_an_interval_that_is_none_is_told_and_stops_nothing() -> None:
    """Prove SRC-SYN-2."""
    plan, summary = settle(source(syncInterval="soon"), FilterResult("f", [image("a")]))
    assert len(plan.desired) == 1
    assert shown(summary, "ConfigValid") == ("False", "InvalidSpec")
