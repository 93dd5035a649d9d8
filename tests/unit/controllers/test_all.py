"""The list of controllers: complete, with names that nobody else has."""

from typing import cast

from aimd.api.kinds import RESOURCES
from aimd.controllers.all import build_reconcilers
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import RegistryClient
from aimd.runtime.client import Client
from aimd.runtime.store import Cache
from tests.guides import ADD_A_KIND


def test_every_kind_has_one_controller() -> None:
    registries = cast(RegistryClient, None)
    reconcilers = build_reconcilers(cast(Client, None), Cache(), ControllerSettings(), registries)
    reconciled = [reconciler.kind.name for reconciler in reconcilers]
    assert sorted(reconciled) == sorted(resource.kind for resource in RESOURCES), (
        f"add the controllers of these kinds to build_reconcilers; {ADD_A_KIND}"
    )
    assert len({reconciler.field_manager for reconciler in reconcilers}) == len(reconcilers)
