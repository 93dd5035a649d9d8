"""The built-in kinds are spelled as the API server spells them."""

import re

import pytest

from aimd.runtime import kinds
from aimd.runtime.objects import Kind

KINDS = {name: kind for name, kind in vars(kinds).items() if isinstance(kind, Kind)}
CLUSTER_SCOPED = {
    "CustomResourceDefinition", "Namespace", "Node", "PersistentVolume", "ServiceCIDR", "StorageClass",
    "SubjectAccessReview", "TokenReview",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(KINDS))
def test_names_follow_the_conventions_of_the_api(name: str) -> None:
    kind = KINDS[name]
    assert re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.name).upper() == name
    plural = kind.name.lower() + ("es" if kind.name.endswith("s") else "s")
    assert kind.plural == plural
    assert re.fullmatch(r"v\d+", kind.version)
    assert kind.namespaced is (kind.name not in CLUSTER_SCOPED)


def test_no_kind_is_listed_twice() -> None:
    assert len(set(KINDS.values())) == len(KINDS)
