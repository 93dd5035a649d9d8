"""Templates derived from a named one because the service overrides parts of it.

A derived template is created once, without an owner: services that want the same share it, and it outlives them. It is
deleted when the last of them has removed its overrides.
"""

from collections.abc import Iterable, Sequence

from aimd.api.service import AIMService, ServiceOverrides
from aimd.api.service_template import AIMServiceTemplate, AnyServiceTemplate
from aimd.api.shared import CacheMode
from aimd.planning.kinds import AIM_SERVICE_TEMPLATE
from aimd.planning.labels import DERIVED, MANAGED_BY_LABEL, ORIGIN_LABEL, SERVICE_NAME_LABEL, name_label
from aimd.planning.service.caching import effective_mode
from aimd.planning.service.child_names import derived_template_name, former_derived_template_name
from aimd.planning.service.observed import ObservedService, labels
from aimd.planning.service.template_selection import attributes_of, is_derived, matches_overrides
from aimd.runtime.objects import Deletion, Desired, Key, Manifest


def render_derived_template(observed: ObservedService, base: AnyServiceTemplate, model_name: str) -> Desired:
    """Render the base with the overrides, in the namespace of the service (SVC-OVR-1)."""
    service, overrides = observed.service, observed.service.spec.overrides
    own = {MANAGED_BY_LABEL: "aim-engine", ORIGIN_LABEL: DERIVED}
    metadata = {
        "name": derived_template_name(base.metadata.name, overrides),
        "namespace": observed.key.namespace,
        "labels": labels(service, observed.config, own),
    }
    manifest = AIM_SERVICE_TEMPLATE.manifest(metadata, spec=_spec(service, base, model_name))
    return Desired(AIM_SERVICE_TEMPLATE, manifest, reason="derived-template", shared=True, once=True)


def wanted_templates(service: AIMService) -> set[str]:
    """Return the template that a service names and those derived for its overrides; empty when one is chosen."""
    name = service.spec.template.name.strip() if service.spec.template is not None else ""
    if not name:
        return set()
    overrides = service.spec.overrides
    return {name, derived_template_name(name, overrides), former_derived_template_name(name, overrides)} - {""}


def leftover_templates(
    service: AIMService, templates: Iterable[AnyServiceTemplate], others: Sequence[AIMService]
) -> list[AnyServiceTemplate]:
    """Return the derived templates that the service created or ran with and that no service uses any more (SVC-OVR-3).

    `others` are the services of its namespace; the service itself may be among them.
    """
    stored = service.status.resolved_template
    wanted = wanted_templates(service).union(
        *(_used_templates(other) for other in others if other.metadata.uid != service.metadata.uid)
    )
    return [
        template
        for template in templates
        if is_derived(template)
        and template.metadata.namespace
        and template.metadata.name not in wanted
        and (
            template.metadata.labels.get(SERVICE_NAME_LABEL) == name_label(service.metadata.name)
            or (stored is not None and stored.name == template.metadata.name)
        )
    ]


def template_deletion(template: AnyServiceTemplate) -> Deletion:
    """Return the deletion of a derived template that no service uses any more."""
    metadata = template.metadata
    key = Key(metadata.namespace, metadata.name)
    return Deletion(AIM_SERVICE_TEMPLATE, key, metadata.uid, reason="overrides-off", shared=True)


def _used_templates(service: AIMService) -> set[str]:
    stored = service.status.resolved_template
    return wanted_templates(service) | ({stored.name} if stored is not None else set())


def _spec(service: AIMService, base: AnyServiceTemplate, model_name: str) -> Manifest:
    """Return the base's spec with the overrides, and over both what the service sets itself (SVC-OVR-2).

    A profile of the base that contradicts the overrides is left out, because the image would take it all the same. What
    it says of the metric stays, which the image would otherwise choose (SVC-OVR-5).
    """
    own, overrides = service.spec, service.spec.overrides or ServiceOverrides()
    spec: Manifest = dict(base.spec.manifest())
    if base.spec.profile_id and not _fits(base, overrides):
        del spec["profileId"]
        spec |= {"metric": metric} if (metric := attributes_of(base).metric) else {}
    spec["modelName"] = base.spec.model_name or model_name
    spec["runtimeConfigName"] = own.runtime_config_name or base.spec.runtime_config_name or "default"
    if overrides.metric:
        spec["metric"] = overrides.metric
    if overrides.precision:
        spec["precision"] = overrides.precision
    if overrides.hardware is not None:
        spec["hardware"] = overrides.hardware.manifest()
    if own.image_pull_secrets:
        spec["imagePullSecrets"] = [secret.manifest() for secret in own.image_pull_secrets]
    if own.resources is not None:
        spec["resources"] = own.resources.manifest()
    if effective_mode(service) is CacheMode.SHARED:
        spec["caching"] = {"enabled": True}
    elif not isinstance(base, AIMServiceTemplate):
        spec.pop("caching", None)
    return spec


def _fits(base: AnyServiceTemplate, overrides: ServiceOverrides) -> bool:
    """Return whether the profile of the base is known to be one that the overrides ask for."""
    gpu = overrides.hardware.gpu if overrides.hardware is not None else None
    return matches_overrides(attributes_of(base), overrides) and (gpu is None or not gpu.min_vram)
