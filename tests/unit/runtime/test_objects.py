"""Values: keys, kinds, versions, owners."""

from aimd.runtime.kinds import JOB, NODE, POD
from aimd.runtime.objects import (
    Desired,
    Key,
    controller_of,
    is_apply,
    key_of,
    labels_of,
    metadata_of,
    owner_reference,
    resource_version,
    uid_of,
    version_number,
)


def test_keys_print_and_sort_by_namespace_first() -> None:
    assert str(Key("ns", "a")) == "ns/a"
    assert str(Key("", "node-1")) == "node-1"
    assert sorted([Key("b", "a"), Key("a", "z"), Key("", "x")]) == [Key("", "x"), Key("a", "z"), Key("b", "a")]


def test_a_kind_knows_its_api_version() -> None:
    assert (POD.api_version, JOB.api_version) == ("v1", "batch/v1")
    assert (str(POD), NODE.namespaced) == ("Pod", False)


def test_objects_without_metadata_have_empty_values() -> None:
    for manifest in ({}, {"metadata": None}, {"metadata": {"labels": None, "uid": None}}):
        assert (key_of(manifest), uid_of(manifest), labels_of(manifest)) == (Key("", ""), "", {})
        assert (resource_version(manifest), controller_of(manifest)) == (0, None)
    assert metadata_of({}) == {}


def test_versions_are_numbers_or_zero() -> None:
    assert [version_number(text) for text in ("12", "", "abc", "-1")] == [12, 0, 0, 0]
    assert resource_version({"metadata": {"resourceVersion": "7"}}) == 7


def test_an_owner_reference_names_the_controller_and_does_not_block() -> None:
    """Prove OBJ-APL-5."""
    owner = {"metadata": {"name": "o", "namespace": "ns", "uid": "u"}}
    reference = owner_reference(JOB, owner)
    assert reference == {"apiVersion": "batch/v1", "kind": "Job", "name": "o", "uid": "u", "controller": True}
    other = {**reference, "name": "other", "controller": False}
    assert controller_of({"metadata": {"ownerReferences": [other, reference]}}) == reference
    assert controller_of({"metadata": {"ownerReferences": [other]}}) is None


def test_only_an_apply_of_the_object_itself_counts_as_one() -> None:
    assert is_apply({"operation": "Apply"})
    assert not is_apply({"operation": "Update"})
    assert not is_apply({"operation": "Apply", "subresource": "status"})


def test_a_desired_object_has_the_key_of_its_manifest() -> None:
    assert Desired(POD, {"metadata": {"name": "a", "namespace": "ns"}}, "why").key == Key("ns", "a")
