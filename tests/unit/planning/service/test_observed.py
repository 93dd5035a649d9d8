"""Words that all rules of a service share."""

import pytest

from aimd.api.core import Condition
from aimd.api.service import AIMServiceStatus
from aimd.planning.service.observed import (
    is_owned,
    is_ready,
    kind_of_model,
    kind_of_template,
    labels,
    owner_references,
    reference,
    state_message,
)
from tests.unit.planning.service.makers import Maker


def test_kinds_follow_the_scope(model: Maker, template: Maker) -> None:
    assert kind_of_model(model()).name == "AIMModel"
    assert kind_of_model(model(namespace="")).name == "AIMClusterModel"
    assert kind_of_template(template()).name == "AIMServiceTemplate"
    assert kind_of_template(template(namespace="")).name == "AIMClusterServiceTemplate"


def test_a_reference_names_kind_scope_and_uid(model: Maker) -> None:
    """Prove OBJ-STA-6."""
    found = model()
    assert reference(kind_of_model(found), found.metadata) == {
        "name": "qwen",
        "scope": "Namespace",
        "kind": "aim.eai.amd.com/v1alpha1/AIMModel",
        "namespace": "ml-team",
        "uid": "uid-qwen",
    }


@pytest.mark.parametrize(
    ("word", "message", "expected"),
    [
        ("", "", "AIMModel qwen is not reconciled yet"),
        ("Failed", "", "AIMModel qwen is Failed"),
        ("Failed", "no access", "AIMModel qwen is Failed: no access"),
    ],
)
def test_the_state_of_an_object_as_a_sentence(word: str, message: str, expected: str) -> None:
    conditions = (Condition(type="Ready", status="False", reason="x", message=message),) if message else ()
    assert state_message("AIMModel qwen", AIMServiceStatus(status=word, conditions=conditions)) == expected
    assert is_ready("Ready")
    assert not is_ready(word)


def test_only_what_the_service_controls_is_its_own(service: Maker) -> None:
    """Prove OBJ-APL-5."""
    mine = service()
    owners = owner_references(mine)
    assert [(owner["kind"], owner["uid"], owner["controller"]) for owner in owners] == [
        ("AIMService", mine.metadata.uid, True)
    ]
    assert is_owned(mine, {"metadata": {"ownerReferences": owners}})
    assert not is_owned(mine, {"metadata": {"ownerReferences": [{**owners[0], "uid": "another"}]}})
    assert not is_owned(mine, {"metadata": {"ownerReferences": [{**owners[0], "controller": False}]}})
    assert not is_owned(mine, None)


def test_children_inherit_the_labels_that_the_config_propagates(observed: Maker, service_manifest: Maker) -> None:
    """Prove OBJ-LBL-1."""
    config = {"labelPropagation": {"enabled": True, "match": ["team-*"]}}
    seen = observed(service=service_manifest(labels={"team-a": "x", "other": "y"}), config=config)
    assert labels(seen.service, seen.config, {"own": "1"}) == {
        "aim.eai.amd.com/service.name": "qwen-chat",
        "app.kubernetes.io/managed-by": "aim-service-controller",
        "own": "1",
        "team-a": "x",
    }
