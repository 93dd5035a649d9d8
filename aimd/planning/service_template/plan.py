"""AIMServiceTemplate and AIMClusterServiceTemplate: one planner, two scopes. The rules are in docs/rules/template.md.

Templates with inline sources are decided here; for others the image of the model is asked (`discovery.py`).
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aimd.api.model import AnyModel, ModelCondition
from aimd.api.reasons import Reason
from aimd.api.service_template import (
    AIMClusterServiceTemplate,
    AnyServiceTemplate,
    Profile,
    ProfileMetadata,
    TemplateCondition,
)
from aimd.api.shared import Hardware, ModelSource
from aimd.planning.component import READY, UPSTREAM, Component, State
from aimd.planning.environment import render_env
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_MODEL,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    owned_by,
    resource_reference,
)
from aimd.planning.labels import child_labels
from aimd.planning.naming import image_tag
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import config_component
from aimd.planning.service_template.discovery import (
    DISCOVERED,
    DiscoveryPlan,
    completed,
    plan_discovery,
    running_jobs_to_delete,
)
from aimd.planning.service_template.discovery_output import DiscoveredProfile, UnusableOutput, read_output
from aimd.planning.service_template.hardware import (
    gpu_component,
    gpu_is_available,
    hardware_summary,
    resolved_affinity,
    resolved_hardware,
)
from aimd.planning.service_template.image_profile import plan_reading
from aimd.planning.service_template.needs import discovery_needs
from aimd.planning.service_template.observed import ObservedTemplate, discovery_context
from aimd.planning.service_template.profile_file import InvalidProfile, profile_file
from aimd.planning.unreadable import unreadable_reference
from aimd.runtime.objects import Category, Condition, Desired, Failure, Key, Manifest, key_of, uid_of

INLINE_MESSAGE = "Model sources provided in-line in spec"
_TEMPLATE_AGGREGATES = frozenset(
    {ModelCondition.SERVICE_TEMPLATES_READY, ModelCondition.CLUSTER_SERVICE_TEMPLATES_READY}
)


def plan_service_template(observed: ObservedTemplate, now: datetime) -> Plan:
    """Return the decision about a template; pure and total."""
    discovery = _discover(observed, now)
    hardware = resolved_hardware(
        observed.template,
        discovery.profile,
        is_discovered=discovery.condition.status == "True",
        stored_profile=_stored_profile(observed.template),
    )
    gpu = gpu_component(hardware, observed.inventory)
    components = [
        config_component(observed.config, missing_reason=Reason.CONFIG_NOT_FOUND),
        _model_component(observed),
        *discovery.components,
        *([gpu] if gpu is not None else []),
    ]
    return Plan(
        components=tuple(components),
        desired=(*discovery.desired, *_template_cache(observed, gpu, discovery)),
        deletions=discovery.deletions,
        status=_status(observed, hardware, discovery),
        extra_conditions=(discovery.condition,),
        requeue_after=discovery.requeue_after,
        needs=discovery_needs(observed, now),
    )


def is_discovered(template: AnyServiceTemplate) -> bool:
    """Return whether the status holds results of a discovery."""
    return bool(template.status.model_sources) or template.status.profile is not None


def _model_component(observed: ObservedTemplate) -> Component:
    """Return the health of the template's model (TPL-MDL-2)."""
    cluster = observed.is_cluster_scoped
    type_ = TemplateCondition.CLUSTER_MODEL_READY if cluster else TemplateCondition.MODEL_READY
    wanted, model = observed.template.spec.model_name, observed.model
    if observed.unreadable_model is not None:
        failure = unreadable_reference(observed.unreadable_model, Reason.REFERENCE_NOT_FOUND)
        return Component.blocked(type_, failure)
    if model is None:
        kinds = "AIMClusterModel" if cluster else "AIMModel or AIMClusterModel"
        text = f"There is no {kinds} named {wanted}: create it, or recreate the template with another modelName"
        failure = Failure(Category.MISSING_UPSTREAM, Reason.REFERENCE_NOT_FOUND, text)
        return Component.blocked(type_, failure)
    if not model.spec.image:
        text = f"Model {wanted} has no image: set its spec.image"
        return Component(type_, State.FAILED, Reason.IMAGE_NOT_SPECIFIED, text, UPSTREAM)
    fault = _fault_of(model)
    if fault is not None:
        text = f"Model {wanted} is {model.status.status}: {fault}"
        failed = Reason.CLUSTER_MODEL_FAILED if cluster else Reason.MODEL_FAILED
        return Component(type_, State.of(model.status.status), failed, text, UPSTREAM)
    found = Reason.CLUSTER_MODEL_FOUND if cluster else Reason.MODEL_FOUND
    return Component.ready(type_, found, f"Model {wanted} exists and has an image", UPSTREAM)


def _fault_of(model: AnyModel) -> str | None:
    """Return what is wrong with a model apart from its templates, None if nothing is (TPL-MDL-3).

    Otherwise model and templates would keep each other unready.
    """
    if model.status.status not in (State.FAILED, State.DEGRADED):
        return None
    for condition in model.status.conditions:
        counted = condition.type.endswith(READY) and condition.type not in {READY, *_TEMPLATE_AGGREGATES}
        if counted and condition.status == "False":
            return condition.message or condition.reason
    return None


def _discover(observed: ObservedTemplate, now: datetime) -> DiscoveryPlan:
    """Return the discovery of the template; one with sources of its own needs none (TPL-SRC-1).

    A pinned profile is read from the registry first (TPL-IMG-1).
    """
    template, context = observed.template, discovery_context(observed)
    problem = _profile_problem(template)
    if template.spec.model_sources:
        obsolete = running_jobs_to_delete(observed.run)
        inline = Condition(DISCOVERED, "True", Reason.INLINE_MODEL_SOURCES, INLINE_MESSAGE)
        return DiscoveryPlan(inline, problem, deletions=obsolete)
    if context is not None:
        reading = plan_reading(context, observed.run, observed.inspection)
        if reading is not None:
            return reading
        return plan_discovery(
            context,
            observed.run,
            hardware_there=gpu_is_available(observed.template.spec.hardware, observed.inventory),
            now=now,
        )
    if is_discovered(template) and not problem:
        return DiscoveryPlan(completed(template))
    text = "Discovery is waiting for the model and its image" if not problem else "The custom profile cannot be used"
    return DiscoveryPlan(Condition(DISCOVERED, "False", Reason.AWAITING_DISCOVERY, text), problem)


def _profile_problem(template: AnyServiceTemplate) -> tuple[Component, ...]:
    try:
        profile_file(template)
    except InvalidProfile as error:
        return (
            Component.failed(
                TemplateCondition.CUSTOM_PROFILE_READY, Failure(Category.INVALID_SPEC, Reason.INVALID_SPEC, str(error))
            ),
        )
    return ()


def _template_cache(observed: ObservedTemplate, gpu: Component | None, discovery: DiscoveryPlan) -> tuple[Desired, ...]:
    """Return the cache that a namespaced template asks for; it is created once, never changed (TPL-CCH-1)."""
    template = observed.template
    if isinstance(template, AIMClusterServiceTemplate) or template.spec.caching is None:
        return ()
    usable = observed.model is not None and observed.model.spec.image and (gpu is None or gpu.state is State.READY)
    usable = usable and not _profile_problem(template)
    if not (template.spec.caching.enabled and usable and _sources(template, discovery)) or observed.cache is not None:
        return ()
    metadata = template.metadata
    spec: Manifest = {"templateName": metadata.name, "templateScope": "Namespace"}
    if env := template.spec.caching.env or template.spec.env:
        spec["env"] = render_env(env)
    if template.spec.runtime_config_name:
        spec["runtimeConfigName"] = template.spec.runtime_config_name
    labels = child_labels("service-template", metadata.labels, metadata.name, {}, observed.config.label_patterns)
    manifest = AIM_TEMPLATE_CACHE.manifest(
        {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": labels,
            "ownerReferences": owned_by(AIM_SERVICE_TEMPLATE, observed.key, metadata.uid),
        },
        spec=spec,
    )
    return (Desired(AIM_TEMPLATE_CACHE, manifest, "template-cache", once=True),)


def _sources(template: AnyServiceTemplate, discovery: DiscoveryPlan) -> Sequence[ModelSource]:
    """Return the sources of the weights, none while they are not known for the present inputs."""
    if template.spec.model_sources:
        return template.spec.model_sources
    if discovery.profile is not None:
        return discovery.profile.sources
    return template.status.model_sources if discovery.condition.status == "True" else ()


def _status(observed: ObservedTemplate, hardware: Hardware | None, discovery: DiscoveryPlan) -> dict[str, Any]:
    template, model = observed.template, observed.model
    status: dict[str, Any] = {
        "resolvedRuntimeConfig": observed.config.reference,
        "resolvedModel": _model_reference(model) if model is not None else None,
        "version": (image_tag(model.spec.image) if model is not None else "") or None,
        "resolvedHardware": hardware.manifest() if hardware is not None else None,
        "hardwareSummary": hardware_summary(hardware) or None,
        "resolvedNodeAffinity": resolved_affinity(
            hardware, observed.inventory, observed.template.status.resolved_node_affinity
        ),
        "resolvedCache": _cache_reference(observed.cache),
        **discovery.status,
    }
    if template.spec.model_sources:
        status["modelSources"] = [source.manifest() for source in template.spec.model_sources]
        status["profile"] = {"metadata": _inline_profile(template)}
        status["discovery"] = None
    elif discovery.profile is not None:
        status["modelSources"] = [source.manifest() for source in discovery.profile.sources] or None
        status["profile"] = _profile_status(template, discovery.profile)
    elif discovery.condition.status == "True" and template.status.profile is not None:
        status["profile"] = _retyped(template, template.status.profile)
    return status


def _profile_status(template: AnyServiceTemplate, found: DiscoveredProfile) -> Manifest:
    """Return the profile as found; a type in the spec takes precedence (TPL-OUT-3)."""
    typed = {"type": template.spec.type} if template.spec.type else {}
    return {
        "metadata": {**found.metadata, **typed},
        "engine_args": dict(found.engine_args),
        "env_vars": dict(found.env_vars),
        "originalDiscoveryOutput": dict(found.original),
    }


def _retyped(template: AnyServiceTemplate, stored: Profile) -> Manifest:
    """Return the stored profile with the type of the spec, else with the one that was found."""
    found = _stored_profile(template)
    return _profile_status(template, found) if found is not None else stored.manifest()


def _stored_profile(template: AnyServiceTemplate) -> DiscoveredProfile | None:
    """Return what an earlier discovery found, None without its output."""
    stored = template.status.profile
    if stored is None or stored.original_discovery_output is None:
        return None
    try:
        return read_output(json.dumps([stored.original_discovery_output]))
    except UnusableOutput:
        return None


def _cache_reference(cache: Manifest | None) -> Manifest | None:
    return resource_reference(AIM_TEMPLATE_CACHE, key_of(cache), uid_of(cache)) if cache is not None else None


def _inline_profile(template: AnyServiceTemplate) -> Manifest:
    """Return the profile of a template with sources of its own, as its spec and they describe it (TPL-SRC-2)."""
    spec, gpu = template.spec, template.spec.hardware.gpu if template.spec.hardware is not None else None
    of_weights = {source.precision for source in spec.model_sources}
    values: Manifest = {
        "gpu": gpu.model if gpu is not None else "",
        "gpuCount": gpu.requests if gpu is not None else 0,
        "metric": spec.metric,
        "precision": spec.precision or (of_weights.pop() if len(of_weights) == 1 else ""),
        "type": spec.type,
    }
    given = {name: value for name, value in values.items() if value}
    return ProfileMetadata.model_validate(given).manifest()


def _model_reference(model: AnyModel) -> Manifest:
    kind = AIM_MODEL if model.metadata.namespace else AIM_CLUSTER_MODEL
    return resource_reference(kind, Key(model.metadata.namespace, model.metadata.name), model.metadata.uid)
