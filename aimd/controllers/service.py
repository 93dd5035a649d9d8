"""The AIMService controller: what wakes a service, what its decision is based on, how it goes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from aimd.api.core import ApiObject
from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.schema import ApiModel
from aimd.api.service import AIMService
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.reads import events_about, log_tails
from aimd.controllers.runtime_config import observe_config
from aimd.controllers.service_watches import (
    BY_CACHE_LABEL,
    BY_IMAGE,
    BY_INFERENCE_SERVICE,
    BY_INVOLVED,
    BY_MAKER,
    BY_MODEL,
    BY_TEMPLATE,
    INFORMERS,
    WATCHES,
)
from aimd.planning.component import State
from aimd.planning.gpus import inventory_of
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
from aimd.planning.labels import label_value, name_label
from aimd.planning.plan import Plan
from aimd.planning.pods import telling_in_its_log, unexplained
from aimd.planning.service.child_names import (
    InvalidServiceName,
    autoscaler_name,
    derived_template_name,
    former_http_route_name,
    former_inference_service_name,
    http_route_name,
    inference_service_name,
    predictor_name,
    profile_config_map_name,
)
from aimd.planning.service.deletion import FINALIZER, caches_to_delete
from aimd.planning.service.derived_template import leftover_templates
from aimd.planning.service.model_creation import created_model_name
from aimd.planning.service.model_reference import resolve_model
from aimd.planning.service.observed import Model, Observed, Template, is_owned
from aimd.planning.service.plan import plan_service
from aimd.planning.service.volumes import claims_of
from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.errors import ApiError, Forbidden, NotFound, Unavailable
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import (
    CONFIG_MAP,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
)
from aimd.runtime.objects import Category, Key, Kind, Manifest, key_of, labels_of, metadata_of, uid_of
from aimd.runtime.store import Cache

_ModelT = TypeVar("_ModelT", bound=ApiModel)
_FOREIGN = (INFERENCE_SERVICE, HTTP_ROUTE)


class ServiceReconciler(KindReconciler[AIMService, Observed]):
    """Reconciles AIMServices."""

    name = "service"
    finalizer = FINALIZER

    def __init__(self, client: Client, cache: Cache, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_SERVICE, AIMService, clock)

    @property
    def informers(self) -> Sequence[Informer]:
        return INFORMERS

    @property
    def watches(self) -> Sequence[Watch]:
        return WATCHES

    def plan(self, observed: Observed, now: datetime) -> Plan:
        return plan_service(observed, now)

    def status_word(self, state: State) -> str:
        """The five words of an AIMService; the schema knows no NotAvailable (SVC-STA-1)."""
        words = {State.PROGRESSING: "Starting", State.READY: "Running", State.NOT_AVAILABLE: "Degraded"}
        return words.get(state, str(state))

    async def observe(self, obj: AIMService) -> Observed:
        """Everything from the cache, but the log of a pod that failed, the events of one that does not start, and
        claims that are not in it."""
        self._check_listed()
        key = Key(obj.metadata.namespace, obj.metadata.name)
        models = self._models(obj)
        chosen = resolve_model(obj, models).model
        templates = self._templates(obj, chosen)
        inference_service = self._inference_service(obj)
        pods = self._pods(inference_service)
        return Observed(
            service=obj,
            manifest=self.cache[AIM_SERVICE].get(key) or {},
            config=observe_config(self.cache, obj.spec.runtime_config_name, key.namespace),
            models=[*models, *self._models_of(obj, templates)],
            templates=templates,
            leftovers=await self._leftovers(obj, templates),
            caches=self._caches(obj, templates),
            inference_service=inference_service,
            inference_service_events=self._events_about(inference_service),
            lost_claims=await self._lost_claims(key.namespace, inference_service),
            pods=pods,
            pod_events=await self._pod_events(pods),
            logs=await self._logs(pods),
            http_route=self._http_route(obj),
            scaled_object=self._scaling(SCALED_OBJECT, inference_service, predictor_name),
            autoscaler=self._scaling(HORIZONTAL_POD_AUTOSCALER, inference_service, autoscaler_name),
            profile_config_map=self.cache[CONFIG_MAP].get(Key(key.namespace, profile_config_map_name(key.name))),
            gpu_models=self._gpu_models(),
            absent_kinds=frozenset(kind.name for kind in (*_FOREIGN, SCALED_OBJECT) if not self.cache[kind].available),
        )

    async def finalize(self, obj: AIMService) -> bool:
        """Deletes the caches that never got Ready; False when that has to be tried again (SVC-DEL-2)."""
        namespace = obj.metadata.namespace
        if await self._is_ending(namespace):
            return True
        label = f"{namespace}/{label_value(obj.metadata.name)}"
        caches = [
            self.cache.parse(AIMTemplateCache, cache)
            for cache in self.cache[AIM_TEMPLATE_CACHE].by_index(BY_CACHE_LABEL, label)
        ]
        others = (
            [self.cache.parse(AIMService, other) for other in self.cache[AIM_SERVICE].list(namespace)] if caches else []
        )
        applied = await self._applier.apply((), caches_to_delete(obj, caches, others))
        return all(failure.category is Category.AUTH for _, _, failure in applied.failures)

    async def _is_ending(self, namespace: str) -> bool:
        """Whether the namespace is going or may not be looked at; either way its caches are none of our business."""
        try:
            live = await self.client.get(NAMESPACE, Key("", namespace))
        except (NotFound, Forbidden):
            return True
        return bool(metadata_of(live).get("deletionTimestamp"))

    def _check_listed(self) -> None:
        """A kind that has just been installed must be listed before its absence means anything (SVC-ORD-4)."""
        for kind in _FOREIGN:
            store = self.cache[kind]
            if store.available and not store.synced:
                raise Unavailable(f"objects of kind {kind.name} are not listed yet", status=503)

    def _models(self, service: AIMService) -> list[Model]:
        """Models that the service names, remembers, would make, or shares an image with."""
        wanted, stored = service.spec.model, service.status.resolved_model
        image = wanted.custom.base_image if wanted.custom is not None else wanted.image.strip()
        names = [wanted.name.strip(), stored.name if stored is not None else "", created_model_name(service, ())]
        return self._models_where(service.metadata.namespace, names, image)

    def _models_of(self, service: AIMService, templates: Sequence[Template]) -> list[Model]:
        """Models that the templates name, to tell a template of another model."""
        return self._models_where(service.metadata.namespace, [item.spec.model_name for item in templates])

    def _models_where(self, namespace: str, names: Iterable[str], image: str = "") -> list[Model]:
        namespaced = [*self._named(AIM_MODEL, namespace, names), *self._indexed(AIM_MODEL, namespace, BY_IMAGE, image)]
        cluster = [*self._named(AIM_CLUSTER_MODEL, "", names), *self._indexed(AIM_CLUSTER_MODEL, "", BY_IMAGE, image)]
        return [
            *_distinct(self._parse(AIMModel, namespaced)),
            *_distinct(self._parse(AIMClusterModel, cluster)),
        ]

    def _templates(self, service: AIMService, model: Model | None) -> list[Template]:
        """Templates that the service names or remembers, and those of its model."""
        namespace, stored = service.metadata.namespace, service.status.resolved_template
        named = service.spec.template.name.strip() if service.spec.template is not None else ""
        derived = derived_template_name(named, service.spec.overrides) if named else ""
        names = [named, derived, stored.name if stored is not None else ""]
        owner = model.metadata.name if model is not None else ""
        namespaced = [
            *self._named(AIM_SERVICE_TEMPLATE, namespace, names),
            *self._indexed(AIM_SERVICE_TEMPLATE, namespace, BY_MODEL, owner),
        ]
        cluster = [
            *self._named(AIM_CLUSTER_SERVICE_TEMPLATE, "", names),
            *self._indexed(AIM_CLUSTER_SERVICE_TEMPLATE, "", BY_MODEL, owner),
        ]
        return [
            *_distinct(self._parse(AIMServiceTemplate, namespaced)),
            *_distinct(self._parse(AIMClusterServiceTemplate, cluster)),
        ]

    async def _leftovers(self, service: AIMService, templates: Sequence[Template]) -> list[Template]:
        """Derived templates to delete (SVC-OVR-3). The cache may lag behind a service that has just been made: before
        one goes, the server is asked."""
        namespace = service.metadata.namespace
        made = self.cache[AIM_SERVICE_TEMPLATE].by_index(BY_MAKER, f"{namespace}/{name_label(service.metadata.name)}")
        found = leftover_templates(service, _distinct([*templates, *self._parse(AIMServiceTemplate, made)]), ())
        if found:
            found = leftover_templates(service, found, self._services(self.cache[AIM_SERVICE].list(namespace)))
        if found:
            others = self._services(await self.client.list(AIM_SERVICE, namespace=namespace))
            found = leftover_templates(service, found, others)
        return found

    def _services(self, manifests: Iterable[Manifest]) -> list[AIMService]:
        return list(self._parse(AIMService, manifests))

    def _caches(self, service: AIMService, templates: Sequence[Template]) -> list[AIMTemplateCache]:
        """Caches of any template that the service may end up with."""
        stored = service.status.resolved_template
        names = {item.metadata.name for item in templates} | {stored.name if stored is not None else ""}
        namespace = service.metadata.namespace
        found = [
            cache for name in sorted(names) for cache in self._indexed(AIM_TEMPLATE_CACHE, namespace, BY_TEMPLATE, name)
        ]
        return list(self._parse(AIMTemplateCache, found))

    def _inference_service(self, service: AIMService) -> Manifest | None:
        name, namespace = service.metadata.name, service.metadata.namespace
        try:
            derived = inference_service_name(name, namespace)
        except InvalidServiceName:
            derived = ""
        return self._own(INFERENCE_SERVICE, service, derived, former_inference_service_name(name, namespace))

    def _http_route(self, service: AIMService) -> Manifest | None:
        name, namespace = service.metadata.name, service.metadata.namespace
        return self._own(HTTP_ROUTE, service, http_route_name(name, namespace), former_http_route_name(name, namespace))

    def _own(self, kind: Kind, service: AIMService, derived: str, former: str) -> Manifest | None:
        """The object under the derived name; one of ours under the name of old before that (SVC-NAM-2)."""
        store, namespace = self.cache[kind], service.metadata.namespace
        of_old = store.get(Key(namespace, former)) if former else None
        if of_old is not None and is_owned(service, of_old):
            return of_old
        return store.get(Key(namespace, derived)) if derived else None

    async def _lost_claims(self, namespace: str, inference_service: Manifest | None) -> frozenset[str]:
        """Mounted claims that are gone or going; those that no artifact made are looked up by name."""
        lost: set[str] = set()
        for name in claims_of(inference_service):
            claim = self.cache[PERSISTENT_VOLUME_CLAIM].get(Key(namespace, name))
            if claim is None:
                try:
                    claim = await self.client.get(PERSISTENT_VOLUME_CLAIM, Key(namespace, name))
                except NotFound:
                    lost.add(name)
                    continue
                except ApiError:
                    continue  # What may not be read is taken to be there.
            if metadata_of(claim).get("deletionTimestamp"):
                lost.add(name)
        return frozenset(lost)

    def _events_about(self, inference_service: Manifest | None) -> Sequence[Manifest]:
        uid = uid_of(inference_service) if inference_service is not None else ""
        return self.cache[EVENT].by_index(BY_INVOLVED, uid) if uid else ()

    def _pods(self, inference_service: Manifest | None) -> Sequence[Manifest]:
        if inference_service is None:
            return ()
        return self.cache[POD].by_index(BY_INFERENCE_SERVICE, str(key_of(inference_service)))

    async def _pod_events(self, pods: Sequence[Manifest]) -> list[Manifest]:
        found = unexplained(pods, self.clock())
        return await events_about(self.client, [found.pod]) if found is not None and found.pod is not None else []

    async def _logs(self, pods: Sequence[Manifest]) -> dict[str, str]:
        """The end of the log of the youngest pod that tells there why it fails."""
        pod = telling_in_its_log(pods, {})
        return await log_tails(self.client, [pod]) if pod is not None else {}

    def _scaling(
        self, kind: Kind, inference_service: Manifest | None, name_of: Callable[[str], str]
    ) -> Manifest | None:
        """What KServe or KEDA makes of an InferenceService that scales by itself."""
        if inference_service is None:
            return None
        key = key_of(inference_service)
        return self.cache[kind].get(Key(key.namespace, name_of(key.name)))

    def _gpu_models(self) -> frozenset[str] | None:
        """GPU models of the cluster, None when nodes may not be read (OPS-RGT-1)."""
        nodes = self.cache[NODE]
        if not (nodes.available and nodes.synced):
            return None
        return inventory_of([labels_of(node) for node in nodes.list()]).models

    def _named(self, kind: Kind, namespace: str, names: Iterable[str]) -> Iterator[Manifest]:
        for name in names:
            found = self.cache[kind].get(Key(namespace, name)) if name else None
            if found is not None:
                yield found

    def _indexed(self, kind: Kind, namespace: str, index: str, value: str) -> Iterator[Manifest]:
        found = self.cache[kind].by_index(index, value) if value else ()
        return (item for item in found if key_of(item).namespace == namespace)

    def _parse(self, model: type[_ModelT], manifests: Iterable[Manifest]) -> Iterator[_ModelT]:
        return (self.cache.parse(model, manifest) for manifest in manifests)


_ObjectT = TypeVar("_ObjectT", bound=ApiObject)


def _distinct(items: Iterable[_ObjectT]) -> list[_ObjectT]:
    """Each object once, in the order of their first occurrence."""
    return list({(item.metadata.namespace, item.metadata.name): item for item in items}.values())
