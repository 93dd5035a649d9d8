"""Templates derived from a named one because the service overrides parts of it (spec/service.md §6.5).

A derived template is made once, without an owner: services that want the same share it, and it outlives them.
"""

from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate
from aimd.api.shared import CacheMode
from aimd.planning.kinds import SERVICE_TEMPLATE
from aimd.planning.labels import MANAGED_BY
from aimd.planning.service.caching import effective_mode
from aimd.planning.service.names import derived_template_name
from aimd.planning.service.observed import Observed, Template, labels
from aimd.planning.service.template_selection import DERIVED, ORIGIN_LABEL
from aimd.runtime.model import Desired, Manifest


def render_derived_template(observed: Observed, base: Template, model_name: str) -> Desired:
    """The base with the overrides, in the namespace of the service."""
    service, overrides = observed.service, observed.service.spec.overrides
    manifest = {
        "apiVersion": SERVICE_TEMPLATE.api_version,
        "kind": SERVICE_TEMPLATE.name,
        "metadata": {
            "name": derived_template_name(base.metadata.name, overrides),
            "namespace": observed.key.namespace,
            "labels": labels(observed, {MANAGED_BY: "aim-engine", ORIGIN_LABEL: DERIVED}),
        },
        "spec": _spec(service, base, model_name),
    }
    return Desired(SERVICE_TEMPLATE, manifest, reason="derived-template")


def _spec(service: AIMService, base: Template, model_name: str) -> Manifest:
    own, overrides = service.spec, service.spec.overrides
    assert overrides is not None
    spec: Manifest = dict(base.spec.manifest())
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
