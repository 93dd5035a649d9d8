"""AIMServiceTemplate and AIMClusterServiceTemplate (spec/models-and-templates.md §5): one planner, two scopes.

Templates with inline sources are settled here. Discovery by a Job comes in a later version: until then a template
without sources says so and waits, unless its status already holds the results of an earlier discovery.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate, ProfileMetadata
from aimd.api.shared import Hardware
from aimd.planning.environment import render_env
from aimd.planning.gpus import GpuInventory, gpu_component, minimum_vram, node_affinity
from aimd.planning.health import Component, Direction, State, ready
from aimd.planning.kinds import CLUSTER_MODEL, MODEL, SERVICE_TEMPLATE, TEMPLATE_CACHE, owned_by, resource_reference
from aimd.planning.labels import child_labels
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig, config_component
from aimd.runtime.model import Category, Condition, Desired, Failure, Key, Manifest

Template: TypeAlias = AIMServiceTemplate | AIMClusterServiceTemplate
Model: TypeAlias = AIMModel | AIMClusterModel

DISCOVERED = "Discovered"
INLINE_MESSAGE = "Model sources provided in-line in spec"
_TEMPLATE_AGGREGATES = frozenset({"ServiceTemplatesReady", "ClusterServiceTemplatesReady"})


@dataclass(frozen=True, slots=True)
class ObservedTemplate:
    """A template and everything its plan depends on.

    `inventory` is None when nodes may not be read; `cache_owners` are the UIDs that own an AIMTemplateCache of the
    namespace.
    """

    template: Template
    config: ResolvedConfig
    model: Model | None = None
    inventory: GpuInventory | None = None
    cache_owners: Collection[str] = frozenset()

    @property
    def is_cluster_scoped(self) -> bool:
        return isinstance(self.template, AIMClusterServiceTemplate)

    @property
    def key(self) -> Key:
        return Key(self.template.metadata.namespace, self.template.metadata.name)


def plan_service_template(observed: ObservedTemplate, now: datetime) -> Plan:
    """The decision about a template; pure and total."""
    template, hardware = observed.template, resolved_hardware(observed.template)
    gpu = gpu_component(hardware, observed.inventory)
    components = [config_component(observed.config, missing_reason="ConfigNotFound"), _model_component(observed)]
    if not (template.spec.model_sources or is_discovered(template)):
        components.append(_waiting_for_discovery())
    if gpu is not None:
        components.append(gpu)
    return Plan(
        components=tuple(components),
        desired=_template_cache(observed, gpu),
        status=_status(observed, hardware),
        extra_conditions=(_discovered(template),),
    )


def is_discovered(template: Template) -> bool:
    """Whether the status holds results of a discovery."""
    return bool(template.status.model_sources) or template.status.profile is not None


def resolved_hardware(template: Template) -> Hardware | None:
    """Hardware that inference will use: the spec's for inline sources, the discovered one where there is one.

    A model and a memory demand exclude each other in the schema; the model wins (W23).
    """
    discovered = template.status.resolved_hardware
    hardware = template.spec.hardware if template.spec.model_sources or discovered is None else discovered
    if hardware is None or hardware.gpu is None or not (hardware.gpu.model and hardware.gpu.min_vram):
        return hardware
    gpu = {name: value for name, value in hardware.gpu.manifest().items() if name != "minVram"}
    return Hardware.model_validate({**hardware.manifest(), "gpu": gpu})


def hardware_summary(hardware: Hardware | None) -> str:
    """The hardware in short: `2 x MI300X`, `MI300X`, `1 x GPU`, `CPU`; empty without any."""
    if hardware is None:
        return ""
    count = hardware.gpu.requests if hardware.gpu is not None else 0
    model = hardware.gpu.model.strip() if hardware.gpu is not None else ""
    if count:
        return f"{count} x {model or 'GPU'}"
    return model or ("CPU" if hardware.cpu is not None else "")


def _model_component(observed: ObservedTemplate) -> Component:
    name = "ClusterModel" if observed.is_cluster_scoped else "Model"
    wanted, model = observed.template.spec.model_name, observed.model
    if model is None:
        kinds = "AIMClusterModel" if observed.is_cluster_scoped else "AIMModel or AIMClusterModel"
        text = f"There is no {kinds} named {wanted}: create it, or recreate the template with another modelName"
        failure = Failure(Category.MISSING_UPSTREAM, "ReferenceNotFound", text)
        return Component(name, failures=(failure,), direction=Direction.UPSTREAM, blocks_apply=True)
    if not model.spec.image:
        text = f"Model {wanted} names no image: set its spec.image"
        return Component(name, State.FAILED, "ImageNotSpecified", text, direction=Direction.UPSTREAM)
    fault = _fault_of(model)
    if fault is not None:
        text = f"Model {wanted} is {model.status.status}: {fault}"
        return Component(name, State.of(model.status.status), f"{name}Failed", text, direction=Direction.UPSTREAM)
    return ready(name, f"{name}Found", f"Model {wanted} is there and has an image", Direction.UPSTREAM)


def _fault_of(model: Model) -> str | None:
    """What is wrong with a model, apart from its templates: otherwise the two would hold each other down."""
    if model.status.status not in (State.FAILED, State.DEGRADED):
        return None
    for condition in model.status.conditions:
        counted = condition.type.endswith("Ready") and condition.type not in {"Ready", *_TEMPLATE_AGGREGATES}
        if counted and condition.status == "False":
            return condition.message or condition.reason
    return None


def _waiting_for_discovery() -> Component:
    text = "The model's image has to be asked for a profile; this version does not run discovery jobs yet"
    return Component("DiscoveryJob", State.PENDING, "JobNotCreated", text, direction=Direction.DOWNSTREAM)


def _discovered(template: Template) -> Condition:
    if template.spec.model_sources:
        return Condition(DISCOVERED, "True", "InlineModelSources", INLINE_MESSAGE)
    if is_discovered(template):
        return Condition(DISCOVERED, "True", "DiscoveryComplete", "The profile was discovered from the model's image")
    text = "Discovery jobs are not part of this version yet: give the sources of the weights in spec.modelSources"
    return Condition(DISCOVERED, "False", "AwaitingDiscovery", text)


def _template_cache(observed: ObservedTemplate, gpu: Component | None) -> tuple[Desired, ...]:
    """The cache that a namespaced template asks for (caching.md §6.3); made once, never changed or removed."""
    template = observed.template
    if isinstance(template, AIMClusterServiceTemplate) or template.spec.caching is None:
        return ()
    usable = observed.model is not None and observed.model.spec.image and (gpu is None or gpu.state is State.READY)
    known = bool(template.spec.model_sources) or (template.status.status == State.READY and is_discovered(template))
    owned = template.metadata.uid in observed.cache_owners
    if not template.spec.caching.enabled or not usable or not known or owned:
        return ()
    metadata = template.metadata
    spec: Manifest = {"templateName": metadata.name, "templateScope": "Namespace"}
    if env := template.spec.caching.env or template.spec.env:
        spec["env"] = render_env(env)
    if template.spec.runtime_config_name:
        spec["runtimeConfigName"] = template.spec.runtime_config_name
    labels = child_labels("service-template", metadata.labels, metadata.name, {}, observed.config.label_patterns)
    manifest = {
        "apiVersion": TEMPLATE_CACHE.api_version,
        "kind": TEMPLATE_CACHE.name,
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": labels,
            "ownerReferences": owned_by(SERVICE_TEMPLATE, observed.key, metadata.uid),
        },
        "spec": spec,
    }
    return (Desired(TEMPLATE_CACHE, manifest, "template-cache"),)


def _status(observed: ObservedTemplate, hardware: Hardware | None) -> dict[str, Any]:
    template, model = observed.template, observed.model
    status: dict[str, Any] = {
        "resolvedRuntimeConfig": observed.config.reference,
        "resolvedModel": _model_reference(model) if model is not None else None,
    }
    status |= {
        "resolvedHardware": hardware.manifest() if hardware is not None else None,
        "hardwareSummary": hardware_summary(hardware) or None,
        "resolvedNodeAffinity": _affinity(hardware, observed),
    }
    if template.spec.model_sources:
        status["modelSources"] = [source.manifest() for source in template.spec.model_sources]
        status["profile"] = {"metadata": _inline_profile(template)}
        status["discovery"] = None
    return status


def _affinity(hardware: Hardware | None, observed: ObservedTemplate) -> Manifest | None:
    """Where the hardware is found. What is stored stays while it says the same in another order: services copy it
    into pods, and a new order would restart them (W7)."""
    if hardware is None or hardware.gpu is None:
        return None
    # Memory demands count only where a GPU is really asked for (operations.md §16.4).
    if not hardware.gpu.model and minimum_vram(hardware.gpu) and not hardware.gpu.requests:
        return None
    wanted, stored = node_affinity(hardware, observed.inventory), observed.template.status.resolved_node_affinity
    return stored if stored is not None and _unordered(stored) == _unordered(wanted) else wanted


def _unordered(value: object) -> str:
    """A text that is the same for values that differ in the order of their lists only."""
    if isinstance(value, Mapping):
        return json.dumps({key: _unordered(item) for key, item in sorted(value.items())})
    if isinstance(value, list | tuple):
        return json.dumps(sorted(_unordered(item) for item in value))
    return json.dumps(value)


def _inline_profile(template: Template) -> Manifest:
    spec, gpu = template.spec, template.spec.hardware.gpu if template.spec.hardware is not None else None
    values: Manifest = {
        "gpu": gpu.model if gpu is not None else "",
        "gpuCount": gpu.requests if gpu is not None else 0,
        "metric": spec.metric,
        "precision": spec.precision,
        "type": spec.type,
    }
    given = {name: value for name, value in values.items() if value}
    return ProfileMetadata.model_validate(given).manifest()


def _model_reference(model: Model) -> Manifest:
    kind = MODEL if model.metadata.namespace else CLUSTER_MODEL
    return resource_reference(kind, Key(model.metadata.namespace, model.metadata.name), model.metadata.uid)
