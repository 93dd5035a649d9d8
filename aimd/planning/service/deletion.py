"""What is deleted with a service: its caches that never became Ready."""

from collections.abc import Callable, Iterable

from aimd.api.service import AIMService
from aimd.api.shared import CacheMode
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.kinds import AIM_TEMPLATE_CACHE
from aimd.planning.labels import SERVICE_LABEL, label_value
from aimd.planning.service.caching import effective_mode
from aimd.planning.service.observed import is_ready
from aimd.runtime.objects import Deletion, Key


def caches_to_delete(
    service: AIMService,
    caches: Iterable[AIMTemplateCache],
    users_of: Callable[[AIMTemplateCache], Iterable[AIMService]],
) -> list[Deletion]:
    """Return deletions of the service's caches that are not Ready, unless another service waits for one (SVC-DEL-2).

    `users_of` gives the services that name or use the template of a cache; the first that waits decides.
    """
    mine = label_value(service.metadata.name)
    return [
        Deletion(
            AIM_TEMPLATE_CACHE,
            Key(cache.metadata.namespace, cache.metadata.name),
            cache.metadata.uid,
            reason="service-deleted",
        )
        for cache in caches
        if cache.metadata.labels.get(SERVICE_LABEL) == mine
        and not is_ready(cache.status.status)
        and not cache.metadata.deletion_timestamp
        and not any(_waits_for(other, cache) for other in users_of(cache) if other.metadata.uid != service.metadata.uid)
    ]


def _waits_for(service: AIMService, cache: AIMTemplateCache) -> bool:
    if service.metadata.deletion_timestamp or cache.spec.mode != CacheMode.SHARED:
        return False
    if effective_mode(service) is not CacheMode.SHARED:
        return False
    resolved = service.status.resolved_template
    named = service.spec.template.name.strip() if service.spec.template is not None else ""
    return cache.spec.template_name in (named, resolved.name if resolved is not None else "")
