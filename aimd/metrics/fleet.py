"""The fleet as a scrape reads it: every object in the caches, raw or typed, and which objects belong together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from aimd.api.core import ApiObject
from aimd.api.model import AIMClusterModel, AIMModel, AnyModel
from aimd.api.service import AIMService
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate, AnyServiceTemplate
from aimd.api.shared import Scope
from aimd.controllers.service_template.discovery_slots import DiscoverySlots
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
)
from aimd.planning.model_source.plan import ImageCounts
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache

_ObjectT = TypeVar("_ObjectT", bound=ApiObject)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the gauges are computed from.

    `slots` are those of the discovery Jobs. `image_counts` are the images that the model sources' controller saw, by
    source. Kinds that the cache does not watch have no objects.
    """

    cache: Cache
    slots: DiscoverySlots
    image_counts: Mapping[Key, ImageCounts] = field(default_factory=dict)

    def objects(self, kind: Kind) -> Iterable[Manifest]:
        """Return all objects of a kind as JSON."""
        return self.cache[kind].list() if kind in self.cache else ()

    def services(self) -> Iterator[AIMService]:
        """Yield the services that can be parsed."""
        parsed = (self.parsed(AIMService, manifest) for manifest in self.objects(AIM_SERVICE))
        return (service for service in parsed if service is not None)

    def parsed(self, model: type[_ObjectT], manifest: Manifest) -> _ObjectT | None:
        """Return the object as a type of the API, None if it cannot be parsed."""
        try:
            return self.cache.parse(model, manifest)
        except ValidationError:
            return None

    def template_of(self, service: AIMService) -> AnyServiceTemplate | None:
        """Return the template that the status of a service names, None if there is none."""
        reference = service.status.resolved_template
        if reference is None:
            return None
        if reference.scope == Scope.CLUSTER:
            return self._read(AIM_CLUSTER_SERVICE_TEMPLATE, Key("", reference.name), AIMClusterServiceTemplate)
        return self._read(AIM_SERVICE_TEMPLATE, Key(service.metadata.namespace, reference.name), AIMServiceTemplate)

    def model_of(self, service: AIMService) -> AnyModel | None:
        """Return the model that the status of a service names, None if there is none."""
        reference = service.status.resolved_model
        if reference is None:
            return None
        if reference.scope == Scope.CLUSTER:
            return self._read(AIM_CLUSTER_MODEL, Key("", reference.name), AIMClusterModel)
        return self._read(AIM_MODEL, Key(service.metadata.namespace, reference.name), AIMModel)

    def _read(self, kind: Kind, key: Key, model: type[_ObjectT]) -> _ObjectT | None:
        manifest = self.cache[kind].get(key) if kind in self.cache else None
        return self.parsed(model, manifest) if manifest is not None else None
