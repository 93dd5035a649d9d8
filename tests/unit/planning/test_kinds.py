"""Resource types, owner references and resolved references."""

from aimd.api.kinds import RESOURCES
from aimd.planning.kinds import AIM_CLUSTER_MODEL, AIM_MODEL, MODELS, owned_by, resource_reference
from aimd.runtime.objects import Key


def test_every_resource_has_a_kind_and_a_model() -> None:
    assert {kind.name: model for kind, model in MODELS.items()} == {item.kind: item.model for item in RESOURCES}


def test_a_child_has_one_controlling_owner() -> None:
    """Prove OBJ-APL-5."""
    (owner,) = owned_by(AIM_MODEL, Key("team", "m"), "u")
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("AIMModel", "m", "u", True)


def test_a_reference_shows_scope_and_leaves_out_what_is_empty() -> None:
    """Prove OBJ-STA-6."""
    assert resource_reference(AIM_MODEL, Key("team", "m"), "u") == {
        "name": "m",
        "namespace": "team",
        "scope": "Namespace",
        "kind": "aim.eai.amd.com/v1alpha1/AIMModel",
        "uid": "u",
    }
    cluster = resource_reference(AIM_CLUSTER_MODEL, Key("", "m"), "")
    assert (cluster["scope"], "namespace" in cluster, "uid" in cluster) == ("Cluster", False, False)
    assert resource_reference(AIM_MODEL, Key("team", "m"), "", "Merged")["scope"] == "Merged"
