"""What one decision about a template is based on, and what follows for its discovery."""

from dataclasses import dataclass
from datetime import datetime

from aimd.api.model import AnyModel
from aimd.api.service_template import AIMClusterServiceTemplate, AnyServiceTemplate
from aimd.planning.gpus import GpuInventory
from aimd.planning.image_inspection import Inspection
from aimd.planning.pod_rights import PodRights
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service_template.discovery import DiscoveryRun, wants_job
from aimd.planning.service_template.discovery_job import DiscoveryContext, chosen_gpu
from aimd.planning.service_template.hardware import gpu_is_available
from aimd.planning.service_template.profile_file import InvalidProfile, profile_file
from aimd.planning.unreadable import Unreadable
from aimd.runtime.objects import Key, Manifest

NO_RUN = DiscoveryRun()
NO_RIGHTS = PodRights()


@dataclass(frozen=True, slots=True)
class ObservedTemplate:
    """A template and everything its plan depends on.

    `shared_pull_secrets` are those of services that use its model; `inventory` is None when nodes may not be read;
    `cache` is the AIMTemplateCache that the template owns; `run` is the state of its discovery; `inspection` is what
    the registry says about the model's image, None when it was not asked. `rights` are what discovery may use.
    """

    template: AnyServiceTemplate
    config: ResolvedConfig
    model: AnyModel | None = None
    unreadable_model: Unreadable | None = None
    shared_pull_secrets: tuple[str, ...] = ()
    inventory: GpuInventory | None = None
    cache: Manifest | None = None
    run: DiscoveryRun = NO_RUN
    inspection: Inspection | None = None
    rights: PodRights = NO_RIGHTS

    @property
    def is_cluster_scoped(self) -> bool:
        """Whether the template is an AIMClusterServiceTemplate."""
        return isinstance(self.template, AIMClusterServiceTemplate)

    @property
    def key(self) -> Key:
        """Namespace and name of the template."""
        return Key(self.template.metadata.namespace, self.template.metadata.name)


def discovery_context(observed: ObservedTemplate) -> DiscoveryContext | None:
    """Return what discovery depends on, None for templates without, or whose model or profile cannot be used."""
    template, model = observed.template, observed.model
    if template.spec.model_sources or model is None or not model.spec.image:
        return None
    try:
        profile = profile_file(template)
    except InvalidProfile:
        return None
    return DiscoveryContext(
        template,
        model,
        observed.config,
        observed.rights,
        profile,
        observed.shared_pull_secrets,
        chosen_gpu(template, observed.inventory),
    )


def wants_discovery(observed: ObservedTemplate, run: DiscoveryRun, now: datetime) -> bool:
    """Return whether a new discovery Job is due, if there is a slot for it."""
    context = discovery_context(observed)
    return (
        context is not None
        and gpu_is_available(observed.template.spec.hardware, observed.inventory)
        and wants_job(context, run, now)
    )
