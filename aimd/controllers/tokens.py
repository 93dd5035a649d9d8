"""Tokens of the relations: what a subject looks for, and what a neighbor can be found under."""

from collections.abc import Iterable

from aimd.api.artifact import AIMArtifact
from aimd.api.model import AnyModel
from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate, AnyServiceTemplate
from aimd.api.shared import Scope
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.gpus import asks_for_gpu
from aimd.planning.labels import (
    INFERENCE_SERVICE_LABEL,
    SERVICE_LABEL,
    SERVICE_NAME_LABEL,
    TEMPLATE_ALIAS_LABEL,
    TEMPLATE_CACHE_NAME_LABEL,
)
from aimd.planning.objects import involved_name, storage_class_of
from aimd.planning.pull_secrets import used_images, used_models
from aimd.planning.runtime_config import config_name
from aimd.planning.service.child_names import derived_template_name
from aimd.planning.service.model_creation import created_model_name
from aimd.planning.service.model_identity import CustomModelIdentity, ServedWeights
from aimd.planning.service.template_reference import template_name
from aimd.planning.service.template_selection import is_derived
from aimd.runtime.objects import Manifest, controller_of, labels_of, uid_of

Configured = AIMService | AnyModel | AnyServiceTemplate | AIMTemplateCache | AIMArtifact
Tokens = Iterable[str]

GPU = ("gpu",)
"""The token by which those that depend on the cluster's GPUs meet the nodes."""


def config_in_effect(item: Configured) -> Tokens:
    """Return the name of the runtime config of an object, `default` if it names none (CFG-FND-1)."""
    return (config_name(item.spec.runtime_config_name),)


# Of a service


def model_names(service: AIMService) -> Tokens:
    """Return the models that a service names, runs with, or would create."""
    return _given(*used_models(service), created_model_name(service, ()))


def wanted_weights(service: AIMService) -> Tokens:
    """Return the image, or the base image with its weights, that a service without a model's name looks for."""
    custom = service.spec.model.custom
    weights = CustomModelIdentity.of(custom).weights.token if custom is not None else ""
    return _given(service.spec.model.image.strip(), weights)


def template_names(service: AIMService) -> Tokens:
    """Return the template that a service names, the one its overrides make of it, and the one it runs with."""
    named, resolved = template_name(service), service.status.resolved_template
    derived = derived_template_name(named, service.spec.overrides) if named else ""
    return _given(named, derived, resolved.name if resolved is not None else "")


def used_templates(service: AIMService) -> Tokens:
    """Return the templates that a service names or runs with."""
    resolved = service.status.resolved_template
    return _given(template_name(service), resolved.name if resolved is not None else "")


def chooses_template(service: AIMService) -> bool:
    """Return whether a template is chosen for the service."""
    return not template_name(service)


def models_to_choose_from(service: AIMService) -> Tokens:
    """Return the models whose templates a service may get."""
    return used_models(service) if chooses_template(service) else ()


def gpus_if_choosing(service: AIMService) -> Tokens:
    """Return the token of GPUs for a service whose template depends on what GPUs there are."""
    return () if any(template_names(service)) else GPU


def shares_secrets_with(service: AIMService) -> Tokens:
    """Return names and images of the models with which a service shares its pull secrets, with a prefix for each.

    A service without pull secrets has nothing to share: most have none, and a model may have thousands of users.
    """
    if not service.spec.image_pull_secrets:
        return ()
    return (*(f"name {name}" for name in used_models(service)), *(f"image {image}" for image in used_images(service)))


# Of a model


def name_and_image(model: AnyModel) -> Tokens:
    """Return name and image of a model, as `shares_secrets_with` gives them."""
    return f"name {model.metadata.name}", f"image {model.spec.image.strip()}"


def offered_weights(model: AnyModel) -> Tokens:
    """Return what a model can be found under, as `wanted_weights` gives it."""
    weights = ServedWeights.of_model(model)
    return _given(weights.image.strip(), weights.token if weights.sources else "")


# Of a template


def name_and_alias(template: AnyServiceTemplate) -> Tokens:
    """Return a template's name, and the short name that its model gave it."""
    return _given(template.metadata.name, template.metadata.labels.get(TEMPLATE_ALIAS_LABEL, ""))


def model_of_template(template: AnyServiceTemplate) -> Tokens:
    """Return the model that a template names."""
    return _given(template.spec.model_name.strip())


def named_model(template: AnyServiceTemplate) -> Tokens:
    """Return the model that a template names, as `shares_secrets_with` gives it."""
    return (f"name {name}" for name in model_of_template(template))


def maker_of_template(template: AIMServiceTemplate) -> Tokens:
    """Return the label of the service that a template was derived for."""
    return _given(template.metadata.labels.get(SERVICE_NAME_LABEL, "")) if is_derived(template) else ()


def gpus_if_needed(template: AnyServiceTemplate) -> Tokens:
    """Return the token of GPUs for a template whose hardware has a GPU, as written or as discovered."""
    return GPU if asks_for_gpu(template.spec.hardware, template.status.resolved_hardware) else ()


# Of a template cache


def template_of_cache(cache: AIMTemplateCache) -> Tokens:
    """Return the template that a cache is for."""
    return _given(cache.spec.template_name)


def namespaced_template(cache: AIMTemplateCache) -> Tokens:
    """Return the template of a cache, unless it is for a cluster-scoped one."""
    return () if cache.spec.template_scope == Scope.CLUSTER else template_of_cache(cache)


def cluster_template(cache: AIMTemplateCache) -> Tokens:
    """Return the template of a cache, unless it is for a namespaced one."""
    return () if cache.spec.template_scope == Scope.NAMESPACE else template_of_cache(cache)


def service_of_cache(cache: AIMTemplateCache) -> Tokens:
    """Return the label of the service that a cache was made for."""
    return _given(cache.metadata.labels.get(SERVICE_LABEL, ""))


def listed_artifacts(cache: AIMTemplateCache) -> Tokens:
    """Return the artifacts that a cache uses, and the sources that it lists itself, with a prefix for each."""
    names = (f"name {entry.name}" for entry in cache.status.artifacts.values())
    return (*names, *(f"uri {source.source_uri}" for source in cache.spec.model_sources))


def takes_sources_of_template(cache: AIMTemplateCache) -> bool:
    """Return whether a cache fetches what its template's status lists."""
    return not cache.spec.model_sources


def sources_of_template(template: AnyServiceTemplate) -> Tokens:
    """Return the sources in a template's status, as `listed_artifacts` gives them."""
    return (f"uri {source.source_uri}" for source in template.status.model_sources)


# Of an artifact


def cache_of_artifact(artifact: AIMArtifact) -> Tokens:
    """Return the label of the template cache that made an artifact."""
    return _given(artifact.metadata.labels.get(TEMPLATE_CACHE_NAME_LABEL, ""))


def name_and_source(artifact: AIMArtifact) -> Tokens:
    """Return name and source of an artifact, as `listed_artifacts` gives them."""
    return f"name {artifact.metadata.name}", f"uri {artifact.spec.source_uri}"


# Of other kinds


def inference_service_of_pod(pod: Manifest) -> Tokens:
    """Return the InferenceService that a pod serves."""
    return _given(labels_of(pod).get(INFERENCE_SERVICE_LABEL, ""))


def involved_object(event: Manifest) -> Tokens:
    """Return the name of the object that an Event is about."""
    return _given(involved_name(event))


def gpus(_node: Manifest) -> Tokens:
    """Return the token of GPUs, for every node."""
    return GPU


def owner_uid(child: Manifest) -> Tokens:
    """Return the UID of the controlling owner."""
    owner = controller_of(child)
    return _given(str(owner.get("uid") or "") if owner is not None else "")


def own_uid(item: Manifest) -> Tokens:
    """Return the UID of an object."""
    return _given(uid_of(item))


def storage_class_of_claim(claim: Manifest) -> Tokens:
    """Return the storage class of a claim."""
    return _given(storage_class_of(claim))


def _given(*values: str) -> Tokens:
    return tuple(value for value in values if value)
