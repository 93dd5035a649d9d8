"""Which templates a model makes, which of them go again.

Names are those of the reference (MDL-TPL-2). Each entry is judged for itself: one that cannot become a template is
reported and holds up none of the others (MDL-TPL-3).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from aimd.api.model import AIMClusterModel, AnyModel, CustomTemplate, ImageProfile, RecommendedDeployment
from aimd.api.shared import CpuHardware, GpuHardware, Hardware, Metric, Precision, ProfileType
from aimd.planning.environment import merge_container_env, render_env
from aimd.planning.image_inspection import extracts_metadata
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE_TEMPLATE,
    owned_by,
)
from aimd.planning.labels import (
    AUTO_GENERATED,
    MADE_FOR_IMAGE_ANNOTATION,
    MODEL_LABEL,
    ORIGIN_LABEL,
    TEMPLATE_ALIAS_LABEL,
    child_labels,
    name_label,
)
from aimd.planning.model.image_metadata import LabelsRead, read_labels
from aimd.planning.model.image_profiles import described_profiles
from aimd.planning.model.observed import (
    ObservedModel,
    creates_templates,
    is_custom,
    recommended_deployments,
)
from aimd.planning.naming import derive_name
from aimd.planning.objects import annotations_of, is_controlled_by, spec_of
from aimd.planning.quantities import canonical_cpu
from aimd.runtime.objects import Deletion, Desired, Key, Kind, Manifest, uid_of

_LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SHORT_METRICS = {Metric.LATENCY.value: "lat", Metric.THROUGHPUT.value: "thr"}
_IMMUTABLE = ("metric", "precision", "hardware")
_LONGEST_GPU = 64


@dataclass(frozen=True, slots=True)
class TemplatePlan:
    """Templates to write and to delete, what is wrong with entries (`invalid`), and what else is to be said."""

    desired: tuple[Desired, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    invalid: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Wanted:
    """Templates by name, as they are collected."""

    specs: dict[str, tuple[Manifest, str]] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, where: str, name: str, spec: Manifest, alias: str = "") -> None:
        known = self.specs.setdefault(name, (spec, alias))
        if known != (spec, alias):
            self.remarks.append(
                f"{where} duplicates an earlier entry (same metric, precision and hardware); the earlier one is used"
            )


def plan_templates(observed: ObservedModel) -> TemplatePlan:
    """Return what to create, replace and delete of the model's templates (MDL-TPL-6). Pure and total."""
    if not creates_templates(observed.model, observed.config):
        return TemplatePlan()
    model, patterns = observed.model, observed.config.label_patterns
    wanted = _wanted(observed)
    desired: list[Desired] = []
    deletions: list[Deletion] = []
    for name, (spec, alias) in wanted.specs.items():
        live = observed.manifests.get(name)
        if live is not None and not is_controlled_by(live, model.metadata.uid):
            wanted.remarks.append(f"template {name} exists and has another owner; it is not changed")
        elif live is None or not _needs_replacement(spec, live):
            desired.append(_render(model, patterns, name, spec, alias))
        elif name in observed.used:
            wanted.remarks.append(f"template {name} is in use, so its {', '.join(_IMMUTABLE)} are not changed")
        else:
            deletions.append(Deletion(_kind(model), _key(model, name), uid_of(live), "template-replaced"))
    deletions += _outdated(observed, wanted)
    ordered = sorted(desired, key=lambda item: item.key)
    return TemplatePlan(tuple(ordered), tuple(deletions), tuple(wanted.invalid), tuple(wanted.remarks))


def template_names(observed: ObservedModel) -> tuple[str, ...]:
    """Return the names of the templates that the model should have."""
    return tuple(_wanted(observed).specs) if creates_templates(observed.model, observed.config) else ()


def deployment_template_name(model_name: str, image: str, deployment: RecommendedDeployment) -> str:
    """Return the name of the template of a recommended deployment."""
    gpu, count = deployment.gpu_model, deployment.gpu_count
    counted = f"{count}x-{gpu}" if gpu and count > 0 else gpu or (f"x{count}" if count > 0 else "")
    metric = _SHORT_METRICS.get(deployment.metric, deployment.metric)
    suffix = "-".join(part for part in (counted, metric, deployment.precision) if part)
    parts = [model_name, image, gpu, f"x{count}" if count > 0 else "", deployment.metric, deployment.precision]
    return derive_name([image, suffix], ["-".join(part for part in parts if part)], hash_length=4)


def custom_template_name(model_name: str, index: int, entry: CustomTemplate | None) -> str:
    """Return the name of the template of the custom entry at `index`; of the automatic one without an entry."""
    parts, inputs = [model_name, "custom"], [model_name, index]
    if entry is not None:
        inputs.append(entry.name)
        parts += [entry.name] if entry.name else []
        if entry.profile is not None:
            inputs += [entry.profile.precision, entry.profile.metric]
            parts += [entry.profile.precision] if entry.profile.precision else []
        gpu = entry.hardware.gpu if entry.hardware is not None else None
        if gpu is not None:
            inputs += [gpu.requests, gpu.model]
            parts += [gpu.model] if gpu.model else []
    return derive_name(parts, inputs)


def merge_hardware(default: Hardware | None, own: Hardware | None) -> Hardware | None:
    """Return `default` overridden by `own`, part by part and field by field (MDL-TPL-7)."""
    if default is None or own is None:
        return own or default
    parts: Manifest = {}
    if default.gpu is not None or own.gpu is not None:
        parts["gpu"] = _merge_gpu(default.gpu, own.gpu)
    if default.cpu is not None or own.cpu is not None:
        parts["cpu"] = _merge_cpu(default.cpu, own.cpu)
    return Hardware.model_validate(parts)


def _wanted(observed: ObservedModel) -> _Wanted:
    """Return the templates that the image and `customTemplates` define, by name (MDL-TPL-1)."""
    model, wanted = observed.model, _Wanted()
    if not is_custom(model):
        _add_recommended(wanted, observed)
    if is_custom(model) and not model.spec.custom_templates:
        wanted.add("custom", custom_template_name(model.metadata.name, 0, None), _custom_spec(model, None))
    for index, entry in enumerate(model.spec.custom_templates):
        where = f"customTemplates[{index}]"
        if entry.name and not _LABEL_VALUE.fullmatch(entry.name):
            wanted.invalid.append(f"{where}: name {entry.name!r} has to be letters, digits, and -, _, . between them")
            continue
        name = custom_template_name(model.metadata.name, index, entry)
        wanted.add(where, name, _custom_spec(model, entry), entry.name)
    return wanted


def _add_recommended(wanted: _Wanted, observed: ObservedModel) -> None:
    """Add the templates that the image recommends: its profiles, else the deployments in its metadata (MDL-PRF-1)."""
    model, metadata, profiles = observed.model, observed.metadata, observed.profiles
    if metadata is not None and model.spec.image_metadata is None:
        labels = read_labels(metadata.original_labels)
        wanted.invalid += labels.rejected if isinstance(labels, LabelsRead) else ()
    deployments = recommended_deployments(metadata)
    recommended = profiles.profiles if profiles is not None else described_profiles(deployments)
    for index, profile in enumerate(recommended):
        where = f"recommendedDeployments[{index}]" if deployments else f"profile {profile.profile_id}"
        problem = next(_problems(profile), None)
        if problem is not None:
            wanted.invalid.append(f"{where}: {problem}")
            continue
        name = deployment_template_name(model.metadata.name, model.spec.image, _as_deployment(profile))
        wanted.add(where, name, _profile_spec(model, profile))


def _as_deployment(profile: ImageProfile) -> RecommendedDeployment:
    """Return what distinguishes the template of a profile; CPUs count like GPUs for its name (MDL-TPL-2)."""
    return RecommendedDeployment(
        gpu_model=profile.gpu_model or profile.cpu_model,
        gpu_count=profile.gpu_count or profile.cpu_count,
        metric=profile.metric,
        precision=profile.precision,
    )


def _problems(profile: ImageProfile) -> Iterator[str]:
    for name, value, words in (
        ("metric", profile.metric, tuple(Metric)),
        ("precision", profile.precision, tuple(Precision)),
    ):
        if value and value not in words:
            yield f"{name} {value[:_LONGEST_GPU]!r} is none of {', '.join(words)}"
    if len(profile.gpu_model) > _LONGEST_GPU:
        yield f"gpuModel is longer than {_LONGEST_GPU} characters"
    if profile.gpu_count < 0:
        yield f"gpuCount is {profile.gpu_count}"


def _profile_spec(model: AnyModel, profile: ImageProfile) -> Manifest:
    """Return the spec of the template of a profile; cores of a profile for CPUs are requested (MDL-PRF-5)."""
    spec = _common_spec(model)
    given = (("metric", profile.metric), ("precision", profile.precision), ("profileId", profile.profile_id))
    spec |= {name: value for name, value in given if value}
    if profile.gpu_model and profile.gpu_count:
        spec["hardware"] = {"gpu": {"requests": profile.gpu_count, "model": profile.gpu_model}}
    elif profile.cpu_count > 0:
        spec["hardware"] = {"cpu": {"requests": str(profile.cpu_count)}}
    return spec


def _custom_spec(model: AnyModel, entry: CustomTemplate | None) -> Manifest:
    """Return the spec of a custom template; its type defaults to unoptimized (MDL-TPL-8)."""
    defaults, sources = model.spec.custom, model.spec.model_sources
    spec = _common_spec(model)
    kind = (entry.type if entry is not None else "") or (defaults.type if defaults is not None else "")
    spec["type"] = kind or ProfileType.UNOPTIMIZED.value
    if sources:
        spec["modelSources"] = [source.manifest() for source in sources]
    if env := merge_container_env(model.spec.env, entry.env if entry is not None else ()):
        spec["env"] = render_env(env)
    own = entry.hardware if entry is not None else None
    hardware = merge_hardware(defaults.hardware if defaults is not None else None, own)
    if hardware is not None:
        spec["hardware"] = _canonical(hardware)
        if hardware.cpu is not None:
            spec["resources"] = _cpu_resources(hardware.cpu)
    if entry is not None:
        spec |= _profile_fields(entry)
    return spec


def _profile_fields(entry: CustomTemplate) -> Manifest:
    profile = entry.profile
    given: Sequence[tuple[str, object]] = (
        ("metric", profile.metric if profile is not None else ""),
        ("precision", profile.precision if profile is not None else ""),
        ("aimId", entry.aim_id),
        ("modelId", entry.model_id),
        ("customProfile", entry.custom_profile.manifest() if entry.custom_profile is not None else None),
    )
    return {name: value for name, value in given if value or isinstance(value, dict)}


def _common_spec(model: AnyModel) -> Manifest:
    spec: Manifest = {"modelName": model.metadata.name}
    if model.spec.image_pull_secrets:
        spec["imagePullSecrets"] = [reference.manifest() for reference in model.spec.image_pull_secrets]
    if model.spec.service_account_name:
        spec["serviceAccountName"] = model.spec.service_account_name
    return spec


def _merge_gpu(default: GpuHardware | None, own: GpuHardware | None) -> Manifest:
    """Return the merged GPU; a model and a minimum of memory exclude each other, so one drops the other (MDL-TPL-7)."""
    if default is None or own is None:
        chosen = own or default
        return chosen.manifest() if chosen is not None else {}
    merged = default.manifest()
    if own.requests:
        merged["requests"] = own.requests
    if own.resource_name:
        merged["resourceName"] = own.resource_name
    if own.model:
        merged = {**_without(merged, "minVram"), "model": own.model}
    elif own.min_vram:
        merged = {**_without(merged, "model"), "minVram": own.min_vram}
    return merged


def _merge_cpu(default: CpuHardware | None, own: CpuHardware | None) -> Manifest:
    if default is None or own is None:
        chosen = own or default
        return chosen.manifest() if chosen is not None else {}
    given = {name: value for name, value in own.manifest().items() if canonical_cpu(str(value)) not in ("", "0")}
    return {**default.manifest(), **given}


def _without(fields: Mapping[str, object], name: str) -> Manifest:
    return {key: value for key, value in fields.items() if key != name}


def _canonical(hardware: Hardware) -> Manifest:
    manifest = hardware.manifest()
    if "cpu" in manifest:
        manifest["cpu"] = {name: canonical_cpu(str(value)) for name, value in manifest["cpu"].items()}
    return manifest


def _cpu_resources(cpu: CpuHardware) -> Manifest:
    resources: Manifest = {"requests": {"cpu": canonical_cpu(cpu.requests)}}
    if cpu.limits:
        resources["limits"] = {"cpu": canonical_cpu(cpu.limits)}
    return resources


def _render(model: AnyModel, patterns: Sequence[str], name: str, spec: Manifest, alias: str) -> Desired:
    kind, is_cluster = _kind(model), isinstance(model, AIMClusterModel)
    own = {MODEL_LABEL: name_label(model.metadata.name), ORIGIN_LABEL: AUTO_GENERATED}
    own |= {TEMPLATE_ALIAS_LABEL: alias} if alias else {}
    controller = "cluster-model" if is_cluster else "model"
    labels = child_labels(controller, model.metadata.labels, model.metadata.name, own, patterns)
    key = _key(model, name)
    parent = AIM_CLUSTER_MODEL if is_cluster else AIM_MODEL
    owners = owned_by(parent, Key(model.metadata.namespace, model.metadata.name), model.metadata.uid)
    annotations = {MADE_FOR_IMAGE_ANNOTATION: model.spec.image}
    metadata: Manifest = {"name": name, "labels": labels, "annotations": annotations, "ownerReferences": owners}
    metadata |= {"namespace": key.namespace} if key.namespace else {}
    manifest = kind.manifest(metadata, spec=spec)
    return Desired(kind, manifest, "template", filled=("spec.hardware.gpu.resourceName",))


def _outdated(observed: ObservedModel, wanted: _Wanted) -> Iterator[Deletion]:
    """Yield the deletions of templates that are neither wanted nor used, once the wanted ones are known (MDL-TPL-4).

    Copies that users made of them have their labels and owner, but were never written by aimd; they are kept.
    """
    model = observed.model
    known = is_custom(model) or observed.metadata is not None or not extracts_metadata(model, observed.config)
    if not known:
        return
    for name, live in sorted(observed.manifests.items()):
        ours = name in observed.applied and MADE_FOR_IMAGE_ANNOTATION in annotations_of(live)
        if (
            ours
            and is_controlled_by(live, model.metadata.uid)
            and name not in wanted.specs
            and name not in observed.used
        ):
            yield Deletion(_kind(model), _key(model, name), uid_of(live), "template-outdated")


def _needs_replacement(spec: Manifest, live: Manifest) -> bool:
    """Return whether the live template has another value where the schema allows no change (MDL-TPL-5).

    One that does not parse is left to its owner: it reports itself (OBJ-TEN-1).
    """
    stored = spec_of(live)
    compared = [name for name in _IMMUTABLE if name in spec and name in stored]
    try:
        return any(_normal(spec[name]) != _normal(stored[name]) for name in compared)
    except ValidationError:
        return False


def _normal(value: object) -> object:
    """Return hardware without what the API server defaults."""
    if not isinstance(value, dict):
        return value
    hardware = Hardware.model_validate(value)
    gpu = hardware.gpu
    cpu = {name: canonical_cpu(str(text)) for name, text in hardware.cpu.manifest().items()} if hardware.cpu else None
    return (gpu.requests, gpu.model, gpu.min_vram, gpu.resource_name) if gpu is not None else None, cpu


def _kind(model: AnyModel) -> Kind:
    return AIM_CLUSTER_SERVICE_TEMPLATE if isinstance(model, AIMClusterModel) else AIM_SERVICE_TEMPLATE


def _key(model: AnyModel, name: str) -> Key:
    return Key(model.metadata.namespace, name)
