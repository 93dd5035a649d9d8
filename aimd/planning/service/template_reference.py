"""Which template a service runs with: remembered, named, or chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aimd.api.reasons import Reason, Verdict
from aimd.api.service import AIMService, ServiceCondition
from aimd.api.shared import ResolvedReference, Scope
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE
from aimd.planning.service.child_names import derived_template_name, former_derived_template_name, has_overrides
from aimd.planning.service.model_reference import same_weights
from aimd.planning.service.observed import (
    Model,
    ObservedService,
    Template,
    is_ready,
    kind_of_template,
    ready_message,
)
from aimd.planning.service.template_selection import (
    ALIAS_LABEL,
    Candidate,
    Requirements,
    Selection,
    attributes_of,
    is_derived,
    is_optimized,
    is_user_written,
    listed,
    select_template,
)
from aimd.planning.unreadable import find_unreadable, hides, unreadable_reference
from aimd.runtime.objects import Category, Failure, Manifest

_CANDIDATES_KEPT = 20


@dataclass(frozen=True, slots=True)
class TemplateChoice:
    """The resolved template, whatever its state, and how that looks on the service."""

    template: Template | None
    component: Component
    derive_from: Template | None = None
    """The template that has to be copied with the service's overrides first."""
    candidates: Sequence[Candidate] = ()
    """Of every candidate, when the choice was made just now."""

    @property
    def ready(self) -> bool:
        return (
            self.template is not None
            and is_ready(self.template.status.status)
            and self.component.effective_state is State.READY
        )


def resolve_template(observed: ObservedService, model: Model | None) -> TemplateChoice:
    """Chooses among the observed templates.

    A service that runs keeps its template while that exists, even when it is not Ready: another one would be another
    engine configuration under live traffic (SVC-TPL-1).
    """
    service = observed.service
    remembered = _kept(observed)
    running = observed.inference_service is not None
    if remembered is not None and (running or (is_ready(remembered.status.status) and not _is_provisional(service))):
        return _checked(observed, model, remembered)
    if template_name(service):
        return _by_name(observed, model)
    if model is None:
        return TemplateChoice(None, _waiting(Reason.TEMPLATE_NOT_FOUND, "a template is chosen once the model is known"))
    selection = select_template(model, observed.templates, requirements_of(observed))
    if selection.template is not None:
        return replace(_found(selection.template), candidates=selection.candidates)
    state = State.PROGRESSING if selection.waiting else State.PENDING
    message = f"{selection.message}{_fallen(selection)}"
    component = Component(
        ServiceCondition.TEMPLATE_READY, state, selection.reason, message, direction=Direction.UPSTREAM
    )
    return TemplateChoice(None, component, candidates=selection.candidates)


def _fallen(selection: Selection) -> str:
    """Where the candidates fell out, if the message of the last stage does not say it of all."""
    reasons = {item.verdict for item in selection.candidates}
    if len(reasons) < 2:
        return ""
    return "; before that: " + listed(
        [f"{item.template.metadata.name} {item.verdict}" for item in selection.candidates]
    )


def candidates_status(service: AIMService, choice: TemplateChoice) -> list[Manifest] | None:
    """`status.templateCandidates`: of the last automatic choice; None where the template is named (SVC-SEL-9)."""
    if template_name(service):
        return None
    if not choice.candidates:
        return [verdict.manifest() for verdict in service.status.template_candidates] or None
    ordered = sorted(
        choice.candidates, key=lambda item: (item.verdict != Verdict.BEST_MATCH, item.template.metadata.name)
    )
    return [
        {
            "name": item.template.metadata.name,
            "scope": str(Scope.NAMESPACE if item.template.metadata.namespace else Scope.CLUSTER),
            "verdict": str(item.verdict),
        }
        for item in ordered[:_CANDIDATES_KEPT]
    ]


def requirements_of(observed: ObservedService) -> Requirements:
    """What the service asks of an automatically chosen template."""
    spec = observed.service.spec
    allow = bool(spec.template.allow_unoptimized) if spec.template is not None else False
    return Requirements(spec.overrides, allow, observed.gpu_models)


def is_named(service: AIMService) -> bool:
    """Whether the service names its template; otherwise one is chosen for it."""
    return bool(template_name(service))


def template_name(service: AIMService) -> str:
    """Return the template that a service names, empty when one is chosen for it."""
    return service.spec.template.name.strip() if service.spec.template is not None else ""


def _referenced(stored: ResolvedReference | None, templates: Sequence[Template]) -> Template | None:
    if stored is None or not stored.name:
        return None
    namespaced = stored.scope != Scope.CLUSTER
    return next(
        (
            template
            for template in templates
            if template.metadata.name == stored.name and bool(template.metadata.namespace) == namespaced
        ),
        None,
    )


def _kept(observed: ObservedService) -> Template | None:
    """The remembered template, unless the service has come to override the one it names, or to override it no more."""
    service = observed.service
    stored, name = service.status.resolved_template, template_name(service)
    if name and has_overrides(service.spec.overrides) and stored is not None:
        wanted = (
            derived_template_name(name, service.spec.overrides),
            former_derived_template_name(name, service.spec.overrides),
        )
        return _referenced(stored, observed.templates) if stored.name in wanted else None
    kept = _referenced(stored, observed.templates)
    if kept is not None and name and is_derived(kept) and kept.metadata.name != name:
        return None
    return kept


def _is_provisional(service: AIMService) -> bool:
    """Whether the remembered template was chosen while others of its model were still being made or discovered
    (SVC-TPL-2)."""
    conditions = {condition.type: condition.status for condition in service.status.conditions}
    return not template_name(service) and conditions.get(ServiceCondition.MODEL_READY) == "False"


def _by_name(observed: ObservedService, model: Model | None) -> TemplateChoice:
    """The template that the service names: in the namespace, in the cluster, by its alias (SVC-TPL-3, SVC-TPL-4)."""
    name = template_name(observed.service)
    namesakes = [template for template in observed.templates if template.metadata.name == name]
    broken = find_unreadable(observed.unreadable, (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE), name)
    if broken is not None and hides(broken, namesakes):
        return TemplateChoice(None, _blocked(unreadable_reference(broken, Reason.TEMPLATE_NOT_FOUND)))
    if not namesakes and model is not None:
        namesakes = _by_alias(name, model, observed.templates)
    if not namesakes:
        namespace = observed.service.metadata.namespace
        failure = Failure(
            Category.MISSING_UPSTREAM,
            Reason.TEMPLATE_NOT_FOUND,
            f"found neither AIMServiceTemplate {namespace}/{name} nor AIMClusterServiceTemplate {name}: "
            "create one of them",
        )
        return TemplateChoice(None, _blocked(failure))
    base = min(namesakes, key=lambda template: not template.metadata.namespace)
    return (
        _derived(observed, model, base)
        if has_overrides(observed.service.spec.overrides)
        else _checked(observed, model, base)
    )


def _derived(observed: ObservedService, model: Model | None, base: Template) -> TemplateChoice:
    """The base with the service's overrides; to be made first if it is not there."""
    name = derived_template_name(base.metadata.name, observed.service.spec.overrides)
    for template in observed.templates:
        if template.metadata.name == name and template.metadata.namespace == observed.service.metadata.namespace:
            return _checked(observed, model, template)
    checked = _checked(observed, model, base)
    if checked.component.blocks_apply:
        return checked
    message = f"AIMServiceTemplate {name} is being made from {base.metadata.name} with the overrides of this service"
    component = Component(
        ServiceCondition.TEMPLATE_READY,
        State.PROGRESSING,
        Reason.TEMPLATE_NOT_READY,
        message,
        direction=Direction.UPSTREAM,
    )
    return TemplateChoice(None, component, derive_from=base)


def _by_alias(alias: str, model: Model, templates: Sequence[Template]) -> list[Template]:
    """A model's own template by the short name it was given there, if that is unique (SVC-TPL-3)."""
    matches = [
        template
        for template in templates
        if template.spec.model_name == model.metadata.name and template.metadata.labels.get(ALIAS_LABEL) == alias
    ]
    return matches if len(matches) == 1 else []


def _checked(observed: ObservedService, model: Model | None, template: Template) -> TemplateChoice:
    """What only a template that was not just selected can be: another model's, or overtaken."""
    foreign = _other_model(observed, model, template)
    if foreign is not None and model is not None:
        failure = Failure(
            Category.INVALID_SPEC,
            Reason.TEMPLATE_MODEL_MISMATCH,
            f"template {template.metadata.name} belongs to model {foreign.metadata.name}, which has another image or "
            f"other weights than {model.metadata.name}: name a template of {model.metadata.name}",
        )
        return TemplateChoice(template, _blocked(failure))
    if _better_exists(observed, model, template):
        return _found(template, overtaken=True)
    return _found(template)


def _other_model(observed: ObservedService, model: Model | None, template: Template) -> Model | None:
    """The existing model that a template names although it is not the service's nor its twin (SVC-TPL-5)."""
    name = template.spec.model_name
    if model is None or name == model.metadata.name:
        return None
    namesakes = [other for other in observed.models if other.metadata.name == name]
    if not namesakes:
        return None
    other = min(namesakes, key=lambda item: not item.metadata.namespace)
    return None if same_weights(model, other) else other


def _better_exists(observed: ObservedService, model: Model | None, template: Template) -> bool:
    """Whether a running service sits on a chosen template that an optimized Ready one has overtaken (SVC-TPL-7)."""
    if model is None or observed.inference_service is None or template_name(observed.service) or is_optimized(template):
        return False
    if not is_ready(template.status.status) or is_user_written(template):
        return False
    winner = select_template(model, observed.templates, requirements_of(observed)).template
    return winner is not None and is_optimized(winner)


def _found(template: Template, *, overtaken: bool = False) -> TemplateChoice:
    name = f"{kind_of_template(template).name} {template.metadata.name}"
    word = template.status.status
    if is_ready(word):
        profile_type = attributes_of(template).profile_type
        note = f" (profile type {profile_type})" if profile_type and not is_optimized(template) else ""
        if overtaken:
            note += "; an optimized template is Ready now: recreate the service to use it"
        component = Component(
            ServiceCondition.TEMPLATE_READY,
            State.READY,
            Reason.RESOLVED,
            f"{name} is ready{note}",
            direction=Direction.UPSTREAM,
            counts_as=State.DEGRADED if overtaken else None,
        )
        return TemplateChoice(template, component)
    states = {State.FAILED: State.FAILED, State.DEGRADED: State.FAILED, State.NOT_AVAILABLE: State.PENDING}
    state = states.get(State.of(word), State.PROGRESSING) if word else State.PROGRESSING
    detail = ready_message(template.status.conditions)
    message = f"{name} is {word or 'not reconciled yet'}" + (f": {detail}" if detail else "")
    component = Component(
        ServiceCondition.TEMPLATE_READY, state, Reason.TEMPLATE_NOT_READY, message, direction=Direction.UPSTREAM
    )
    return TemplateChoice(template, component)


def _waiting(reason: str, message: str) -> Component:
    return Component(ServiceCondition.TEMPLATE_READY, State.PENDING, reason, message, direction=Direction.UPSTREAM)


def _blocked(failure: Failure) -> Component:
    """A failure of the template that stops the service's writes (SVC-ORD-1)."""
    return Component(
        ServiceCondition.TEMPLATE_READY,
        State.FAILED,
        failure.reason,
        failure.message,
        failures=(failure,),
        direction=Direction.UPSTREAM,
        blocks_apply=True,
    )
