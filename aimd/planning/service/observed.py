"""What one decision about an AIMService is based on, and words that all its rules share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aimd.api.core import Condition, ObjectMeta
from aimd.api.model import AnyModel
from aimd.api.service import AIMService
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    owned_by,
    resource_reference,
)
from aimd.planning.labels import child_labels, made_for
from aimd.planning.objects import find_condition, is_controlled_by
from aimd.planning.pod_rights import PodRights
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service.route_paths import RoutedPath
from aimd.planning.unreadable import Unreadable
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.ownership import belongs_to

CONTROLLER = "service"
READY = "Ready"
NO_RIGHTS = PodRights()


@dataclass(frozen=True, slots=True)
class ObservedService:
    """A service and everything its plan depends on; None means the object does not exist.

    `manifest` is the service as JSON, which path templates look into. `models`, `templates` and `caches` hold every
    candidate, of both scopes; `unreadable` are those of them that do not parse. `derived_templates` were derived for
    the service or are used by it, `sharers` are all services that name or use one of those, and `leftovers` are the
    ones to delete. `claims` are the mounted claims that the informers know; `lost_claims` are the mounted ones that do
    not exist or are being deleted. `gpu_models` are the GPU models of the cluster's nodes, None when nodes cannot be
    read. `logs` has the last lines of failed containers, by pod name. `rival_routes` are paths of other services that
    may collide with the service's own. `absent_kinds` names kinds whose CRD is not installed. `rights` are what
    pods may use in the operator's namespace.
    """

    service: AIMService
    manifest: Manifest
    config: ResolvedConfig
    models: Sequence[AnyModel] = ()
    templates: Sequence[AnyServiceTemplate] = ()
    unreadable: Sequence[Unreadable] = ()
    derived_templates: Sequence[AnyServiceTemplate] = ()
    sharers: Sequence[AIMService] = ()
    leftovers: Sequence[AnyServiceTemplate] = ()
    caches: Sequence[AIMTemplateCache] = ()
    inference_service: Manifest | None = None
    inference_service_events: Sequence[Manifest] = ()
    claims: Sequence[Manifest] = ()
    lost_claims: frozenset[str] = frozenset()
    pods: Sequence[Manifest] = ()
    pod_events: Sequence[Manifest] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    http_route: Manifest | None = None
    rival_routes: Sequence[RoutedPath] = ()
    scaled_object: Manifest | None = None
    autoscaler: Manifest | None = None
    profile_config_map: Manifest | None = None
    gpu_models: frozenset[str] | None = None
    absent_kinds: frozenset[str] = field(default_factory=frozenset)
    rights: PodRights = NO_RIGHTS

    @property
    def key(self) -> Key:
        """Key of the service."""
        return Key(self.service.metadata.namespace, self.service.metadata.name)


def kind_of_model(model: AnyModel) -> Kind:
    """Return AIMModel or AIMClusterModel, by the scope."""
    return AIM_MODEL if model.metadata.namespace else AIM_CLUSTER_MODEL


def kind_of_template(template: AnyServiceTemplate) -> Kind:
    """Return AIMServiceTemplate or AIMClusterServiceTemplate, by the scope."""
    return AIM_SERVICE_TEMPLATE if template.metadata.namespace else AIM_CLUSTER_SERVICE_TEMPLATE


def reference(kind: Kind, metadata: ObjectMeta) -> Manifest:
    """Return a resolved reference for the status (OBJ-STA-6)."""
    return resource_reference(kind, Key(metadata.namespace, metadata.name), metadata.uid)


class _Stateful(Protocol):
    @property
    def status(self) -> str: ...

    @property
    def conditions(self) -> Sequence[Condition]: ...


def is_ready(status: str) -> bool:
    """Return whether a `status.status` word says Ready."""
    return status == READY


def state_message(name: str, status: _Stateful) -> str:
    """Return the status word of an object, with the message of its condition `Ready`, as a sentence."""
    ready = find_condition(status.conditions, READY)
    detail = f": {ready.message}" if ready is not None and ready.message else ""
    return f"{name} is {status.status or 'not reconciled yet'}{detail}"


def owner_references(service: AIMService) -> list[Manifest]:
    """Return the service as the only owner, which controls (OBJ-APL-5)."""
    return owned_by(AIM_SERVICE, Key(service.metadata.namespace, service.metadata.name), service.metadata.uid)


def is_owned(service: AIMService, manifest: Mapping[str, Any] | None) -> bool:
    """Return whether the service controls the object."""
    return is_controlled_by(manifest, service.metadata.uid)


def is_own(service: AIMService, manifest: Manifest) -> bool:
    """Return whether the object was made for the service: controlled by it, or by nobody and with its marks."""
    metadata = service.metadata
    return belongs_to(manifest, metadata.uid, made_for(CONTROLLER, metadata.name))


def labels(service: AIMService, config: ResolvedConfig, own: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a child: its own, the propagated ones, the controller's (OBJ-LBL-1)."""
    metadata = service.metadata
    return child_labels(CONTROLLER, metadata.labels, metadata.name, own, config.label_patterns)
