"""Models: metadata without a registry, and the health of their templates."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMClusterModel, AIMModel, ImageMetadata
from aimd.api.service_template import AIMServiceTemplate
from aimd.planning.component import may_apply
from aimd.planning.image_inspection import Inspection, LabelsUnreadable, ProfilesOfImage
from aimd.planning.model.image_metadata import LabelsRead, read_labels
from aimd.planning.model.observed import ObservedModel
from aimd.planning.model.plan import plan_model
from aimd.planning.needs import InspectImage
from aimd.planning.profiles import read_profiles
from aimd.planning.runtime_config import ResolvedConfig, resolve_config
from aimd.registry.failures import Problem, failure
from aimd.runtime.objects import Category, Failure
from tests.aim_profiles import profile_text
from tests.unit.planning.model.makers import (
    METADATA,
    NOW,
    RECOMMENDED,
    SOURCES,
    cluster_model,
    condition,
    model,
    settle,
    templates,
)


@pytest.mark.parametrize(
    ("obj", "shown"),
    [
        (model(discovery={"extractMetadata": False}), ("True", "ImageFound")),
        (model(imageMetadata=METADATA), ("True", "ImageMetadataFound")),
        (model(imageMetadata={"oci": {}}), ("True", "ImageFound")),
        (model(status={"imageMetadata": METADATA}), ("True", "ImageFound")),
        (model(status={"imageMetadata": METADATA, "inspectedImage": "img:1"}), ("True", "ImageFound")),
        (model(status={"imageMetadata": METADATA, "inspectedImage": "img:0"}), ("False", "InspectionPending")),
        (model(modelSources=SOURCES), ("False", "InspectionPending")),
        (model(), ("False", "InspectionPending")),
    ],
)
def test_where_metadata_comes_from(obj: AIMModel, shown: tuple[str, str]) -> None:
    """Prove MDL-INS-1 and MDL-INS-2."""
    assert condition(settle(ObservedModel(obj, ResolvedConfig())), "ImageMetadataReady") == shown


def test_what_the_registry_told_is_kept_with_its_image() -> None:
    """Prove MDL-INS-2."""
    found = read_labels({"com.amd.aim.model.canonicalName": "a/b"})
    assert isinstance(found, LabelsRead)
    observed = ObservedModel(model(), ResolvedConfig(), inspection=Inspection(found.metadata))
    plan = plan_model(observed, NOW)
    assert plan.status["inspectedImage"] == "img:1"
    labels = {"com.amd.aim.model.canonicalName": "a/b"}
    assert plan.status["imageMetadata"] == {"model": {"canonicalName": "a/b"}, "oci": {}, "originalLabels": labels}
    assert condition(settle(observed), "ImageMetadataReady") == ("True", "ImageFound")


@pytest.mark.parametrize(
    ("problem", "reason", "unreachable", "refused"),
    [
        (Problem.REFERENCE, "ImageReferenceInvalid", False, False),
        (Problem.NOT_ALLOWED, "RegistryNotAllowed", False, False),
        (Problem.AUTH, "ImagePullAuthFailure", False, True),
        (Problem.NOT_FOUND, "ImageNotFound", False, False),
        (Problem.CONTENT, "MetadataExtractionFailed", False, False),
        (Problem.RATE_LIMIT, "ImagePullBackOff", True, False),
        (Problem.UNAVAILABLE, "ImagePullBackOff", True, False),
        (Problem.NETWORK, "NetworkError", True, False),
    ],
)
@pytest.mark.parametrize("obj", [model(), model(modelSources=SOURCES), cluster_model()])
def test_registry_errors_degrade_and_never_fail(
    problem: Problem, reason: str, unreachable: bool, refused: bool, obj: Any
) -> None:
    """Prove MDL-INS-3."""
    inspection = Inspection(failure=failure(problem, "no"), again_after=300)
    observed = ObservedModel(obj, ResolvedConfig(), inspection=inspection)
    summary = settle(observed)
    assert str(summary.state) == "Degraded"
    assert condition(summary, "ImageMetadataReady") == ("False", reason)
    types = {c.type for c in summary.conditions if c.status == "False"}
    assert ("DependenciesReachable" in types, "AuthValid" in types) == (unreachable, refused)
    plan = plan_model(observed, NOW)
    assert plan.requeue_after == 300
    assert may_apply(plan.components)
    assert len(plan.desired) == (1 if obj.spec.model_sources else 0)


@pytest.mark.parametrize(("obj", "reason"), [(model(), "SecretNotFound"), (cluster_model(), "ReferenceNotFound")])
def test_a_missing_pull_secret_fails(obj: Any, reason: str) -> None:
    """Prove MDL-INS-5."""
    secret = Failure(Category.MISSING_UPSTREAM, "SecretNotFound", "no Secret")
    summary = settle(ObservedModel(obj, ResolvedConfig(), inspection=Inspection(secret=secret, again_after=60)))
    assert str(summary.state) == "Failed"
    assert condition(summary, "ImageMetadataReady") == ("False", reason)
    assert condition(summary, "ConfigValid") == condition(summary, "Ready") == ("False", "ReferenceNotFound")


def test_a_pull_secret_that_cannot_be_read_degrades() -> None:
    secret = Failure(Category.INFRASTRUCTURE, "SecretAccessFailed", "forbidden")
    summary = settle(ObservedModel(model(), ResolvedConfig(), inspection=Inspection(secret=secret, again_after=60)))
    assert str(summary.state) == "Degraded"
    assert condition(summary, "ImageMetadataReady") == ("False", "SecretAccessFailed")
    assert condition(summary, "DependenciesReachable") == ("False", "InfrastructureError")


def test_while_nobody_could_be_asked_the_last_answer_stays_shown() -> None:
    """Prove MDL-STA-4."""
    stored = {"type": "ImageMetadataReady", "status": "False", "reason": "ImageNotFound", "message": "no"}
    observed = ObservedModel(model(status={"conditions": [stored]}), ResolvedConfig(), inspection=Inspection())
    summary = settle(observed)
    assert (str(summary.state), condition(summary, "ImageMetadataReady")) == ("Degraded", ("False", "ImageNotFound"))


def test_labels_that_make_no_sense_say_so() -> None:
    inspection = Inspection(unreadable=LabelsUnreadable("bad label"))
    summary = settle(ObservedModel(model(), ResolvedConfig(), inspection=inspection))
    assert condition(summary, "ImageMetadataReady") == ("False", "MetadataExtractionFailed")
    assert str(summary.state) == "Degraded"


def test_metadata_of_the_spec_is_copied_unless_switched_off() -> None:
    assert (
        plan_model(ObservedModel(model(imageMetadata=METADATA), ResolvedConfig()), NOW).status["imageMetadata"]
        == METADATA
    )
    off = model(imageMetadata=METADATA, discovery={"extractMetadata": False})
    assert "imageMetadata" not in plan_model(ObservedModel(off, ResolvedConfig()), NOW).status


NO_TEMPLATES = model(discovery={"extractMetadata": False, "createServiceTemplates": False})


@pytest.mark.parametrize(
    ("obj", "words", "word", "reason"),
    [
        (model(status={"imageMetadata": RECOMMENDED}), (), "Progressing", "CreatingTemplates"),
        (NO_TEMPLATES, (), "Ready", "NoTemplatesExpected"),
        (NO_TEMPLATES, ("Ready", "Ready"), "Ready", "AllTemplatesReady"),
        (NO_TEMPLATES, ("Failed", "Failed"), "Failed", "AllTemplatesFailed"),
        (NO_TEMPLATES, ("Failed", "Degraded"), "Failed", "AllTemplatesFailed"),
        (NO_TEMPLATES, ("NotAvailable", "NotAvailable"), "NotAvailable", "NoTemplatesAvailable"),
        (NO_TEMPLATES, ("Ready", "Degraded", "Progressing"), "Degraded", "SomeTemplatesDegraded"),
        (NO_TEMPLATES, ("Ready", "Progressing"), "Progressing", "TemplatesProgressing"),
        (NO_TEMPLATES, ("Ready", "Pending"), "Progressing", "TemplatesProgressing"),
        (NO_TEMPLATES, ("Ready", "NotAvailable"), "Ready", "SomeTemplatesReady"),
        (NO_TEMPLATES, ("Odd",), "Progressing", "TemplatesProgressing"),
    ],
)
def test_templates_make_the_state(obj: AIMModel, words: tuple[str, ...], word: str, reason: str) -> None:
    """Prove MDL-STA-1."""
    summary = settle(ObservedModel(obj, ResolvedConfig(), templates(*words)))
    assert (str(summary.state), condition(summary, "ServiceTemplatesReady")[1]) == (word, reason)
    twin = AIMClusterModel.model_validate(obj.manifest())
    summary = settle(ObservedModel(twin, ResolvedConfig(), templates(*words, cluster=True)))
    assert condition(summary, "ClusterServiceTemplatesReady")[1] == reason


def test_templates_that_only_pass_on_the_fault_of_the_model_do_not_make_it_worse() -> None:
    """Prove MDL-STA-2."""
    echo = {"type": "ModelReady", "status": "False", "reason": "ModelFailed", "message": "no"}
    own = {"type": "DiscoveryJobReady", "status": "False", "reason": "JobFailed", "message": "no"}
    for conditions, word in (([echo], "Degraded"), ([echo, own], "Degraded"), ([own], "Failed"), ([], "Failed")):
        status = {"status": "Failed", "conditions": conditions}
        bad = AIMServiceTemplate.model_validate({"metadata": {"name": "t", "namespace": "ml-team"}, "status": status})
        summary = settle(ObservedModel(model(), ResolvedConfig(), templates=[bad]))
        assert condition(summary, "ServiceTemplatesReady") == ("False", "AllTemplatesFailed")
        assert str(summary.state) == word


def test_a_cluster_model_that_waits_is_pending() -> None:
    """Prove MDL-STA-3."""
    obj = cluster_model(discovery={"extractMetadata": False, "createServiceTemplates": False})
    summary = settle(ObservedModel(obj, ResolvedConfig(), templates("Progressing", cluster=True)))
    assert str(summary.state) == "Pending"
    assert condition(summary, "ClusterServiceTemplatesReady") == ("False", "TemplatesProgressing")


@pytest.mark.parametrize(("obj", "reason"), [(NO_TEMPLATES, "ConfigNotFound"), (cluster_model(), "ReferenceNotFound")])
def test_a_missing_config_fails(obj: Any, reason: str) -> None:
    """Prove CFG-FND-2."""
    config = resolve_config("team", None, None, namespace=obj.metadata.namespace)
    summary = settle(ObservedModel(obj, config))
    assert str(summary.state) == "Failed"
    assert condition(summary, "RuntimeConfigReady") == ("False", reason)
    assert condition(summary, "ConfigValid") == condition(summary, "Ready") == ("False", "ReferenceNotFound")


def test_source_type() -> None:
    assert plan_model(ObservedModel(model(), ResolvedConfig()), NOW).status["sourceType"] == "Image"
    assert (
        plan_model(ObservedModel(model(modelSources=SOURCES), ResolvedConfig()), NOW).status["sourceType"] == "Custom"
    )


@given(st.lists(st.sampled_from(["", "Pending", "Progressing", "Ready", "Degraded", "Failed", "NotAvailable", "?"])))
def test_judging_templates_is_total_and_blind_to_order(words: list[str]) -> None:
    one = settle(ObservedModel(NO_TEMPLATES, ResolvedConfig(), templates(*words)))
    other = settle(ObservedModel(NO_TEMPLATES, ResolvedConfig(), templates(*reversed(words))))
    assert one.conditions == other.conditions


def inspected(*deployments: dict[str, Any], unreadable: str = "", **files: str) -> Inspection:
    metadata = ImageMetadata.model_validate({"model": {"recommendedDeployments": list(deployments)}})
    texts = {f"acme/tiny/{name}.yaml": text for name, text in files.items()}
    read = read_profiles(texts, {"AIM_ID": "acme/tiny"}) if files else None
    return Inspection(metadata, ProfilesOfImage(read, unreadable, "sha256:1"))


def test_profiles_of_the_image_become_templates_and_are_kept() -> None:
    """Prove MDL-PRF-1, MDL-PRF-4 and MDL-PRF-5."""
    cpu = profile_text(accelerator_type="cpu", accelerator_model="EPYC_9965", accelerator_count=188)
    observed = ObservedModel(model(), ResolvedConfig(), inspection=inspected(a=profile_text(), b=cpu))
    plan = plan_model(observed, NOW)
    specs = {item.manifest["spec"]["profileId"]: item.manifest["spec"] for item in plan.desired}
    common = {"modelName": "m", "metric": "latency", "precision": "fp8"}
    assert specs == {
        "a": {**common, "profileId": "a", "hardware": {"gpu": {"requests": 1, "model": "MI300X"}}},
        "b": {**common, "profileId": "b", "hardware": {"cpu": {"requests": "188"}}},
    }
    assert [item.key.name[:-5] for item in plan.desired] == ["img-1-188x-epyc-9965-lat-fp8", "img-1-1x-mi300x-lat-fp8"]
    assert condition(settle(observed), "ImageProfilesRead") == ("True", "ReadFromRegistry")
    kept = plan.status["imageProfiles"]
    assert (kept["source"], kept["digest"]) == ("Registry", "sha256:1")

    stored = {name: plan.status[name] for name in ("imageMetadata", "imageProfiles", "inspectedImage")}
    restarted = ObservedModel(model(stored), ResolvedConfig())
    again = plan_model(restarted, NOW)
    assert again.desired == plan.desired
    assert not any(isinstance(need, InspectImage) for need in again.needs)
    assert condition(settle(restarted), "ImageProfilesRead") == ("True", "ReadFromRegistry")


def test_an_image_that_recommends_nothing_says_what_to_do() -> None:
    """Prove MDL-PRF-4."""
    observed = ObservedModel(model(), ResolvedConfig(), inspection=inspected(unreadable="its layers are squashed"))
    summary = settle(observed)
    assert condition(summary, "ImageProfilesRead") == ("False", "NothingRecommended")
    assert condition(summary, "ServiceTemplatesReady") == ("True", "NoTemplatesExpected")
    assert all(
        "because its layers are squashed" in item.message and "spec.customTemplates" in item.message
        for item in summary.conditions
        if item.type in ("ImageProfilesRead", "ServiceTemplatesReady")
    )
    assert str(summary.state) == "Ready"


def test_a_label_without_files_asks_by_jobs() -> None:
    """Prove MDL-PRF-2 and MDL-PRF-4."""
    observed = ObservedModel(model(), ResolvedConfig(), inspection=inspected({"gpuModel": "MI300X", "gpuCount": 1}))
    (template,) = plan_model(observed, NOW).desired
    assert "profileId" not in template.manifest["spec"]
    assert condition(settle(observed), "ImageProfilesRead") == ("False", "RecommendedByLabels")


def test_profiles_of_the_image_do_not_concern_weights_of_ones_own() -> None:
    """Prove MDL-TPL-1."""
    observed = ObservedModel(model(modelSources=SOURCES), ResolvedConfig(), inspection=inspected(a=profile_text()))
    plan = plan_model(observed, NOW)
    assert ["profileId" in item.manifest["spec"] for item in plan.desired] == [False]
    assert plan.status["imageProfiles"]["source"] == "Registry"
    assert "ImageProfilesRead" not in {item.type for item in settle(observed).conditions}


def test_a_described_image_has_no_profiles_in_the_status() -> None:
    """Prove MDL-PRF-1."""
    stored = {"imageMetadata": METADATA, "imageProfiles": {"source": "Registry"}, "inspectedImage": "img:1"}
    observed = ObservedModel(model(stored, imageMetadata=RECOMMENDED), ResolvedConfig())
    plan = plan_model(observed, NOW)
    assert plan.status["imageProfiles"] is None
    assert len(plan.desired) == 1


def test_the_version_is_the_tag_of_the_image() -> None:
    """Prove MDL-STA-5."""
    assert plan_model(ObservedModel(model(), ResolvedConfig()), NOW).status["version"] == "1"
    by_digest = model(image=f"img@sha256:{'0' * 64}")
    assert plan_model(ObservedModel(by_digest, ResolvedConfig()), NOW).status["version"] is None


def test_what_may_be_read_later_is_not_kept() -> None:
    """Prove MDL-INS-8."""
    unsettled = inspected(unreadable="its layer is missing")
    unsettled = replace(unsettled, profiles=replace(unsettled.profiles, settled=False), again_after=300.0)
    observed = ObservedModel(model(), ResolvedConfig(), inspection=unsettled)
    plan = plan_model(observed, NOW)
    assert condition(settle(observed), "ImageProfilesRead") == ("False", "NothingRecommended")
    assert (plan.status["imageProfiles"], plan.status["inspectedImage"], plan.requeue_after) == (None, "img:1", 300.0)
    stored = {name: plan.status[name] for name in ("imageMetadata", "inspectedImage")}
    assert any(
        isinstance(need, InspectImage) for need in plan_model(ObservedModel(model(stored), ResolvedConfig()), NOW).needs
    )
