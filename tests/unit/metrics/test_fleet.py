"""Which objects of the caches belong together."""

import pytest

from aimd.api.service import AIMService
from aimd.metrics.fleet import Fleet
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
)
from aimd.runtime.kinds import SECRET
from aimd.runtime.store import Cache
from tests.unit.metrics.fleet import FleetWorld


def service(**resolved: dict[str, str]) -> AIMService:
    return AIMService.model_validate({"metadata": {"namespace": "ml-team", "name": "chat"}, "status": resolved})


@pytest.mark.parametrize(("scope", "namespace"), [("Namespace", "ml-team"), ("Cluster", ""), ("", "ml-team")])
def test_template_and_model_are_those_of_the_status(scope: str, namespace: str) -> None:
    world = FleetWorld()
    for kind in (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE, AIM_MODEL, AIM_CLUSTER_MODEL):
        world.put(kind, "tiny", spec={})
    fleet, tiny = Fleet(world.cache, world.slots), {"name": "tiny", "scope": scope}
    template, model = fleet.template_of(service(resolvedTemplate=tiny)), fleet.model_of(service(resolvedModel=tiny))
    assert template is not None
    assert model is not None
    assert (template.metadata.namespace, model.metadata.namespace) == (namespace, namespace)


def test_what_the_status_does_not_name_or_is_gone_is_none() -> None:
    world = FleetWorld()
    fleet, gone = Fleet(world.cache, world.slots), {"name": "gone", "scope": "Cluster"}
    assert (fleet.template_of(service()), fleet.model_of(service())) == (None, None)
    assert fleet.template_of(service(resolvedTemplate=gone)) is None
    assert fleet.model_of(service(resolvedModel=gone)) is None


def test_services_that_cannot_be_parsed_are_left_out() -> None:
    world = FleetWorld()
    world.put(AIM_SERVICE, "good", spec={})
    world.put(AIM_SERVICE, "bad", spec={"replicas": "many"})
    fleet = Fleet(world.cache, world.slots)
    assert [item.metadata.name for item in fleet.services()] == ["good"]
    assert len(list(fleet.objects(AIM_SERVICE))) == 2


def test_a_kind_that_is_not_watched_has_no_objects() -> None:
    world = FleetWorld()
    assert list(Fleet(world.cache, world.slots).objects(SECRET)) == []
    empty = Fleet(Cache(), world.slots)
    assert empty.template_of(service(resolvedTemplate={"name": "tiny"})) is None
