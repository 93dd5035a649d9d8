"""What is read live about a model."""

from typing import Any

from aimd.api.model import AIMModel
from aimd.planning.image_inspection import Inspection
from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.planning.model.needs import model_needs, with_reads
from aimd.planning.model.observed import ObservedModel
from aimd.planning.model.templates import TemplatePlan, template_names
from aimd.planning.needs import InspectImage, Lookup, ReadList, Reads
from aimd.planning.runtime_config import ResolvedConfig
from aimd.runtime.objects import Deletion, Key


def observed(**spec: Any) -> ObservedModel:
    model = {"metadata": {"name": "m", "namespace": "team", "uid": "u"}, "spec": {"image": "i:1", **spec}}
    return ObservedModel(AIMModel.model_validate(model), ResolvedConfig(), shared_pull_secrets=("shared",))


def test_an_image_that_is_not_known_is_inspected() -> None:
    """Prove MDL-INS-1."""
    found = observed(imagePullSecrets=[{"name": "own"}])
    (need,) = model_needs(found, TemplatePlan())
    assert need == InspectImage(AIM_MODEL, Key("team", "m"), "u", "i:1", ("own",), "", ("shared",))
    inspection = Inspection(again_after=5)
    assert with_reads(found, Reads({need: inspection})).inspection is inspection


def test_a_described_image_is_not_inspected() -> None:
    assert model_needs(observed(imageMetadata={"model": {"canonicalName": "a/b"}}), TemplatePlan()) == ()


def test_wanted_templates_are_looked_up_as_others_may_have_their_names() -> None:
    deployments = [{"gpuModel": "MI300X", "gpuCount": 1}]
    found = observed(imageMetadata={"model": {"recommendedDeployments": deployments}})
    (name,) = template_names(found)
    need = Lookup(AIM_SERVICE_TEMPLATE, Key("team", name))
    assert model_needs(found, TemplatePlan()) == (need,)
    live = {"metadata": {"name": name}}
    assert with_reads(found, Reads({need: live})).manifests == {name: live}


def test_services_are_listed_before_a_template_is_deleted() -> None:
    found = observed(imageMetadata={"model": {"canonicalName": "a/b"}})
    deletion = Deletion(AIM_SERVICE_TEMPLATE, Key("team", "t"), "u", "template-outdated")
    (need,) = model_needs(found, TemplatePlan(deletions=(deletion,)))
    assert need == ReadList(AIM_SERVICE, "team")
    service = {"spec": {"template": {"name": " t "}}, "status": {"resolvedTemplate": {"name": "r"}}}
    assert with_reads(found, Reads({need: (service,)})).used == {"t", "r"}
