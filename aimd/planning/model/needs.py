"""Live reads about a model: its image, the users of its templates, and templates of the same names."""

from dataclasses import replace

from aimd.planning.image_inspection import Inspection
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
)
from aimd.planning.model.observed import ObservedModel, wants_inspection
from aimd.planning.model.templates import TemplatePlan, template_names
from aimd.planning.needs import InspectImage, Lookup, Need, ReadList, Reads
from aimd.planning.objects import part, spec_of, status_of, text
from aimd.planning.pull_secrets import names_of
from aimd.runtime.objects import Key, Manifest


def model_needs(observed: ObservedModel, templates: TemplatePlan) -> tuple[Need, ...]:
    """Return the live reads that a decision about the model depends on; `templates` is what it is about to do.

    Before a template is deleted, services are listed from the server, since the cache may lag behind one that has just
    been created.
    """
    inspection = _inspection_need(observed)
    users = (_services(observed),) if templates.deletions else ()
    return (*((inspection,) if inspection is not None else ()), *_lookups(observed), *users)


def with_reads(observed: ObservedModel, reads: Reads) -> ObservedModel:
    """Return what was observed together with what was read."""
    need = _inspection_need(observed)
    inspection: Inspection | None = reads.answers.get(need) if need is not None else None
    observed = replace(observed, inspection=inspection)
    found = {need.key.name: live for need in _lookups(observed) if (live := reads.found(need)) is not None}
    services = reads.list(_services(observed)) or ()
    used = {name for service in services for name in _used_templates(service)}
    return replace(observed, manifests={**observed.manifests, **found}, used=observed.used | used)


def _inspection_need(observed: ObservedModel) -> InspectImage | None:
    """Return the need to inspect the image, with all pull secrets that may help (MDL-INS-5)."""
    model = observed.model
    if observed.config.failure is not None or not wants_inspection(observed):
        return None
    return InspectImage(
        AIM_CLUSTER_MODEL if observed.is_cluster_scoped else AIM_MODEL,
        Key(model.metadata.namespace, model.metadata.name),
        model.metadata.uid,
        model.spec.image,
        names_of(model.spec.image_pull_secrets),
        model.spec.service_account_name,
        observed.shared_pull_secrets,
    )


def _lookups(observed: ObservedModel) -> tuple[Lookup, ...]:
    """Return lookups of the templates whose names the model wants, as they may have another owner."""
    kind = AIM_CLUSTER_SERVICE_TEMPLATE if observed.is_cluster_scoped else AIM_SERVICE_TEMPLATE
    namespace = observed.model.metadata.namespace
    return tuple(Lookup(kind, Key(namespace, name)) for name in template_names(observed))


def _services(observed: ObservedModel) -> ReadList:
    return ReadList(AIM_SERVICE, observed.model.metadata.namespace)


def _used_templates(service: Manifest) -> tuple[str, ...]:
    """Return the templates that a service names or runs with; read raw, so that no mistake in it hides them."""
    named = text(part(spec_of(service), "template"), "name").strip()
    resolved = text(part(status_of(service), "resolvedTemplate"), "name").strip()
    return tuple(name for name in (named, resolved) if name)
