"""Objects that do not parse are values."""

import pytest
from pydantic import ValidationError

from aimd.api.model import AIMModel
from aimd.planning.kinds import AIM_CLUSTER_MODEL, AIM_MODEL, AIM_SERVICE
from aimd.planning.unreadable import Unreadable, find_unreadable, hides, unreadable, unreadable_reference
from aimd.runtime.objects import Category, Key

OWN = Unreadable(AIM_MODEL, Key("team", "m"), "spec.image: wrong")
CLUSTER = Unreadable(AIM_CLUSTER_MODEL, Key("", "m"), "spec.image: wrong")


def test_the_message_names_object_and_field() -> None:
    manifest = {"metadata": {"name": "m", "namespace": "team"}, "spec": {"image": []}}
    with pytest.raises(ValidationError) as caught:
        AIMModel.model_validate(manifest)
    found = unreadable(AIM_MODEL, manifest, caught.value)
    assert str(found).startswith("AIMModel team/m cannot be read: spec.image: ")
    assert str(found).endswith("; correct this field")


def test_the_namespaced_one_is_found_first() -> None:
    assert find_unreadable([CLUSTER, OWN], (AIM_MODEL, AIM_CLUSTER_MODEL), "m") is OWN
    assert find_unreadable([CLUSTER, OWN], (AIM_CLUSTER_MODEL,), "m") is CLUSTER
    assert find_unreadable([CLUSTER, OWN], (AIM_SERVICE,), "m") is None
    assert find_unreadable([CLUSTER, OWN], (AIM_MODEL,), "other") is None


def test_an_unreadable_object_hides_namesakes_of_the_cluster_only() -> None:
    own = AIMModel.model_validate({"metadata": {"name": "m", "namespace": "team"}, "spec": {"image": "i:1"}})
    cluster = AIMModel.model_validate({"metadata": {"name": "m"}, "spec": {"image": "i:1"}})
    assert hides(OWN, [cluster])
    assert hides(CLUSTER, [])
    assert not hides(CLUSTER, [cluster])
    assert not hides(OWN, [own])
    assert not hides(None, [])


def test_a_reference_to_it_is_a_missing_upstream() -> None:
    failure = unreadable_reference(OWN, "ModelNotFound")
    assert (failure.category, failure.reason) == (Category.MISSING_UPSTREAM, "ModelNotFound")
    assert failure.message == str(OWN)
