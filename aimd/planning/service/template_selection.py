"""Choose a template automatically: stages that drop candidates, then a ranking of the rest.

Every candidate gets a verdict, which explains why a service has no template, or not the one its user expected.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from aimd.api.model import AnyModel
from aimd.api.reasons import Reason, Verdict
from aimd.api.service import ServiceOverrides
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.shared import ProfileType
from aimd.planning.component import State
from aimd.planning.gpus import gpu_rank, names_no_gpu, normalize_gpu
from aimd.planning.labels import DERIVED, ORIGIN_LABEL, TEMPLATE_ALIAS_LABEL
from aimd.planning.service.observed import is_ready

_PROFILE_TYPES = (ProfileType.OPTIMIZED, ProfileType.GENERAL, ProfileType.PREVIEW, ProfileType.UNOPTIMIZED)
_METRICS = ("latency", "throughput")
_PRECISIONS = ("fp4", "int4", "fp8", "int8", "fp16", "bf16", "fp32", "fp64")
_UNAVAILABLE: Mapping[str, Verdict] = {
    State.PENDING: Verdict.TEMPLATE_PENDING,
    State.PROGRESSING: Verdict.TEMPLATE_PROGRESSING,
    State.NOT_AVAILABLE: Verdict.TEMPLATE_NOT_AVAILABLE,
    State.DEGRADED: Verdict.TEMPLATE_DEGRADED,
    State.FAILED: Verdict.TEMPLATE_FAILED,
}
_UNLISTED = 1000
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Attributes:
    """Properties of a candidate that count; texts are empty and counts 0 where nothing is known."""

    metric: str
    precision: str
    gpu: str
    gpu_count: int
    profile_type: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A template that was considered, and the verdict on it."""

    template: AnyServiceTemplate
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen template, or why there is none; `waiting` if candidates may become Ready without a change."""

    template: AnyServiceTemplate | None
    reason: Reason = Reason.RESOLVED
    message: str = ""
    candidates: Sequence[Candidate] = ()
    waiting: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a service asks of a template; `gpu_models` None means that the cluster's GPUs are unknown."""

    overrides: ServiceOverrides | None
    gpu_models: Collection[str] | None
    allow_unoptimized: bool = field(kw_only=True)


def attributes_of(template: AnyServiceTemplate) -> Attributes:
    """Read the profile found by discovery first and the spec second; for GPUs the other way round (SVC-SEL-5).

    The model of a CPU is not a GPU (TPL-GPU-6).
    """
    profile = template.status.profile
    found = profile.metadata if profile is not None else None
    gpu = template.spec.hardware.gpu if template.spec.hardware is not None else None
    gpu = gpu if gpu is not None and not names_no_gpu(gpu.model) else None
    return Attributes(
        metric=(found.metric if found else "") or template.spec.metric,
        precision=(found.precision if found else "") or template.spec.precision,
        gpu=(gpu.model.strip() if gpu else "") or (found.gpu.strip() if found else ""),
        gpu_count=max(gpu.requests if gpu else 0, 0) or max(found.gpu_count if found else 0, 0),
        profile_type=found.type if found else "",
    )


def is_user_written(template: AnyServiceTemplate) -> bool:
    """Return whether a user wrote the profile, so that it may be used without being optimized (SVC-SEL-3)."""
    labels = template.metadata.labels
    return ORIGIN_LABEL not in labels or template.spec.custom_profile is not None or TEMPLATE_ALIAS_LABEL in labels


def is_derived(template: AnyServiceTemplate) -> bool:
    """Return whether the template was derived from another one for the overrides of a service."""
    return template.metadata.labels.get(ORIGIN_LABEL) == DERIVED


def is_optimized(template: AnyServiceTemplate) -> bool:
    """Return whether the profile is optimized for its hardware."""
    return attributes_of(template).profile_type.lower() == ProfileType.OPTIMIZED


def _is_general(template: AnyServiceTemplate) -> bool:
    return attributes_of(template).profile_type.lower() == ProfileType.GENERAL


def matches_overrides(attributes: Attributes, overrides: ServiceOverrides | None) -> bool:
    """Return whether a candidate has what the overrides ask for; an unknown GPU of it passes (SVC-SEL-4)."""
    if overrides is None:
        return True
    if overrides.metric and overrides.metric.lower() != attributes.metric.lower():
        return False
    if overrides.precision and overrides.precision.lower() != attributes.precision.lower():
        return False
    gpu = overrides.hardware.gpu if overrides.hardware is not None else None
    if gpu is None:
        return True
    wanted = gpu.model.strip()
    if wanted and attributes.gpu and normalize_gpu(wanted).lower() != normalize_gpu(attributes.gpu).lower():
        return False
    return not (gpu.requests > 0 and attributes.gpu_count > 0 and gpu.requests != attributes.gpu_count)


def has_gpu(attributes: Attributes, gpu_models: Collection[str] | None) -> bool:
    """Return whether the cluster has the candidate's GPU; what is unknown on either side passes (SVC-SEL-4)."""
    if not attributes.gpu or gpu_models is None:
        return True
    wanted = normalize_gpu(attributes.gpu).lower()
    return any(normalize_gpu(model).lower() == wanted for model in gpu_models)


def candidates_of(model: AnyModel, templates: Sequence[AnyServiceTemplate]) -> list[AnyServiceTemplate]:
    """Return the templates that belong to a model, namespaced ones first, each scope by name (SVC-SEL-1).

    Derived templates are left out. They were created for services that name them, and to any other service each would
    tie with its base.
    """
    belonging = [
        template
        for template in templates
        if template.spec.model_name == model.metadata.name and template.metadata.labels.get(ORIGIN_LABEL) != DERIVED
    ]
    return sorted(belonging, key=lambda template: (not template.metadata.namespace, template.metadata.name))


def select_template(model: AnyModel, templates: Sequence[AnyServiceTemplate], wanted: Requirements) -> Selection:
    """Choose the best template of a model; the order of `templates` does not matter (SVC-SEL-2, SVC-SEL-9)."""
    left = candidates_of(model, templates)
    if not left:
        message = f"No template belongs to model {model.metadata.name}: create one, or wait until one is created"
        return Selection(None, Reason.TEMPLATE_NOT_FOUND, message)
    judged: list[Candidate] = []
    for stage in _stages(wanted, left):
        verdicts = [(item, stage.verdict(item)) for item in left]
        judged += [Candidate(item, verdict) for item, verdict in verdicts if verdict is not None]
        remaining = [item for item, verdict in verdicts if verdict is None]
        if not remaining:
            return Selection(None, stage.reason, stage.explanation(model, left), tuple(judged), waiting=stage.waiting)
        left = remaining
        if stage.waiting and (preferred := _preferred_by_model(model, left, wanted)) is not None:
            return Selection(preferred, candidates=(*judged, Candidate(preferred, Verdict.BEST_MATCH)))
    return _best(left, judged)


class _Stage(ABC):
    """A rule that drops candidates, and explains it to the user if none is left."""

    reason: ClassVar[Reason] = Reason.TEMPLATE_NOT_FOUND
    waiting: ClassVar[bool] = False
    """Whether candidates that it drops may pass later without any change by the user."""

    @abstractmethod
    def verdict(self, template: AnyServiceTemplate) -> Verdict | None:
        """Return why the template is dropped, None if it passes."""

    @abstractmethod
    def explanation(self, model: AnyModel, dropped: Sequence[AnyServiceTemplate]) -> str:
        """Return the message for a service for which no template is left; `dropped` were the last ones."""


def _stages(wanted: Requirements, candidates: Sequence[AnyServiceTemplate]) -> tuple[_Stage, ...]:
    """Return the stages, each of which sees what the one before it left of the model's `candidates`."""
    only_general = all(_is_general(item) for item in candidates)
    return (
        _Ready(),
        _Optimized(allow_unoptimized=wanted.allow_unoptimized, allow_general=only_general),
        _MatchesOverrides(wanted.overrides),
        _GpuInCluster(wanted.gpu_models),
    )


class _Ready(_Stage):
    """The template is Ready."""

    reason = Reason.TEMPLATE_NOT_READY
    waiting = True

    def verdict(self, template: AnyServiceTemplate) -> Verdict | None:
        word = template.status.status
        return None if is_ready(word) else _UNAVAILABLE.get(word, Verdict.TEMPLATE_NOT_READY)

    def explanation(self, model: AnyModel, dropped: Sequence[AnyServiceTemplate]) -> str:
        words = listed([f"{item.metadata.name} is {item.status.status or 'not reconciled yet'}" for item in dropped])
        return f"No template of model {model.metadata.name} is Ready: {words}"


@dataclass(frozen=True, slots=True)
class _Optimized(_Stage):
    """The template is optimized or written by a user, unless the service allows any other (SVC-SEL-3).

    A general one passes where the model has no others.
    """

    allow_unoptimized: bool
    allow_general: bool

    def verdict(self, template: AnyServiceTemplate) -> Verdict | None:
        tuned = is_optimized(template) or (self.allow_general and _is_general(template))
        passes = self.allow_unoptimized or tuned or is_user_written(template)
        return None if passes else Verdict.UNOPTIMIZED_TEMPLATE_FILTERED

    def explanation(self, model: AnyModel, dropped: Sequence[AnyServiceTemplate]) -> str:
        count = "1 Ready template" if len(dropped) == 1 else f"{len(dropped)} Ready templates"
        return (
            f"{count} of model {model.metadata.name} {'is' if len(dropped) == 1 else 'are'} not optimized: "
            f"{_names(dropped)}; set spec.template.allowUnoptimized to use one"
        )


@dataclass(frozen=True, slots=True)
class _MatchesOverrides(_Stage):
    """The template has what the service's overrides ask for (SVC-SEL-4)."""

    overrides: ServiceOverrides | None

    def verdict(self, template: AnyServiceTemplate) -> Verdict | None:
        matches = matches_overrides(attributes_of(template), self.overrides)
        return None if matches else Verdict.SERVICE_OVERRIDES_NOT_MATCHED

    def explanation(self, model: AnyModel, dropped: Sequence[AnyServiceTemplate]) -> str:
        return (
            f"No template of model {model.metadata.name} matches spec.overrides: {_names(dropped)}; "
            "create a template that matches, or a service with other overrides"
        )


@dataclass(frozen=True, slots=True)
class _GpuInCluster(_Stage):
    """A node of the cluster has the template's GPU (SVC-SEL-4)."""

    gpu_models: Collection[str] | None

    def verdict(self, template: AnyServiceTemplate) -> Verdict | None:
        return None if has_gpu(attributes_of(template), self.gpu_models) else Verdict.REQUIRED_GPU_NOT_IN_CLUSTER

    def explanation(self, model: AnyModel, dropped: Sequence[AnyServiceTemplate]) -> str:
        present = ", ".join(sorted(self.gpu_models or ())) or "no labeled GPU"
        return (
            f"No node has a GPU required by templates of model {model.metadata.name}: {_names(dropped)}; "
            f"the cluster has {present}"
        )


def _preferred_by_model(
    model: AnyModel, ready: Sequence[AnyServiceTemplate], wanted: Requirements
) -> AnyServiceTemplate | None:
    """Return the template that the model names as its default, None if it cannot be used (SVC-SEL-6)."""
    name = model.spec.default_service_template
    if not name:
        return None
    return next(
        (
            item
            for item in ready
            if item.metadata.name == name
            and matches_overrides(attributes_of(item), wanted.overrides)
            and has_gpu(attributes_of(item), wanted.gpu_models)
        ),
        None,
    )


def _best(left: Sequence[AnyServiceTemplate], judged: Sequence[Candidate]) -> Selection:
    """Choose by rank, in the namespace if it has any (SVC-SEL-7).

    A shared first rank leaves none, unless each of these templates pins a profile of its own (SVC-SEL-8).
    """
    namespaced = [item for item in left if item.metadata.namespace]
    left = namespaced or left
    scores = {id(item): _score(attributes_of(item)) for item in left}
    lowest = min(scores.values())
    tied = [item for item in left if scores[id(item)] == lowest]
    if (first := _first_profile(tied)) is not None:
        tied = [first]
    best = {id(item) for item in tied}
    losers = tuple(Candidate(item, Verdict.LOWER_PREFERENCE_RANK) for item in left if id(item) not in best)
    if len(tied) > 1:
        return Selection(
            None,
            Reason.TEMPLATE_SELECTION_AMBIGUOUS,
            f"Templates {_names(tied)} fit equally well: name one in spec.template.name",
            candidates=(*judged, *losers),
        )
    return Selection(tied[0], candidates=(*judged, *losers, Candidate(tied[0], Verdict.BEST_MATCH)))


def _first_profile(tied: Sequence[AnyServiceTemplate]) -> AnyServiceTemplate | None:
    """Return the template with the first profile id, None unless each pins another profile of the image."""
    pinned = {item.spec.profile_id if item.spec.custom_profile is None else "": item for item in tied}
    return pinned[min(pinned)] if len(pinned) == len(tied) and "" not in pinned else None


def _score(attributes: Attributes) -> tuple[int, ...]:
    return (
        _rank(attributes.profile_type, _PROFILE_TYPES),
        gpu_rank(attributes.gpu),
        _rank(attributes.metric, _METRICS),
        _rank(attributes.precision, _PRECISIONS),
        attributes.gpu_count or _UNLISTED,
    )


def _rank(value: str, order: Sequence[str]) -> int:
    lowered = [item.lower() for item in order]
    return lowered.index(value.lower()) if value.lower() in lowered else len(order) + _UNLISTED


def _names(items: Sequence[AnyServiceTemplate]) -> str:
    return listed([item.metadata.name for item in items])


def listed(texts: Sequence[str]) -> str:
    """Join texts with commas; of more than ten, the first ten and how many more there are."""
    shown = ", ".join(texts[:_LISTED])
    return f"{shown} and {len(texts) - _LISTED} more" if len(texts) > _LISTED else shown
