"""The controllers of AIMServiceTemplate and AIMClusterServiceTemplate."""

from dataclasses import replace

from aimd.api.service_template import AnyServiceTemplate
from aimd.controllers.image_inspections import ImageInspections
from aimd.controllers.pipeline import Definition
from aimd.controllers.reader import Reader
from aimd.controllers.relations import TemplateTies
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.controllers.service_template.discovery_slots import BY_ACTIVITY, DiscoverySlots, activity_of
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
)
from aimd.planning.labels import TEMPLATE_LABEL
from aimd.planning.needs import Reads
from aimd.planning.pod_rights import PodRights
from aimd.planning.pull_secrets import shared_pull_secrets
from aimd.planning.service_template.discovery import DiscoveryRun
from aimd.planning.service_template.discovery_job import job_key
from aimd.planning.service_template.needs import with_reads
from aimd.planning.service_template.observed import ObservedTemplate, discovery_context
from aimd.planning.service_template.plan import plan_service_template
from aimd.planning.unreadable import hides
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import JOB, NODE, POD
from aimd.runtime.objects import Kind, Manifest, key_of

TEMPLATE_TIES = TemplateTies(AIM_SERVICE_TEMPLATE, (AIM_MODEL, AIM_CLUSTER_MODEL))
CLUSTER_TEMPLATE_TIES = TemplateTies(AIM_CLUSTER_SERVICE_TEMPLATE, (AIM_CLUSTER_MODEL,))
DISCOVERY_INFORMERS = (
    Informer(JOB, label_selector=TEMPLATE_LABEL, indexes={BY_ACTIVITY: activity_of}),
    Informer(POD, label_selector=TEMPLATE_LABEL),
)


def service_template_controllers(
    slots: DiscoverySlots, inspections: ImageInspections, rights: PodRights
) -> tuple[Definition[AnyServiceTemplate, ObservedTemplate], ...]:
    """Return the controllers of AIMServiceTemplate and AIMClusterServiceTemplate."""
    return (
        _controller(AIM_SERVICE_TEMPLATE, TEMPLATE_TIES, slots, inspections, rights),
        _controller(AIM_CLUSTER_SERVICE_TEMPLATE, CLUSTER_TEMPLATE_TIES, slots, inspections, rights),
    )


def _controller(
    kind: Kind, ties: TemplateTies, slots: DiscoverySlots, inspections: ImageInspections, rights: PodRights
) -> Definition[AnyServiceTemplate, ObservedTemplate]:
    def observe(template: AnyServiceTemplate, _live: Manifest, reader: Reader, reads: Reads) -> ObservedTemplate:
        return observe_template(template, reader, reads, ties, rights)

    models = tuple(Informer(model) for model in ties.model.neighbors)
    others = (Informer(AIM_SERVICE), Informer(AIM_TEMPLATE_CACHE), Informer(NODE, optional=True))
    return Definition(
        name="service-template" if kind.namespaced else "cluster-service-template",
        kind=kind,
        observe=observe,
        plan=plan_service_template,
        informers=(Informer(kind), *models, *others, *DISCOVERY_INFORMERS, *CONFIG_INFORMERS),
        ties=ties.all,
        other_watches=(slots.watch(kind),),
        forget=inspections.forgetting(kind),
    )


def observe_template(
    template: AnyServiceTemplate, reader: Reader, reads: Reads, ties: TemplateTies, rights: PodRights
) -> ObservedTemplate:
    """Return a template and what its plan depends on; the model of its own scope comes first (TPL-MDL-1)."""
    models = ties.model.find(reader, template)
    broken = next((item for item in models.unreadable if hides(item, models.objects)), None)
    model = models.first if broken is None else None
    # As a manifest: a cache that does not parse counts as well (TPL-CCH-1).
    namespace, owned = (
        template.metadata.namespace,
        reader.cache[AIM_TEMPLATE_CACHE].by_index("owner", template.metadata.uid),
    )
    cache = next((item for item in owned if key_of(item).namespace == namespace), None)
    observed = ObservedTemplate(
        template=template,
        config=observe_config(reader, template.spec.runtime_config_name, namespace),
        rights=rights,
        model=model,
        unreadable_model=broken,
        shared_pull_secrets=_shared_pull_secrets(template, reader, ties) if model is not None else (),
        inventory=reader.gpu_inventory(),
        cache=cache,
    )
    return with_reads(_with_run(observed, reader, ties), reads)


def _shared_pull_secrets(template: AnyServiceTemplate, reader: Reader, ties: TemplateTies) -> tuple[str, ...]:
    """Return the pull secrets of the services that use the model of a namespaced template (TPL-DSC-10)."""
    if not template.metadata.namespace:
        return ()
    users = ties.model_users.find(reader, template) + ties.image_users.find(reader, template)
    return shared_pull_secrets(users.objects)


def _with_run(observed: ObservedTemplate, reader: Reader, ties: TemplateTies) -> ObservedTemplate:
    """Add the discovery Jobs of the template: the one for its present inputs with its pods, and all others.

    Jobs and pods elsewhere, which say that they belong to the template or its Job, are none of them (OBJ-OWN-1).
    """
    namespace = observed.key.namespace or observed.rights.discovery_namespace
    found = ties.jobs.find(reader, observed.template).objects
    owned = tuple(item for item in found if key_of(item).namespace == namespace)
    context = discovery_context(observed)
    wanted = job_key(context) if context is not None else None
    job = next((item for item in owned if key_of(item) == wanted), None)
    others = tuple(item for item in owned if item is not job)
    listed = ties.pods.of(reader, (job,), observed.key.namespace).objects if job is not None else ()
    pods = tuple(pod for pod in listed if key_of(pod).namespace == namespace)
    return replace(observed, run=DiscoveryRun(job=job, others=others, pods=pods))
