"""The AIMService controller: what its decisions are based on, and what goes with a service."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate, AnyServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers.pipeline import Definition
from aimd.controllers.predicates import service_intent_changed
from aimd.controllers.reader import Found, Reader
from aimd.controllers.relation import Children, each_user, users_of
from aimd.controllers.relations import (
    SERVICE_AUTOSCALER,
    SERVICE_CACHE,
    SERVICE_CANDIDATE,
    SERVICE_CANDIDATE_CACHE,
    SERVICE_CLAIM,
    SERVICE_DERIVED_TEMPLATE,
    SERVICE_EVENT,
    SERVICE_INFERENCE_SERVICE,
    SERVICE_LABELED_CACHE,
    SERVICE_MODEL,
    SERVICE_POD,
    SERVICE_PROFILE,
    SERVICE_ROUTE,
    SERVICE_SCALED_OBJECT,
    SERVICE_TEMPLATE,
    SERVICE_TEMPLATE_MODEL,
    SERVICE_TIES,
    SERVICE_WEIGHTS,
    SERVICE_WEIGHTS_CANDIDATE,
)
from aimd.controllers.route_rivals import SERVICE_POLICY, SERVICE_RIVAL, find_rivals
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.planning.component import State
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.labels import (
    ARTIFACT_LABEL,
    CACHES_OF_SERVICE_FINALIZER,
    INFERENCE_SERVICE_LABEL,
    SERVICE_NAME_LABEL,
)
from aimd.planning.needs import Reads
from aimd.planning.pod_rights import PodRights
from aimd.planning.service.deletion import caches_to_delete
from aimd.planning.service.needs import with_reads
from aimd.planning.service.observed import NO_RIGHTS, ObservedService, is_own, is_owned
from aimd.planning.service.plan import plan_service
from aimd.planning.service.routing import decided_route
from aimd.planning.service.template_selection import is_derived
from aimd.planning.unreadable import Unreadable
from aimd.runtime.errors import Unavailable
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import (
    CONFIG_MAP,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
)
from aimd.runtime.objects import Deletion, Key, Manifest

BATCH = 16
"""Caches that are looked at in one go when a service is deleted."""

INFORMERS = (
    Informer(AIM_SERVICE),
    Informer(AIM_MODEL),
    Informer(AIM_CLUSTER_MODEL),
    Informer(AIM_SERVICE_TEMPLATE),
    Informer(AIM_CLUSTER_SERVICE_TEMPLATE),
    Informer(AIM_TEMPLATE_CACHE),
    *CONFIG_INFORMERS,
    Informer(INFERENCE_SERVICE, optional=True),
    Informer(HTTP_ROUTE, optional=True),
    Informer(SCALED_OBJECT, optional=True, label_selector=SERVICE_NAME_LABEL),
    Informer(HORIZONTAL_POD_AUTOSCALER, label_selector=SERVICE_NAME_LABEL),
    Informer(CONFIG_MAP, label_selector=SERVICE_NAME_LABEL),
    Informer(POD, label_selector=INFERENCE_SERVICE_LABEL),
    Informer(EVENT, field_selector="involvedObject.kind=InferenceService,type=Warning"),
    Informer(NODE, optional=True),
    Informer(PERSISTENT_VOLUME_CLAIM, label_selector=ARTIFACT_LABEL),
)
TIES = (*SERVICE_TIES, SERVICE_RIVAL, SERVICE_POLICY)
_MADE_BY_OTHERS = (INFERENCE_SERVICE, HTTP_ROUTE)
_STATUS_WORDS = {State.PROGRESSING: "Starting", State.READY: "Running", State.NOT_AVAILABLE: "Degraded"}


def service_controller(rights: PodRights = NO_RIGHTS) -> Definition[AIMService, ObservedService]:
    """Return the controller of AIMService; `rights` are what predictors may use in the operator's namespace."""

    def observe(service: AIMService, live: Manifest, reader: Reader, reads: Reads) -> ObservedService:
        return replace(observe_service(service, live, reader, reads), rights=rights)

    return Definition(
        name="service",
        kind=AIM_SERVICE,
        observe=observe,
        plan=plan_service,
        informers=INFORMERS,
        ties=TIES,
        own_changes=service_intent_changed,
        finalizer=CACHES_OF_SERVICE_FINALIZER,
        on_deletion=_on_deletion,
        status_word=service_status_word,
    )


def service_status_word(state: State) -> str:
    """Return one of the five words of an AIMService; its schema has no NotAvailable (SVC-STA-1)."""
    return _STATUS_WORDS.get(state, str(state))


def observe_service(service: AIMService, live: Manifest, reader: Reader, reads: Reads) -> ObservedService:
    """Return a service and what its plan depends on.

    Raises Unavailable while a kind that has just been installed is not listed yet: its absence means nothing then
    (SVC-ORD-4).
    """
    _check_listed(reader)
    namespace = service.metadata.namespace
    models = SERVICE_MODEL.find(reader, service) + SERVICE_WEIGHTS.find(reader, service)
    templates = _templates(service, reader)
    inference_service = _made(service, SERVICE_INFERENCE_SERVICE, reader)
    running = (inference_service,) if inference_service is not None else ()
    caches = SERVICE_CACHE.find(reader, service)
    caches += SERVICE_CANDIDATE_CACHE.of(reader, templates.objects, namespace)
    derived = _derived(service, templates.objects, reader)
    foreign = SERVICE_TEMPLATE_MODEL.find(reader, service)
    inventory = reader.gpu_inventory()
    observed = ObservedService(
        service=service,
        manifest=live,
        config=observe_config(reader, service.spec.runtime_config_name, namespace),
        models=(models + foreign).objects,
        templates=templates.objects,
        unreadable=(*(models + foreign).unreadable, *templates.unreadable, *caches.unreadable),
        derived_templates=derived,
        sharers=_sharers(derived, reader),
        caches=caches.objects,
        inference_service=inference_service,
        inference_service_events=SERVICE_EVENT.of(reader, running, namespace).objects,
        claims=SERVICE_CLAIM.of(reader, running, namespace).objects,
        pods=SERVICE_POD.of(reader, running, namespace).objects,
        http_route=_made(service, SERVICE_ROUTE, reader),
        scaled_object=SERVICE_SCALED_OBJECT.of(reader, running, namespace).first,
        autoscaler=SERVICE_AUTOSCALER.of(reader, running, namespace).first,
        profile_config_map=SERVICE_PROFILE.find(reader, service).first,
        gpu_models=inventory.models if inventory is not None else None,
        absent_kinds=frozenset(
            kind.name for kind in (*_MADE_BY_OTHERS, SCALED_OBJECT) if not reader.cache[kind].available
        ),
    )
    rivals = find_rivals(service, decided_route(observed), reader)
    return with_reads(replace(observed, rival_routes=rivals), reads)


def _check_listed(reader: Reader) -> None:
    for kind in _MADE_BY_OTHERS:
        store = reader.cache[kind]
        if store.available and not store.synced:
            raise Unavailable(f"objects of kind {kind.name} are not listed yet", status=503)


def _templates(service: AIMService, reader: Reader) -> Found[AnyServiceTemplate]:
    """Return the templates that the service names or remembers, and those it may choose from."""
    found = SERVICE_TEMPLATE.find(reader, service)
    return found + SERVICE_CANDIDATE.find(reader, service) + SERVICE_WEIGHTS_CANDIDATE.find(reader, service)


def _made(service: AIMService, tie: Children[AIMService, Manifest], reader: Reader) -> Manifest | None:
    """Return the object under its former name if the service owns it, else the one under the derived name.

    An object of somebody else is none (OBJ-OWN-1).
    """
    names = tuple(tie.names(service)) if tie.names is not None else ()
    found = {item["metadata"]["name"]: item for item in tie.find(reader, service).objects}
    former, derived = (found.get(name) for name in names)
    if former is not None and is_owned(service, former):
        return former
    return derived if derived is not None and is_own(service, derived) else None


def _derived(
    service: AIMService, templates: Sequence[AnyServiceTemplate], reader: Reader
) -> tuple[AIMServiceTemplate, ...]:
    """Return the derived templates that the service made, names or runs with."""
    used = (item for item in templates if isinstance(item, AIMServiceTemplate) and is_derived(item))
    made = SERVICE_DERIVED_TEMPLATE.find(reader, service)
    return (Found(tuple(used)) + made).objects


def _sharers(derived: Iterable[AIMServiceTemplate], reader: Reader) -> tuple[AIMService, ...]:
    """Return the services that name or use one of the templates."""
    found: Found[AIMService] = Found()
    for item in derived:
        key = Key(item.metadata.namespace, item.metadata.name)
        found += users_of(SERVICE_TEMPLATE, reader, AIM_SERVICE_TEMPLATE, key)
    return found.objects


def _on_deletion(service: AIMService, reader: Reader) -> Iterator[Sequence[Deletion]]:
    """Yield the caches to delete with a service: those that never got Ready and that no other service waits for."""

    def users(cache: AIMTemplateCache) -> Iterator[AIMService]:
        key = Key(cache.metadata.namespace, cache.metadata.name)
        for manifest in each_user(SERVICE_CACHE, reader, AIM_TEMPLATE_CACHE, key):
            other = reader.read(AIM_SERVICE, manifest)
            if not isinstance(other, Unreadable):
                yield other

    labeled = SERVICE_LABELED_CACHE.all_of(reader, AIM_TEMPLATE_CACHE, service)
    while batch := tuple(islice(labeled, BATCH)):
        yield caches_to_delete(service, reader.collect(AIM_TEMPLATE_CACHE, batch).objects, users)
