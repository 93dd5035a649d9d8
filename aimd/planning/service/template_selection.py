"""Automatic choice of a template: stages that narrow the candidates, then a ranking.

Every candidate gets a verdict, so that a service without a template can say why.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aimd.api.reasons import Reason, Verdict
from aimd.api.service import ServiceOverrides
from aimd.api.shared import ProfileType
from aimd.planning.component import State
from aimd.planning.gpus import normalize_gpu
from aimd.planning.labels import DERIVED, ORIGIN_LABEL, TEMPLATE_ALIAS_LABEL
from aimd.planning.service.observed import Model, Template, is_ready

_PROFILE_TYPES = ("optimized", "preview", "unoptimized")
_GPUS = ("MI355X", "MI350X", "MI325X", "MI300X", "MI308X", "MI300A", "MI250X", "MI210", "MI100")
_METRICS = ("latency", "throughput")
_PRECISIONS = ("fp4", "int4", "fp8", "int8", "fp16", "bf16", "fp32")
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
    """What a candidate is judged by; texts are empty and counts 0 where nothing is known."""

    metric: str
    precision: str
    gpu: str
    gpu_count: int
    profile_type: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A template that was considered, and the result."""

    template: Template
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen template, or the reason and message of having none; `waiting` when candidates may become Ready."""

    template: Template | None
    reason: Reason = Reason.RESOLVED
    message: str = ""
    waiting: bool = False
    candidates: Sequence[Candidate] = field(default=())


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the service asks of a template; `gpu_models` None means the cluster's GPUs are unknown."""

    overrides: ServiceOverrides | None
    allow_unoptimized: bool
    gpu_models: Collection[str] | None


def attributes_of(template: Template) -> Attributes:
    """The profile found by discovery first, the spec second; for GPUs the other way round (SVC-SEL-5)."""
    profile = template.status.profile
    found = profile.metadata if profile is not None else None
    gpu = template.spec.hardware.gpu if template.spec.hardware is not None else None
    return Attributes(
        metric=(found.metric if found else "") or template.spec.metric,
        precision=(found.precision if found else "") or template.spec.precision,
        gpu=(gpu.model.strip() if gpu else "") or (found.gpu.strip() if found else ""),
        gpu_count=max(gpu.requests if gpu else 0, 0) or max(found.gpu_count if found else 0, 0),
        profile_type=found.type if found else "",
    )


def is_user_written(template: Template) -> bool:
    """Whether somebody wrote the profile on purpose, so that the optimization filter lets it pass (SVC-SEL-3)."""
    labels = template.metadata.labels
    return ORIGIN_LABEL not in labels or template.spec.custom_profile is not None or TEMPLATE_ALIAS_LABEL in labels


def is_derived(template: Template) -> bool:
    """Whether a template was copied for a service's overrides."""
    return template.metadata.labels.get(ORIGIN_LABEL) == DERIVED


def is_optimized(template: Template) -> bool:
    """Whether the profile is tuned for its hardware."""
    return attributes_of(template).profile_type.lower() == ProfileType.OPTIMIZED


def matches_overrides(attributes: Attributes, overrides: ServiceOverrides | None) -> bool:
    """Stage 3: whether a candidate has what the overrides ask for; an unknown GPU of the candidate passes
    (SVC-SEL-4)."""
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
    """Stage 4: whether the cluster has the candidate's GPU; unknown on either side passes (SVC-SEL-4)."""
    if not attributes.gpu or gpu_models is None:
        return True
    wanted = normalize_gpu(attributes.gpu).lower()
    return any(normalize_gpu(model).lower() == wanted for model in gpu_models)


def candidates_of(model: Model, templates: Sequence[Template]) -> list[Template]:
    """The templates that belong to a model, namespaced ones first, each scope by name (SVC-SEL-1).

    Derived ones were made for services that name them; to all others they would only be ties of their bases.
    """
    belonging = [
        template
        for template in templates
        if template.spec.model_name == model.metadata.name and template.metadata.labels.get(ORIGIN_LABEL) != DERIVED
    ]
    return sorted(belonging, key=lambda template: (not template.metadata.namespace, template.metadata.name))


def select_template(model: Model, templates: Sequence[Template], requirements: Requirements) -> Selection:
    """The best template of a model; order of `templates` does not matter (SVC-SEL-2, SVC-SEL-9)."""
    left = candidates_of(model, templates)
    if not left:
        return Selection(None, Reason.TEMPLATE_NOT_FOUND, f"no template names the model {model.metadata.name}")
    judged: list[Candidate] = []
    for stage in _stages(requirements):
        verdicts = [(item, stage.rejects(item)) for item in left]
        judged += [Candidate(item, verdict) for item, verdict in verdicts if verdict is not None]
        remaining = [item for item, verdict in verdicts if verdict is None]
        if not remaining:
            return Selection(None, stage.reason, stage.explain(model, left), stage.waiting, tuple(judged))
        left = remaining
        if stage.waiting and (preferred := _preferred_by_model(model, left, requirements)) is not None:
            return Selection(preferred, candidates=(*judged, Candidate(preferred, Verdict.BEST_MATCH)))
    return _best(left, judged)


@dataclass(frozen=True, slots=True)
class _Stage:
    rejects: Callable[[Template], Verdict | None]
    explain: Callable[[Model, Sequence[Template]], str]
    reason: Reason = Reason.TEMPLATE_NOT_FOUND
    waiting: bool = False


def _stages(requirements: Requirements) -> tuple[_Stage, ...]:
    return (
        _Stage(_unavailable, _explain_unavailable, Reason.TEMPLATE_NOT_READY, waiting=True),
        _Stage(
            lambda item: None if _passes_optimization(item, requirements) else Verdict.UNOPTIMIZED_TEMPLATE_FILTERED,
            lambda model, items: (
                f"{len(items)} Ready template(s) of {model.metadata.name} are not optimized: "
                f"{_names(items)}; set spec.template.allowUnoptimized to use one"
            ),
        ),
        _Stage(
            lambda item: (
                None
                if matches_overrides(attributes_of(item), requirements.overrides)
                else Verdict.SERVICE_OVERRIDES_NOT_MATCHED
            ),
            lambda model, items: f"spec.overrides match none of the templates {_names(items)}",
        ),
        _Stage(
            lambda item: (
                None if has_gpu(attributes_of(item), requirements.gpu_models) else Verdict.REQUIRED_GPU_NOT_IN_CLUSTER
            ),
            lambda model, items: (
                f"no node has the GPU of any of the templates {_names(items)}; "
                f"the cluster has {', '.join(sorted(requirements.gpu_models or ())) or 'no labelled GPU'}"
            ),
        ),
    )


def _unavailable(template: Template) -> Verdict | None:
    word = template.status.status
    return None if is_ready(word) else _UNAVAILABLE.get(word, Verdict.TEMPLATE_NOT_READY)


def _explain_unavailable(model: Model, items: Sequence[Template]) -> str:
    words = listed([f"{item.metadata.name} is {item.status.status or 'new'}" for item in items])
    return f"templates of {model.metadata.name} exist but none is Ready: {words}"


def _passes_optimization(template: Template, requirements: Requirements) -> bool:
    return requirements.allow_unoptimized or is_optimized(template) or is_user_written(template)


def _preferred_by_model(model: Model, ready: Sequence[Template], requirements: Requirements) -> Template | None:
    """The template that the model names as its default, if it can be used (SVC-SEL-6)."""
    name = model.spec.default_service_template
    if not name:
        return None
    return next(
        (
            item
            for item in ready
            if item.metadata.name == name
            and matches_overrides(attributes_of(item), requirements.overrides)
            and has_gpu(attributes_of(item), requirements.gpu_models)
        ),
        None,
    )


def _best(left: Sequence[Template], judged: Sequence[Candidate]) -> Selection:
    """The best by rank, of the namespace if it has any; none where several share the rank (SVC-SEL-7, SVC-SEL-8)."""
    namespaced = [item for item in left if item.metadata.namespace]
    left = namespaced or left
    scores = {id(item): _score(attributes_of(item)) for item in left}
    lowest = min(scores.values())
    tied = [item for item in left if scores[id(item)] == lowest]
    losers = tuple(Candidate(item, Verdict.LOWER_PREFERENCE_RANK) for item in left if scores[id(item)] != lowest)
    if len(tied) > 1:
        return Selection(
            None,
            Reason.TEMPLATE_SELECTION_AMBIGUOUS,
            f"the templates {_names(tied)} fit equally well: name one in spec.template.name",
            candidates=(*judged, *losers),
        )
    return Selection(tied[0], candidates=(*judged, *losers, Candidate(tied[0], Verdict.BEST_MATCH)))


def _score(attributes: Attributes) -> tuple[int, ...]:
    return (
        _rank(attributes.profile_type, _PROFILE_TYPES),
        _rank(normalize_gpu(attributes.gpu) if attributes.gpu else "", _GPUS),
        _rank(attributes.metric, _METRICS),
        _rank(attributes.precision, _PRECISIONS),
    )


def _rank(value: str, order: Sequence[str]) -> int:
    lowered = [item.lower() for item in order]
    return lowered.index(value.lower()) if value.lower() in lowered else len(order) + _UNLISTED


def _names(items: Sequence[Template]) -> str:
    return listed([item.metadata.name for item in items])


def listed(texts: Sequence[str]) -> str:
    """Texts in a row; of many, the first ten and how many more."""
    shown = ", ".join(texts[:_LISTED])
    return f"{shown} and {len(texts) - _LISTED} more" if len(texts) > _LISTED else shown
