"""The pinned modules of the sandbox."""

import re
from dataclasses import replace

import pytest

from aimd.sandbox.pins import ETCD, GATEWAY_API, KEDA, KSERVE, KUBECTL, KUBERNETES, MODULES, Edit, Module


@pytest.mark.parametrize("module", [*MODULES, GATEWAY_API, KEDA], ids=lambda module: module.title)
def test_every_module_is_pinned(module: Module) -> None:
    assert re.fullmatch(r"v\d+\.\d+\.\d+\S*", module.version)
    assert module.go_version >= (1, 20)
    assert (module.path / "go.sum").exists()


def test_control_plane_and_kubectl_have_the_same_version() -> None:
    assert KUBERNETES.version == KUBECTL.version


def test_the_cache_name_depends_on_the_edit_and_the_binaries() -> None:
    changed = replace(KSERVE, edit=Edit("cmd/manager/main.go", "a", "b"))
    names = {KSERVE.cache_name, changed.cache_name, replace(KSERVE, binaries={}).cache_name}
    assert len(names) == 3
    assert all(name.startswith(f"kserve-{KSERVE.version}-") for name in names)


def test_only_a_stamped_module_is_linked_with_its_version() -> None:
    assert ETCD.linker_flags == "-s -w"
    assert f"version.gitVersion={KUBERNETES.version}" in KUBERNETES.linker_flags


def test_a_module_that_is_not_required_has_no_version() -> None:
    with pytest.raises(ValueError, match=r"does not require example\.com/none"):
        _ = replace(ETCD, name="example.com/none").version
