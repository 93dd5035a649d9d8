"""Tokens: both sides of a relation give the same value where they should meet."""

import pytest

from aimd.api.model import AIMModel
from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers import tokens
from aimd.runtime.objects import Manifest

WEIGHTS = [{"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny"}]


def service(spec: Manifest, **status: object) -> AIMService:
    return AIMService.model_validate({"metadata": {"name": "s", "namespace": "a"}, "spec": spec, "status": status})


def model(**spec: object) -> AIMModel:
    return AIMModel.model_validate({"metadata": {"name": "m", "namespace": "a"}, "spec": spec})


def template(**fields: object) -> AIMServiceTemplate:
    return AIMServiceTemplate.model_validate({"metadata": {"name": "t", "namespace": "a"}, **fields})


def test_a_service_meets_the_model_with_its_image_or_its_weights() -> None:
    by_image = service({"model": {"image": " registry/aim:1 "}})
    by_weights = service({"model": {"custom": {"baseImage": "registry/base:1", "modelSources": WEIGHTS}}})
    assert set(tokens.wanted_weights(by_image)) <= set(tokens.offered_weights(model(image="registry/aim:1")))
    custom = model(image="registry/base:1", modelSources=WEIGHTS)
    assert set(tokens.wanted_weights(by_weights)) <= set(tokens.offered_weights(custom))
    assert not set(tokens.wanted_weights(by_weights)) & set(tokens.offered_weights(model(image="registry/base:1")))


def test_a_service_shares_its_secrets_with_the_model_that_it_names_or_whose_image_it_names() -> None:
    """Prove MDL-INS-5."""
    offered = set(tokens.name_and_image(model(image="registry/aim:1")))
    secrets = {"imagePullSecrets": [{"name": "key"}]}
    named = service({"model": {"name": "m"}, **secrets})
    by_image = service({"model": {"image": "registry/aim:1"}, **secrets})
    assert offered & set(tokens.shares_secrets_with(named))
    assert offered & set(tokens.shares_secrets_with(by_image))
    same_text = service({"model": {"image": "m"}, **secrets})
    assert not offered & set(tokens.shares_secrets_with(same_text))
    assert tuple(tokens.shares_secrets_with(service({"model": {"name": "m"}}))) == ()


@pytest.mark.parametrize(
    ("spec", "status", "waits"),
    [
        ({"model": {"name": "m"}}, {}, True),
        ({"model": {"name": "m"}, "template": {"name": "t"}}, {}, False),
        ({"model": {"name": "m"}}, {"resolvedTemplate": {"name": "t"}}, False),
    ],
)
def test_nodes_concern_a_service_until_it_has_a_template(spec: Manifest, status: Manifest, waits: bool) -> None:
    assert tuple(tokens.gpus_if_choosing(service(spec, **status))) == (tokens.GPU if waits else ())


def test_nodes_concern_templates_for_gpus() -> None:
    hardware = {"gpu": {"requests": 1, "model": "MI300X"}}
    assert tuple(tokens.gpus_if_needed(template(spec={"modelName": "m", "hardware": hardware}))) == tokens.GPU
    assert tuple(tokens.gpus_if_needed(template(spec={"modelName": "m", "hardware": {"cpu": {"requests": "4"}}}))) == ()


@pytest.mark.parametrize(
    ("scope", "namespaced", "cluster"),
    [("Namespace", ("t",), ()), ("Cluster", (), ("t",)), ("Unknown", ("t",), ("t",))],
)
def test_the_scope_of_a_cache_says_which_template_it_looks_for(
    scope: str, namespaced: tuple[str, ...], cluster: tuple[str, ...]
) -> None:
    spec = {"templateName": "t", "templateScope": scope}
    cache = AIMTemplateCache.model_validate({"metadata": {"name": "c", "namespace": "a"}, "spec": spec})
    assert tuple(tokens.namespaced_template(cache)) == namespaced
    assert tuple(tokens.cluster_template(cache)) == cluster


def test_what_is_not_given_is_no_token() -> None:
    """Otherwise all objects without a value would meet at the empty one."""
    nothing: Manifest = {"metadata": {}}
    for function in (tokens.inference_service_of_pod, tokens.involved_object, tokens.owner_uid, tokens.own_uid):
        assert tuple(function(nothing)) == ()
    assert tuple(tokens.storage_class_of_claim(nothing)) == ()
