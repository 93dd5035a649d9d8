"""Which template a service runs with: the remembered, the named, or a chosen one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aimd.api.model import AnyModel
from aimd.api.reasons import Reason, Verdict
from aimd.api.service import AIMService, AIMServiceSpec, ServiceCondition
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.shared import ResolvedReference, Scope
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE
from aimd.planning.labels import TEMPLATE_ALIAS_LABEL
from aimd.planning.objects import find_condition
from aimd.planning.service.child_names import derived_template_name, former_derived_template_name, has_overrides
from aimd.planning.service.model_identity import same_weights
from aimd.planning.service.observed import is_ready, kind_of_template, state_message
from aimd.planning.service.template_selection import (
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
from aimd.planning.unreadable import Unreadable, find_unreadable, hides, unreadable_reference
from aimd.runtime.objects import Category, Failure, Manifest

_TEMPLATE, _INPUT = ServiceCondition.TEMPLATE_READY, Direction.UPSTREAM
_CANDIDATES_KEPT = 20


@dataclass(frozen=True, slots=True)
class TemplateChoice:
    """The template of a service, whatever its state, and its health."""

    template: AnyServiceTemplate | None
    component: Component
    derive_from: AnyServiceTemplate | None = None
    """The template from which, with the service's overrides, one has to be created first."""
    candidates: Sequence[Candidate] = ()
    """The verdict on every candidate, when the choice was made just now."""

    @property
    def ready(self) -> bool:
        """Whether there is a template that is Ready and nothing is wrong with it for this service."""
        return (
            self.template is not None
            and is_ready(self.template.status.status)
            and self.component.effective_state is State.READY
        )


@dataclass(frozen=True, slots=True)
class TemplateInputs:
    """What the choice of a service's template depends on.

    `model` is the service's, None while it is unknown. `models` and `templates` hold every candidate of both scopes,
    `unreadable` those of them that do not parse. `gpu_models` are the cluster's, None when they are unknown. `running`
    is whether the service has an InferenceService.
    """

    service: AIMService
    model: AnyModel | None
    models: Sequence[AnyModel]
    templates: Sequence[AnyServiceTemplate]
    unreadable: Sequence[Unreadable]
    gpu_models: frozenset[str] | None
    running: bool


def resolve_template(inputs: TemplateInputs) -> TemplateChoice:
    """Choose the template of a service.

    A service that runs keeps its template while that exists, even when it is not Ready: another one would be another
    engine configuration under live traffic (SVC-TPL-1).
    """
    service = inputs.service
    remembered = _kept(service, inputs.templates)
    if remembered is not None and (
        inputs.running or (is_ready(remembered.status.status) and not _is_provisional(service))
    ):
        return _checked(inputs, remembered)
    if template_name(service):
        return _by_name(inputs)
    if inputs.model is None:
        message = "A template will be chosen once the model is known"
        return TemplateChoice(None, Component.pending(_TEMPLATE, Reason.TEMPLATE_NOT_FOUND, message, _INPUT))
    return _chosen(inputs.model, inputs.templates, requirements_of(service.spec, inputs.gpu_models))


def _chosen(model: AnyModel, templates: Sequence[AnyServiceTemplate], requirements: Requirements) -> TemplateChoice:
    """Return the automatic choice, or why there is none."""
    selection = select_template(model, templates, requirements)
    if selection.template is not None:
        return replace(_found(selection.template), candidates=selection.candidates)
    state = State.PROGRESSING if selection.waiting else State.PENDING
    message = f"{selection.message}{_dropped_before(selection)}"
    component = Component(_TEMPLATE, state, selection.reason, message, _INPUT)
    return TemplateChoice(None, component, candidates=selection.candidates)


def _dropped_before(selection: Selection) -> str:
    """Return where the candidates were dropped, unless the message of the last stage says it of all of them."""
    if len({item.verdict for item in selection.candidates}) < 2:
        return ""
    return "; all candidates: " + listed(
        [f"{item.template.metadata.name} {item.verdict}" for item in selection.candidates]
    )


def candidates_status(service: AIMService, choice: TemplateChoice) -> list[Manifest] | None:
    """Return `status.templateCandidates` of the last automatic choice, None for a named template (SVC-SEL-9)."""
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


def requirements_of(spec: AIMServiceSpec, gpu_models: frozenset[str] | None) -> Requirements:
    """Return what the service asks of an automatically chosen template."""
    allow = bool(spec.template.allow_unoptimized) if spec.template is not None else False
    return Requirements(spec.overrides, gpu_models, allow_unoptimized=allow)


def is_named(service: AIMService) -> bool:
    """Return whether the service names its template; otherwise one is chosen for it."""
    return bool(template_name(service))


def template_name(service: AIMService) -> str:
    """Return the template that a service names, empty when one is chosen for it."""
    return service.spec.template.name.strip() if service.spec.template is not None else ""


def _referenced(stored: ResolvedReference | None, templates: Sequence[AnyServiceTemplate]) -> AnyServiceTemplate | None:
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


def _kept(service: AIMService, templates: Sequence[AnyServiceTemplate]) -> AnyServiceTemplate | None:
    """Return the remembered template, unless the service has since added or removed overrides of the one it names."""
    stored, name = service.status.resolved_template, template_name(service)
    if name and has_overrides(service.spec.overrides) and stored is not None:
        wanted = (
            derived_template_name(name, service.spec.overrides),
            former_derived_template_name(name, service.spec.overrides),
        )
        return _referenced(stored, templates) if stored.name in wanted else None
    kept = _referenced(stored, templates)
    if kept is not None and name and is_derived(kept) and kept.metadata.name != name:
        return None
    return kept


def _is_provisional(service: AIMService) -> bool:
    """Return whether the template was chosen while others of its model might still be discovered (SVC-TPL-2)."""
    model_ready = find_condition(service.status.conditions, ServiceCondition.MODEL_READY)
    return not template_name(service) and model_ready is not None and model_ready.status == "False"


def _by_name(inputs: TemplateInputs) -> TemplateChoice:
    """Find the template that the service names: in its namespace, in the cluster, by alias (SVC-TPL-3, SVC-TPL-4)."""
    service, model, templates = inputs.service, inputs.model, inputs.templates
    name = template_name(service)
    namesakes = [template for template in templates if template.metadata.name == name]
    broken = find_unreadable(inputs.unreadable, (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE), name)
    if broken is not None and hides(broken, namesakes):
        return TemplateChoice(None, _blocked(unreadable_reference(broken, Reason.TEMPLATE_NOT_FOUND)))
    if not namesakes and model is not None:
        namesakes = _by_alias(name, model, templates)
    if not namesakes:
        namespace = service.metadata.namespace
        failure = Failure(
            Category.MISSING_UPSTREAM,
            Reason.TEMPLATE_NOT_FOUND,
            f"Neither AIMServiceTemplate {namespace}/{name} nor AIMClusterServiceTemplate {name} exists: "
            "create one of them, or a service with another spec.template.name",
        )
        return TemplateChoice(None, _blocked(failure))
    base = min(namesakes, key=lambda template: not template.metadata.namespace)
    return _derived(inputs, base) if has_overrides(service.spec.overrides) else _checked(inputs, base)


def _derived(inputs: TemplateInputs, base: AnyServiceTemplate) -> TemplateChoice:
    """Return the base with the service's overrides, or the choice to create that first."""
    service = inputs.service
    name = derived_template_name(base.metadata.name, service.spec.overrides)
    for template in inputs.templates:
        if template.metadata.name == name and template.metadata.namespace == service.metadata.namespace:
            return _checked(inputs, template)
    checked = _checked(inputs, base)
    if checked.component.blocks_apply:
        return checked
    message = f"AIMServiceTemplate {name} is being created from {base.metadata.name} and the overrides of the service"
    component = Component.waiting(_TEMPLATE, Reason.TEMPLATE_NOT_READY, message, _INPUT)
    return TemplateChoice(None, component, derive_from=base)


def _by_alias(alias: str, model: AnyModel, templates: Sequence[AnyServiceTemplate]) -> list[AnyServiceTemplate]:
    """Find a model's template by the alias that the model gives it, if that is unique (SVC-TPL-3)."""
    matches = [
        template
        for template in templates
        if template.spec.model_name == model.metadata.name
        and template.metadata.labels.get(TEMPLATE_ALIAS_LABEL) == alias
    ]
    return matches if len(matches) == 1 else []


def _checked(inputs: TemplateInputs, template: AnyServiceTemplate) -> TemplateChoice:
    """Check that a remembered or named template belongs to the model, and whether a better one has appeared."""
    model = inputs.model
    foreign = _other_model(template, model, inputs.models)
    if foreign is not None and model is not None:
        failure = Failure(
            Category.INVALID_SPEC,
            Reason.TEMPLATE_MODEL_MISMATCH,
            f"Template {template.metadata.name} belongs to model {foreign.metadata.name}, which has another image or "
            f"other weights than model {model.metadata.name}: use a template of model {model.metadata.name}",
        )
        return TemplateChoice(template, _blocked(failure))
    return _found(template, overtaken=_better_exists(inputs, template))


def _other_model(template: AnyServiceTemplate, model: AnyModel | None, models: Sequence[AnyModel]) -> AnyModel | None:
    """Return the existing model that a template names, unless it is the service's or a twin of that (SVC-TPL-5)."""
    name = template.spec.model_name
    if model is None or name == model.metadata.name:
        return None
    namesakes = [other for other in models if other.metadata.name == name]
    if not namesakes:
        return None
    other = min(namesakes, key=lambda item: not item.metadata.namespace)
    return None if same_weights(model, other) else other


def _better_exists(inputs: TemplateInputs, template: AnyServiceTemplate) -> bool:
    """Return whether an optimized template has become Ready since a running service got its own (SVC-TPL-7)."""
    service, model = inputs.service, inputs.model
    if model is None or not inputs.running or template_name(service) or is_optimized(template):
        return False
    if not is_ready(template.status.status) or is_user_written(template):
        return False
    winner = select_template(model, inputs.templates, requirements_of(service.spec, inputs.gpu_models)).template
    return winner is not None and is_optimized(winner)


def _found(template: AnyServiceTemplate, *, overtaken: bool = False) -> TemplateChoice:
    name = f"{kind_of_template(template).name} {template.metadata.name}"
    word = template.status.status
    if is_ready(word):
        profile_type = attributes_of(template).profile_type
        note = f" (profile type {profile_type})" if profile_type and not is_optimized(template) else ""
        if overtaken:
            note += "; an optimized template is Ready now: recreate the service to use it"
        component = Component.ready(_TEMPLATE, Reason.RESOLVED, f"{name} is ready{note}", _INPUT)
        return TemplateChoice(template, replace(component, counts_as=State.DEGRADED if overtaken else None))
    states = {State.FAILED: State.FAILED, State.DEGRADED: State.FAILED, State.NOT_AVAILABLE: State.PENDING}
    state = states.get(State.of(word), State.PROGRESSING) if word else State.PROGRESSING
    message = state_message(name, template.status)
    return TemplateChoice(template, Component(_TEMPLATE, state, Reason.TEMPLATE_NOT_READY, message, _INPUT))


def _blocked(failure: Failure) -> Component:
    """Return a failure of the template, which stops the service's writes (SVC-ORD-1)."""
    return Component.blocked(_TEMPLATE, failure, _INPUT, state=State.FAILED)
