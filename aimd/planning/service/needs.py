"""Live reads for a service: logs and Events of pods, claims that no informer selects, other services."""

from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from aimd.api.service import AIMService
from aimd.api.service_template import AnyServiceTemplate
from aimd.planning.kinds import AIM_SERVICE
from aimd.planning.needs import Need, ReadEvents, ReadList, ReadLog, ReadObject, Reads, Refused
from aimd.planning.objects import is_being_deleted, mounted_claims
from aimd.planning.pod_failures import LOG_LINES
from aimd.planning.pods import events_needed, find_pod_to_log
from aimd.planning.service.derived_template import leftover_templates
from aimd.planning.service.observed import ObservedService
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Key, Manifest, Remnant, key_of, uid_of


def service_needs(observed: ObservedService, now: datetime) -> tuple[Need, ...]:
    """Return the live reads that a decision about the service depends on."""
    needs: list[Need] = [*_unwatched_claims(observed)]
    if _given_up(observed):
        needs.append(_services(observed))
    quiet = events_needed(observed.pods, now)
    if quiet is not None and quiet.pod is not None:
        needs.append(ReadEvents(key_of(quiet.pod), uid_of(quiet.pod)))
    # Of the pods whose logs tell why they fail the youngest is enough.
    failing = find_pod_to_log(observed.pods, {})
    if failing is not None:
        needs.append(ReadLog(key_of(failing), LOG_LINES))
    return tuple(needs)


def with_reads(observed: ObservedService, reads: Reads) -> ObservedService:
    """Return what was observed together with what was read."""
    return replace(
        observed,
        leftovers=_leftovers(observed, reads),
        lost_claims=_lost_claims(observed, reads),
        pod_events=reads.events(),
        logs=reads.logs(),
    )


def _given_up(observed: ObservedService) -> list[AnyServiceTemplate]:
    """Return the derived templates that, by what the cache knows, no service wants any more."""
    return leftover_templates(observed.service, observed.derived_templates, observed.sharers)


def _leftovers(observed: ObservedService, reads: Reads) -> list[AnyServiceTemplate]:
    """Return the derived templates to delete.

    The cache may lag behind a service that has just been created: before a template is deleted the server is asked.
    """
    listed = reads.list(_services(observed))
    if listed is None or any(isinstance(manifest, Remnant) for manifest in listed):
        return []
    try:
        others = [AIMService.model_validate(manifest) for manifest in listed]
    except ValidationError:
        return []  # A service that does not parse may want any of them.
    return leftover_templates(observed.service, _given_up(observed), others)


def _services(observed: ObservedService) -> ReadList:
    return ReadList(AIM_SERVICE, observed.key.namespace)


def _unwatched_claims(observed: ObservedService) -> tuple[ReadObject, ...]:
    """Return the mounted claims that no artifact owns; no informer selects those."""
    known = {key_of(claim).name for claim in observed.claims}
    namespace = observed.key.namespace
    return tuple(
        ReadObject(PERSISTENT_VOLUME_CLAIM, Key(namespace, name))
        for name in mounted_claims(observed.inference_service)
        if name not in known
    )


def _lost_claims(observed: ObservedService, reads: Reads) -> frozenset[str]:
    """Return the mounted claims that do not exist or are being deleted; one that cannot be read is taken to exist."""
    going = {key_of(claim).name for claim in observed.claims if is_being_deleted(claim)}
    gone = {need.key.name for need in _unwatched_claims(observed) if _is_lost(reads.object(need))}
    return frozenset(going | gone)


def _is_lost(answer: Manifest | Refused | None) -> bool:
    if isinstance(answer, Refused):
        return answer.missing
    return answer is not None and is_being_deleted(answer)
