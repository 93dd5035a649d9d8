"""The one list of controllers."""

from typing import Any

from aimd.controllers.artifact import ArtifactReconciler
from aimd.controllers.discovery import DiscoveryRuns, DiscoverySlots
from aimd.controllers.inspection import ImageInspections, PullSecrets
from aimd.controllers.model import ClusterModelReconciler, ModelReconciler
from aimd.controllers.model_source import ModelSourceReconciler
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.runtime_config import ClusterRuntimeConfigReconciler, RuntimeConfigReconciler
from aimd.controllers.service import ServiceReconciler
from aimd.controllers.service_template import ClusterServiceTemplateReconciler, ServiceTemplateReconciler
from aimd.controllers.template_cache import TemplateCacheReconciler
from aimd.planning.model_source.plan import ImageCounts
from aimd.planning.settings import ControllerSettings
from aimd.registry.cache import InspectionCache
from aimd.registry.client import RegistryClient
from aimd.runtime.client import Client
from aimd.runtime.objects import Key
from aimd.runtime.store import Cache


def build_reconcilers(
    client: Client,
    cache: Cache,
    settings: ControllerSettings,
    registries: RegistryClient,
    places: DiscoverySlots | None = None,
    image_counts: dict[Key, ImageCounts] | None = None,
) -> list[KindReconciler[Any, Any]]:
    """A reconciler of each kind, in the order in which a service needs them.

    `places` of discovery jobs and `image_counts` of model sources are handed in by who tells them, too.
    """
    places = places or DiscoverySlots(cache, settings.discovery_places)
    runs = DiscoveryRuns(client, cache, settings.system_namespace, places)
    secrets = PullSecrets(client, settings.system_namespace)
    inspections = ImageInspections(InspectionCache(registries), secrets)
    return [
        RuntimeConfigReconciler(client, cache),
        ClusterRuntimeConfigReconciler(client, cache),
        ModelReconciler(client, cache, inspections),
        ClusterModelReconciler(client, cache, inspections),
        ModelSourceReconciler(client, cache, registries, secrets, counts=image_counts),
        ServiceTemplateReconciler(client, cache, runs),
        ClusterServiceTemplateReconciler(client, cache, runs),
        TemplateCacheReconciler(client, cache),
        ArtifactReconciler(client, cache, settings),
        ServiceReconciler(client, cache),
    ]
