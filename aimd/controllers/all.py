"""The one list of controllers, and what they share."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from aimd.api.model_source import AIMClusterModelSource
from aimd.controllers.artifact import artifact_controller
from aimd.controllers.image_inspections import ImageInspections
from aimd.controllers.model.controller import model_controllers
from aimd.controllers.model_source.controller import model_source_controller
from aimd.controllers.model_source.image_lists import ImageLists
from aimd.controllers.pipeline import Definition, KindReconciler
from aimd.controllers.reader import Reader
from aimd.controllers.reads import Answers, LiveReads
from aimd.controllers.registry_access import PullSecrets
from aimd.controllers.runtime_config import runtime_config_controllers
from aimd.controllers.service import service_controller
from aimd.controllers.service_template.controller import service_template_controllers
from aimd.controllers.service_template.discovery_slots import DiscoverySlots
from aimd.controllers.template_cache import template_cache_controller
from aimd.planning.kinds import AIM_CLUSTER_MODEL_SOURCE
from aimd.planning.model_source.plan import ImageCounts, Listed
from aimd.planning.needs import DiscoverySlot, InspectImage, ListImages
from aimd.planning.settings import ControllerSettings
from aimd.registry.cache import InspectionCache
from aimd.registry.client import RegistryClient
from aimd.runtime.client import Client
from aimd.runtime.objects import Key
from aimd.runtime.store import Cache


@dataclass(frozen=True)
class Gauges:
    """State of the controllers that metrics show: the discovery slots, and the image counts of each model source."""

    slots: DiscoverySlots
    image_counts: MutableMapping[Key, ImageCounts] = field(default_factory=dict)


def build_reconcilers(
    client: Client,
    cache: Cache,
    settings: ControllerSettings,
    registries: RegistryClient,
    gauges: Gauges | None = None,
) -> list[KindReconciler[Any, Any]]:
    """Return a reconciler of each kind, in the order in which a service needs them.

    Pass `gauges` to read them elsewhere.
    """
    secrets = PullSecrets(client, settings.system_namespace)
    gauges = gauges or Gauges(DiscoverySlots(cache, settings.discovery_slots))
    slots = gauges.slots
    inspections = ImageInspections(InspectionCache(registries), secrets)
    lists = ImageLists(registries, secrets)
    reads = live_reads(client, cache, slots, inspections, lists)
    definitions: tuple[Definition[Any, Any], ...] = (
        *runtime_config_controllers(),
        *model_controllers(inspections),
        model_source_controller(lists, gauges.image_counts),
        *service_template_controllers(slots, inspections, settings.rights),
        template_cache_controller(settings.download_images),
        artifact_controller(settings),
        service_controller(settings.rights),
    )
    return [KindReconciler(definition, client, cache, reads) for definition in definitions]


def live_reads(
    client: Client, cache: Cache, slots: DiscoverySlots, inspections: ImageInspections, lists: ImageLists
) -> LiveReads:
    """Return the live reads of all controllers."""
    reader = Reader(cache)

    async def grant(need: DiscoverySlot) -> bool:
        return slots.grant(need)

    async def list_images(need: ListImages) -> Listed:
        source = reader.get(AIM_CLUSTER_MODEL_SOURCE, need.source)
        return await lists.read(source) if isinstance(source, AIMClusterModelSource) else Listed()

    answers: Answers = {DiscoverySlot: grant, InspectImage: inspections.inspect, ListImages: list_images}
    return LiveReads(client, cache, answers, slots.release)
