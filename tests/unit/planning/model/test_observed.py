"""What follows from what was observed of a model."""

from typing import Any

import pytest

from aimd.api.model import AIMModel
from aimd.api.runtime_config import AIMRuntimeConfig
from aimd.planning.image_inspection import Inspection
from aimd.planning.model.image_metadata import LabelsRead, read_labels
from aimd.planning.model.observed import Expectation, ObservedModel, expectation, wants_inspection
from aimd.planning.model.plan import plan_model
from aimd.planning.runtime_config import ResolvedConfig, resolve_config
from tests.unit.planning.model.makers import METADATA, NOW, RECOMMENDED, SOURCES, model, settle, templates


def test_no_labels_at_all_are_metadata_too() -> None:
    found = read_labels({})
    assert isinstance(found, LabelsRead)
    observed = ObservedModel(model(), ResolvedConfig(), inspection=Inspection(found.metadata))
    assert plan_model(observed, NOW).status["imageMetadata"] == {"model": {}, "oci": {}}
    assert str(settle(observed).state) == "Ready"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (model(), Expectation.UNKNOWN),
        (model(discovery={"createServiceTemplates": False}, imageMetadata=RECOMMENDED), Expectation.NONE),
        (model(discovery={"createServiceTemplates": True}), Expectation.UNKNOWN),
        (model(discovery={"extractMetadata": False}), Expectation.NONE),
        (model(discovery={"extractMetadata": False}, customTemplates=[{"name": "x"}]), Expectation.SOME),
        (model(modelSources=SOURCES), Expectation.SOME),
        (model(imageMetadata=METADATA), Expectation.NONE),
        (model(imageMetadata=RECOMMENDED), Expectation.SOME),
        (model(imageMetadata=METADATA, status={"imageMetadata": RECOMMENDED}), Expectation.NONE),
        (model(status={"imageMetadata": RECOMMENDED}), Expectation.SOME),
    ],
)
def test_whether_templates_are_expected(obj: AIMModel, expected: Expectation) -> None:
    """Prove MDL-TPL-9."""
    assert expectation(ObservedModel(obj, ResolvedConfig())) is expected


def test_the_runtime_config_can_switch_discovery_off() -> None:
    """Prove MDL-INS-7."""
    config = AIMRuntimeConfig.model_validate(
        {"metadata": {"name": "default", "namespace": "ml-team"}, "spec": {"model": {"autoDiscovery": False}}}
    )
    resolved = resolve_config("", config, None, namespace="ml-team")
    assert expectation(ObservedModel(model(), resolved)) is Expectation.NONE
    assert expectation(ObservedModel(model(discovery={}), resolved)) is Expectation.UNKNOWN


@pytest.mark.parametrize(
    ("status", "spec", "asks"),
    [
        ({}, {}, True),
        ({"imageMetadata": METADATA}, {}, True),
        ({"imageMetadata": METADATA, "imageProfiles": {"source": "None"}}, {}, False),
        ({"imageMetadata": METADATA, "imageProfiles": {"source": "None"}, "inspectedImage": "img:0"}, {}, True),
        ({"imageMetadata": RECOMMENDED}, {}, False),
        ({"imageMetadata": METADATA}, {"modelSources": SOURCES}, False),
        ({"imageMetadata": METADATA}, {"customTemplates": [{"name": "x"}]}, False),
        ({"imageMetadata": METADATA}, {"discovery": {"extractMetadata": False}}, False),
        ({}, {"imageMetadata": METADATA}, False),
    ],
)
def test_an_image_that_was_inspected_is_asked_for_its_profiles_once(
    status: dict[str, Any], spec: dict[str, Any], asks: bool
) -> None:
    """Prove MDL-INS-8."""
    assert wants_inspection(ObservedModel(model(status, **spec), ResolvedConfig())) is asks


def test_a_model_with_templates_is_not_inspected_again() -> None:
    """Prove MDL-INS-8."""
    observed = ObservedModel(model({"imageMetadata": METADATA}), ResolvedConfig(), templates("Ready"))
    assert not wants_inspection(observed)


@pytest.mark.parametrize(
    ("spec", "inspected", "found"),
    [
        ({}, "img:1", True),
        ({}, "img:0", False),
        ({"imageMetadata": METADATA}, "img:1", False),
        ({"discovery": {"extractMetadata": False}}, "img:1", True),
    ],
)
def test_profiles_belong_to_the_inspected_image(spec: dict[str, Any], inspected: str, found: bool) -> None:
    """Prove MDL-PRF-1."""
    status = {"imageMetadata": METADATA, "imageProfiles": {"source": "Registry"}, "inspectedImage": inspected}
    assert (ObservedModel(model(status, **spec), ResolvedConfig()).profiles is not None) is found
