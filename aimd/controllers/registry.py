"""The one list of controllers."""

from typing import Any

from aimd.controllers.artifact import ArtifactReconciler
from aimd.controllers.discovery import DiscoveryRuns
from aimd.controllers.model import ClusterModelReconciler, ModelReconciler
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.runtime_config import ClusterRuntimeConfigReconciler, RuntimeConfigReconciler
from aimd.controllers.service import ServiceReconciler
from aimd.controllers.service_template import ClusterServiceTemplateReconciler, ServiceTemplateReconciler
from aimd.controllers.template_cache import TemplateCacheReconciler
from aimd.planning.settings import ControllerSettings
from aimd.runtime.client import Client
from aimd.runtime.store import Cache


def build_reconcilers(client: Client, cache: Cache, settings: ControllerSettings) -> list[KindReconciler[Any, Any]]:
    """A reconciler of each kind, in the order in which a service needs them."""
    runs = DiscoveryRuns(client, cache, settings.system_namespace, settings.discovery_places)
    return [
        RuntimeConfigReconciler(client, cache),
        ClusterRuntimeConfigReconciler(client, cache),
        ModelReconciler(client, cache),
        ClusterModelReconciler(client, cache),
        ServiceTemplateReconciler(client, cache, runs),
        ClusterServiceTemplateReconciler(client, cache, runs),
        TemplateCacheReconciler(client, cache),
        ArtifactReconciler(client, cache, settings),
        ServiceReconciler(client, cache),
    ]
