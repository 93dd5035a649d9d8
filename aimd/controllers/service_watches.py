"""What the AIMService controller reads, and which change wakes which service.

Every mapping goes by name, so that a service that waits for an object wakes as soon as it appears (SVC-ORD-5).
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from pydantic import ValidationError

from aimd.api.service import ServiceOverrides
from aimd.controllers.predicates import gpu_labels_changed, intent_changed, pod_changed
from aimd.controllers.runtime_config import CONFIG_INFORMERS, config_of, config_watches
from aimd.planning.artifact.download_job import CACHE_NAME
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
from aimd.planning.labels import PREFIX
from aimd.planning.service.child_names import derived_template_name, inference_service_of
from aimd.planning.service.deletion import CACHE_LABEL
from aimd.planning.service.derived_template import MAKER_LABEL
from aimd.planning.service.model_reference import ENDPOINT
from aimd.planning.service.template_selection import ALIAS_LABEL, DERIVED, ORIGIN_LABEL
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import Handler, for_object, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import CONFIG_MAP, EVENT, HORIZONTAL_POD_AUTOSCALER, NODE, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Key, Kind, Manifest, key_of, labels_of
from aimd.runtime.store import Cache

SERVICE_NAME_LABEL = PREFIX + "service.name"
INFERENCE_SERVICE_LABEL = "serving.kserve.io/inferenceservice"

# Indexes of one kind are shared by all controllers, hence the prefix.
BY_MODEL = "service/model"
BY_IMAGE = "service/image"
BY_TEMPLATE = "service/template"
BY_MAKER = "service/derived-for"
BY_CONFIG = "service/runtime-config"
BY_SELECTION = "service/selection"
BY_CACHE_LABEL = "service/cache-label"
BY_INFERENCE_SERVICE = "service/inference-service"
BY_INVOLVED = "service/involved-object"

_SELECTING = "automatic"
_BURST = 0.2
"""Seconds in which what KServe and a starting pod report is taken together, instead of a status write for each."""


def _at(manifest: Mapping[str, Any], *path: str) -> Any:
    value: Any = manifest
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _texts(*values: Any) -> Iterator[str]:
    return (text for text in dict.fromkeys(str(value or "").strip() for value in values) if text)


def _models_of(service: Manifest) -> Iterable[str]:
    return _texts(_at(service, "spec", "model", "name"), _at(service, "status", "resolvedModel", "name"))


def _wanted_of(service: Manifest) -> Iterable[str]:
    """What a service that names no model looks for: an image, or an image with weights."""
    custom = _at(service, "spec", "model", "custom")
    with_weights = _weights(_at(custom, "baseImage"), _at(custom, "modelSources"))
    return _texts(_at(service, "spec", "model", "image"), with_weights)


def _offered_by(model: Manifest) -> Iterable[str]:
    image = _at(model, "spec", "image")
    return _texts(image, _weights(image, _at(model, "spec", "modelSources")))


def _weights(image: Any, sources: Any) -> str:
    """An image with its weights in one text, by what makes two custom models equal; empty without weights
    (SVC-MDL-5)."""
    if not (image and isinstance(sources, list)):
        return ""
    told = [(_at(source, "modelId"), _at(source, "sourceUri"), _endpoint(source)) for source in sources]
    return " ".join(map(str, (image, *told)))


def _endpoint(source: Any) -> str:
    variables = _at(source, "env")
    found = (item for item in variables if _at(item, "name") == ENDPOINT) if isinstance(variables, list) else ()
    return next((str(_at(item, "value") or "") for item in found), "")


def _templates_of(service: Manifest) -> Iterable[str]:
    named = _named_template(service)
    return _texts(named, _derived_of(service, named), _at(service, "status", "resolvedTemplate", "name"))


def _named_template(service: Manifest) -> str:
    return str(_at(service, "spec", "template", "name") or "").strip()


def _derived_of(service: Manifest, base: str) -> str:
    """The template that is made for a service with overrides, whose status does not name it yet."""
    overrides = _at(service, "spec", "overrides")
    if not (base and isinstance(overrides, Mapping)):
        return ""
    try:
        return derived_template_name(base, ServiceOverrides.model_validate(overrides))
    except ValidationError:  # the schema lets none through
        return ""


def _selection_of(service: Manifest) -> Iterable[str]:
    """Services whose template depends on what GPUs there are."""
    return () if list(_templates_of(service)) else (_SELECTING,)


def _image_of(model: Manifest) -> Iterable[str]:
    return _texts(_at(model, "spec", "image"))


def _model_of(template: Manifest) -> Iterable[str]:
    return _texts(_at(template, "spec", "modelName"))


def _maker_of(template: Manifest) -> Iterable[str]:
    """The service that a template was derived for."""
    labels = labels_of(template)
    derived = labels.get(ORIGIN_LABEL) == DERIVED
    return (f"{key_of(template).namespace}/{labels.get(MAKER_LABEL, '')}",) if derived else ()


def _template_of(cache: Manifest) -> Iterable[str]:
    return _texts(_at(cache, "spec", "templateName"))


def _cache_label_of(cache: Manifest) -> Iterable[str]:
    value = labels_of(cache).get(CACHE_LABEL)
    return (f"{key_of(cache).namespace}/{value}",) if value else ()


def _inference_service_of(pod: Manifest) -> Iterable[str]:
    name = labels_of(pod).get(INFERENCE_SERVICE_LABEL)
    return (str(Key(key_of(pod).namespace, name)),) if name else ()


def _involved_of(event: Manifest) -> Iterable[str]:
    return _texts(_at(event, "involvedObject", "uid"))


def _services(cache: Cache, index: str, values: Iterable[str], namespace: str) -> Iterator[Key]:
    """Services of a namespace, or of all for a cluster-scoped cause."""
    for value in values:
        for service in cache[AIM_SERVICE].by_index(index, value):
            key = key_of(service)
            if not namespace or key.namespace == namespace:
                yield key


def _of_model(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    """By name, by image for services that look for one, and by template for those that named one of another model."""
    key = key_of(manifest)
    return chain(
        _services(cache, BY_MODEL, (key.name,), key.namespace),
        _services(cache, BY_IMAGE, _offered_by(manifest), key.namespace),
        _services(cache, BY_TEMPLATE, _templates_of_model(cache, key.name), key.namespace),
    )


def _templates_of_model(cache: Cache, name: str) -> Iterator[str]:
    for kind in (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE):
        yield from (key_of(template).name for template in cache[kind].by_index(BY_MODEL, name))


def _of_template(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    """Services that name or use the template, and those of its model that choose for themselves."""
    key, models = key_of(manifest), tuple(_model_of(manifest))
    offered = chain.from_iterable(_offers_of_model(cache, model, key.namespace) for model in models)
    of_model = chain(
        _services(cache, BY_MODEL, models, key.namespace),
        _services(cache, BY_IMAGE, offered, key.namespace),
    )
    return chain(
        _services(cache, BY_TEMPLATE, _names_of(manifest), key.namespace),
        (service for service in of_model if not _named_template(cache[AIM_SERVICE].get(service) or {})),
    )


def _names_of(template: Manifest) -> Iterable[str]:
    return _texts(key_of(template).name, labels_of(template).get(ALIAS_LABEL))


def _offers_of_model(cache: Cache, name: str, namespace: str) -> Iterator[str]:
    found = (
        cache[AIM_MODEL].get(Key(namespace, name)) if namespace else None,
        cache[AIM_CLUSTER_MODEL].get(Key("", name)),
    )
    return chain.from_iterable(_offered_by(model) for model in found if model is not None)


def _of_cache(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    owner = for_owner(AIM_SERVICE)(manifest, cache)
    return chain(owner, _services(cache, BY_TEMPLATE, _template_of(manifest), key_of(manifest).namespace))


def _of_inference_service(key: Key, cache: Cache) -> Iterable[Key]:
    inference_service = cache[INFERENCE_SERVICE].get(key)
    return for_owner(AIM_SERVICE)(inference_service, cache) if inference_service is not None else ()


def _of_pod(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    name = labels_of(manifest).get(INFERENCE_SERVICE_LABEL)
    return _of_inference_service(Key(key_of(manifest).namespace, name), cache) if name else ()


def _of_event(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    about = manifest.get("involvedObject") or {}
    return _of_inference_service(Key(str(about.get("namespace") or ""), str(about.get("name") or "")), cache)


def _of_autoscaler(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    """By the InferenceService in its name; the service's own name may be too long for a label."""
    key = key_of(manifest)
    name = inference_service_of(key.name)
    return _of_inference_service(Key(key.namespace, name), cache) if name else ()


def _of_scaled_object(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    return chain.from_iterable(
        _of_inference_service(key, cache) for key in for_owner(INFERENCE_SERVICE)(manifest, cache)
    )


def _of_node(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    return _services(cache, BY_SELECTION, (_SELECTING,), "")


def _service_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Anything but the status, which we write ourselves; of that, the references that path templates may name."""
    return intent_changed(before, after) or _references(before) != _references(after)


def _references(service: Manifest | None) -> tuple[Any, ...]:
    return tuple(_at(service or {}, "status", name) for name in ("resolvedModel", "resolvedTemplate"))


def _scale_changed(before: Manifest | None, after: Manifest | None) -> bool:
    return before is None or after is None or _scale(before) != _scale(after)


def _readiness_changed(before: Manifest | None, after: Manifest | None) -> bool:
    return before is None or after is None or _readiness(before) != _readiness(after)


def _readiness(manifest: Manifest) -> list[tuple[Any, ...]]:
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return [(item.get("status"), item.get("message")) for item in conditions if item.get("type") == "Ready"]


def _scale(autoscaler: Manifest) -> tuple[Any, ...]:
    spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
    conditions = [(item.get("type"), item.get("status")) for item in status.get("conditions") or ()]
    bounds = (spec.get("minReplicas"), spec.get("maxReplicas"))
    return (*bounds, status.get("currentReplicas"), status.get("desiredReplicas"), conditions)


_SERVICE_INDEXES = {
    BY_MODEL: _models_of,
    BY_IMAGE: _wanted_of,
    BY_TEMPLATE: _templates_of,
    BY_CONFIG: config_of,
    BY_SELECTION: _selection_of,
}

INFORMERS: tuple[Informer, ...] = (
    Informer(AIM_SERVICE, indexes=_SERVICE_INDEXES),
    Informer(AIM_MODEL, indexes={BY_IMAGE: _image_of}),
    Informer(AIM_CLUSTER_MODEL, indexes={BY_IMAGE: _image_of}),
    Informer(AIM_SERVICE_TEMPLATE, indexes={BY_MODEL: _model_of, BY_MAKER: _maker_of}),
    Informer(AIM_CLUSTER_SERVICE_TEMPLATE, indexes={BY_MODEL: _model_of}),
    *CONFIG_INFORMERS,
    Informer(AIM_TEMPLATE_CACHE, indexes={BY_TEMPLATE: _template_of, BY_CACHE_LABEL: _cache_label_of}),
    Informer(INFERENCE_SERVICE, optional=True),
    Informer(HTTP_ROUTE, optional=True),
    Informer(SCALED_OBJECT, optional=True, label_selector=SERVICE_NAME_LABEL),
    Informer(HORIZONTAL_POD_AUTOSCALER, label_selector=SERVICE_NAME_LABEL),
    Informer(CONFIG_MAP, label_selector=SERVICE_NAME_LABEL),
    Informer(POD, label_selector=INFERENCE_SERVICE_LABEL, indexes={BY_INFERENCE_SERVICE: _inference_service_of}),
    Informer(
        EVENT,
        field_selector="involvedObject.kind=InferenceService,type=Warning",
        indexes={BY_INVOLVED: _involved_of},
    ),
    Informer(NODE, optional=True),
    Informer(PERSISTENT_VOLUME_CLAIM, label_selector=CACHE_NAME),
)


def _watch_all(kinds: Iterable[Kind], keys: Handler) -> Iterator[Watch]:
    return (Watch(kind, keys) for kind in kinds)


WATCHES: tuple[Watch, ...] = (
    Watch(AIM_SERVICE, for_object, _service_changed),
    *_watch_all((AIM_MODEL, AIM_CLUSTER_MODEL), _of_model),
    *_watch_all((AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE), _of_template),
    *config_watches(AIM_SERVICE, BY_CONFIG),
    Watch(INFERENCE_SERVICE, for_owner(AIM_SERVICE), delay=_BURST),
    *_watch_all((HTTP_ROUTE, CONFIG_MAP), for_owner(AIM_SERVICE)),
    Watch(AIM_TEMPLATE_CACHE, _of_cache),
    Watch(SCALED_OBJECT, _of_scaled_object, _readiness_changed),
    Watch(HORIZONTAL_POD_AUTOSCALER, _of_autoscaler, _scale_changed),
    Watch(POD, _of_pod, pod_changed, delay=_BURST),
    Watch(EVENT, _of_event, delay=_BURST),
    Watch(NODE, _of_node, gpu_labels_changed),
)
