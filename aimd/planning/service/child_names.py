"""Names of the objects that a service creates or looks for.

Names that are kept whole are those of the reference operator, character for character. A name that loses something, by
truncation or because a character is replaced, additionally hashes what it was made from, because two names in one
namespace could otherwise become the same.
"""

import re

from aimd.api.service import AIMService, ServiceOverrides
from aimd.api.shared import GPU_RESOURCE
from aimd.planning.naming import MAXIMUM_LENGTH, NameTooLong, derive_name, fits_whole, image_part, is_kept_whole

_MINIMUM_LIMIT = 10
_PREDICTOR_AND_DASHES = 11
_DERIVED_HASH = 4
_INFERENCE_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


class InvalidImageReference(ValueError):
    """The text is not a valid image reference: it cannot be split into name and tag."""


class InvalidServiceName(ValueError):
    """The service's name or namespace leaves no valid InferenceService name."""


def inference_service_name(name: str, namespace: str) -> str:
    """Return the name of the InferenceService; raise InvalidServiceName with what to change (SVC-NAM-1).

    KServe puts `<name>-predictor-<namespace>` into one host label, hence the limit.
    """
    limit = _inference_service_limit(namespace)
    if limit < _MINIMUM_LIMIT:
        raise InvalidServiceName(
            f"the namespace name {namespace!r} is too long for an InferenceService: "
            f"use a namespace of at most {MAXIMUM_LENGTH - _PREDICTOR_AND_DASHES - _MINIMUM_LIMIT} characters"
        )
    derived = _collision_free(name, namespace, limit)
    if not _INFERENCE_SERVICE_NAME.fullmatch(derived):
        raise InvalidServiceName(
            f"KServe refuses the InferenceService name {derived!r}: use a service name that begins with a letter"
        )
    return derived


def inference_service_names(service: AIMService) -> tuple[str, str]:
    """Return the names under which a service's InferenceService may be: the former one, then the derived one.

    Either is empty when there is no such name.
    """
    name, namespace = service.metadata.name, service.metadata.namespace
    try:
        derived = inference_service_name(name, namespace)
    except InvalidServiceName:
        derived = ""
    return former_inference_service_name(name, namespace), derived


def http_route_names(service: AIMService) -> tuple[str, str]:
    """Return the names under which a service's HTTPRoute may be: the former one, then the derived one."""
    name, namespace = service.metadata.name, service.metadata.namespace
    return former_http_route_name(name, namespace), http_route_name(name, namespace)


def former_inference_service_name(name: str, namespace: str) -> str:
    """Return the name without the collision rule; an owned object under it is kept (SVC-NAM-2)."""
    return _by_namespace(name, namespace, max(_inference_service_limit(namespace), _MINIMUM_LIMIT))


def http_route_name(name: str, namespace: str) -> str:
    """Return the name of the HTTPRoute."""
    return _collision_free(name, namespace, MAXIMUM_LENGTH)


def former_http_route_name(name: str, namespace: str) -> str:
    """Return the name without the collision rule; an owned object under it is kept."""
    return _by_namespace(name, namespace, MAXIMUM_LENGTH)


def shared_cache_name(template_name: str, namespace: str) -> str:
    """Return the name of a template cache that outlives its services."""
    return _collision_free(template_name, namespace, MAXIMUM_LENGTH)


def dedicated_cache_name(template_name: str, service: AIMService) -> str:
    """Return the name of the template cache that belongs to one service."""
    parts = [template_name, service.metadata.name]
    return derive_name(parts, [service.metadata.uid, *([] if _is_whole(parts) else parts)])


def profile_config_map_name(service_name: str) -> str:
    """Return the name of the ConfigMap with a custom profile."""
    return derive_name([service_name, "custom-profile"], [service_name, "service-custom-profile"])


def model_name_from_image(image: str) -> str:
    """Return the name of a model created for an image; raise InvalidImageReference (SVC-NAM-3)."""
    return derive_name(list(split_image(image)), [image])


def has_overrides(overrides: ServiceOverrides | None) -> bool:
    """Return whether overrides change anything."""
    return bool(_changes(overrides) or _unnamed_changes(overrides))


def derived_template_name(base: str, overrides: ServiceOverrides | None) -> str:
    """Return the name of the template with the overrides; without any, that of the base (SVC-OVR-4).

    Overrides that the reference operator leaves out of the name are distinguished by a hash of the usual length.
    """
    if not has_overrides(overrides):
        return base
    parts, inputs = _derived_parts(base, overrides)
    unnamed = [item for pair in _unnamed_changes(overrides).items() for item in pair]
    if unnamed or not is_kept_whole(base) or not fits_whole(parts, hash_length=_DERIVED_HASH):
        return derive_name(parts, [*inputs, *unnamed, base])
    return derive_name(parts, inputs, hash_length=_DERIVED_HASH)


def former_derived_template_name(base: str, overrides: ServiceOverrides | None) -> str:
    """Return the name without the collision rule, if there is one; a service keeps a template of that name."""
    if not _changes(overrides):
        return ""
    return derive_name(*_derived_parts(base, overrides), hash_length=_DERIVED_HASH)


def predictor_name(inference_service: str) -> str:
    """Return the name of KServe's Deployment and Service, and of KEDA's ScaledObject."""
    return f"{inference_service}-predictor"


def autoscaler_name(inference_service: str) -> str:
    """Return the name of the HorizontalPodAutoscaler that KEDA creates."""
    return f"keda-hpa-{predictor_name(inference_service)}"


def inference_service_of(autoscaler: str) -> str:
    """Return the InferenceService whose `autoscaler_name` this is; empty when it is of something else."""
    found = re.fullmatch(autoscaler_name("(.+)"), autoscaler)
    return found[1] if found is not None else ""


def split_image(image: str) -> tuple[str, str]:
    """Return image name and tag as name parts; raise InvalidImageReference (SVC-NAM-3).

    Of a digest, the first six characters after its colon take the place of the tag.
    """
    last = image.strip().rpartition("/")[2]
    if "@" in last:
        name, _, digest = last.partition("@")
        algorithm, colon, value = digest.partition(":")
        if not (algorithm and colon and value):
            raise InvalidImageReference(f"image {image!r} has a malformed digest: write name@sha256:<hex>")
        tag = value[:6]
    else:
        name, colon, tag = last.partition(":")
        if colon and not tag:
            raise InvalidImageReference(f"image {image!r} has an empty tag: write name:tag")
        tag = tag or "latest"
    cleaned, cleaned_tag = image_part(name), image_part(tag)
    if not cleaned or not cleaned_tag:
        raise InvalidImageReference(f"image {image!r} has no usable name and tag: write registry/name:tag")
    return cleaned, cleaned_tag


def _inference_service_limit(namespace: str) -> int:
    return MAXIMUM_LENGTH - _PREDICTOR_AND_DASHES - len(namespace)


def _collision_free(name: str, namespace: str, limit: int) -> str:
    """Return the name with a hash that covers what had to be cut or replaced (SVC-NAM-2)."""
    if _is_whole([name], limit):
        return derive_name([name], [namespace], limit=limit)
    return derive_name([name], [namespace, name], limit=limit)


def _is_whole(parts: list[str], limit: int = MAXIMUM_LENGTH) -> bool:
    return fits_whole(parts, limit=limit) and all(map(is_kept_whole, parts))


def _by_namespace(name: str, namespace: str, limit: int) -> str:
    try:
        return derive_name([name], [namespace], limit=limit)
    except NameTooLong:  # limits here leave room for one character and the hash
        return ""


def _changes(overrides: ServiceOverrides | None) -> dict[str, str | int]:
    """Return what is overridden, in the order of the name's parts."""
    if overrides is None:
        return {}
    gpu = overrides.hardware.gpu if overrides.hardware is not None else None
    changes: dict[str, str | int] = {
        "gpu": gpu.model.strip() if gpu is not None else "",
        "count": max(gpu.requests, 0) if gpu is not None else 0,
        "precision": str(overrides.precision),
        "metric": str(overrides.metric),
    }
    return {name: value for name, value in changes.items() if value}


def _derived_parts(base: str, overrides: ServiceOverrides | None) -> tuple[list[str], list[object]]:
    """Return readable parts and hash inputs of a derived template's name."""
    changes = _changes(overrides)
    readable = [f"{value}gpu" if name == "count" else str(value) for name, value in changes.items()]
    return [base, "ovr", *readable], [item for pair in changes.items() for item in pair]


def _unnamed_changes(overrides: ServiceOverrides | None) -> dict[str, str]:
    """Return what is overridden without being a part of the name."""
    hardware = overrides.hardware if overrides is not None else None
    gpu, cpu = (hardware.gpu, hardware.cpu) if hardware is not None else (None, None)
    device = gpu.resource_name if gpu is not None else ""
    changes = {
        "minVram": gpu.min_vram if gpu is not None else "",
        "resourceName": device if device != GPU_RESOURCE else "",
        "cpu": cpu.requests if cpu is not None else "",
        "cpuLimit": cpu.limits if cpu is not None else "",
    }
    return {name: value for name, value in changes.items() if value}
