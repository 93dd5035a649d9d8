"""AIMModel and AIMClusterModel: one planner, two scopes. The rules are in docs/rules/model.md."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from aimd.api.core import Conditions
from aimd.api.model import ImageMetadata, ModelCondition, SourceType
from aimd.api.reasons import Reason
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.shared import CommonCondition
from aimd.planning.component import Component, State
from aimd.planning.image_inspection import Inspection, extracts_metadata
from aimd.planning.model.image_profiles import profiles_condition
from aimd.planning.model.needs import model_needs
from aimd.planning.model.observed import (
    Expectation,
    ObservedModel,
    creates_templates,
    expectation,
    is_custom,
    is_inspected,
)
from aimd.planning.model.templates import TemplatePlan, plan_templates
from aimd.planning.naming import image_tag
from aimd.planning.objects import find_condition
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import config_component
from aimd.registry.failures import Problem, RegistryFailure
from aimd.runtime.objects import Category, Condition, Failure

METADATA = ModelCondition.IMAGE_METADATA_READY
MODEL_FAULTS = (Reason.MODEL_FAILED, Reason.CLUSTER_MODEL_FAILED)
"""Reasons in conditions of templates that repeat what is wrong with their model."""
_PENDING = Reason.INSPECTION_PENDING


def plan_model(observed: ObservedModel, now: datetime) -> Plan:  # noqa: ARG001 (as all plans)
    """Return the decision about a model; pure and total."""
    missing = Reason.REFERENCE_NOT_FOUND if observed.is_cluster_scoped else Reason.CONFIG_NOT_FOUND
    templates = plan_templates(observed)
    inspection = observed.inspection
    return Plan(
        components=(
            config_component(observed.config, direction=observed.direction, missing_reason=missing),
            _metadata_component(observed),
            _templates_component(observed, templates),
        ),
        desired=templates.desired,
        deletions=templates.deletions,
        status=_status(observed),
        extra_conditions=(*_credentials_refused(inspection), *_profiles_read(observed)),
        requeue_after=inspection.again_after if inspection is not None else None,
        needs=model_needs(observed, templates),
    )


def _metadata_component(observed: ObservedModel) -> Component:
    type_, model, direction = METADATA, observed.model, observed.direction
    if not extracts_metadata(model, observed.config):
        return Component.ready(type_, Reason.IMAGE_FOUND, "Inspection of the image is switched off", direction)
    if model.spec.image_metadata is not None:
        known = model.spec.image_metadata.model
        if known is not None and known.canonical_name:
            return Component.ready(
                type_, Reason.IMAGE_METADATA_FOUND, f"The spec describes {known.canonical_name}", direction
            )
        return Component.ready(type_, Reason.IMAGE_FOUND, "The spec describes the image", direction)
    if observed.metadata is not None:
        return Component.ready(type_, Reason.IMAGE_FOUND, "The image was inspected", direction)
    component = replace(
        _inspection_component(observed.inspection) or _unanswered(observed.model.status.conditions), direction=direction
    )
    if not observed.is_cluster_scoped:
        return component
    failures = [
        replace(failure, reason=Reason.REFERENCE_NOT_FOUND)
        if failure.category is Category.MISSING_UPSTREAM
        else failure
        for failure in component.failures
    ]
    return replace(component, failures=tuple(failures))


def _inspection_component(inspection: Inspection | None) -> Component | None:
    """Return the component of a failed inspection, else None; templates do not wait for it (MDL-INS-3)."""
    if inspection is not None and inspection.failure is not None:
        return _registry_component(inspection.failure)
    if inspection is not None and inspection.unreadable is not None:
        return Component(METADATA, State.DEGRADED, inspection.unreadable.reason, inspection.unreadable.message)
    if inspection is not None and inspection.secret is not None:
        return Component.failed(METADATA, inspection.secret)
    return None


def _unanswered(conditions: Conditions) -> Component:
    """Return the component while there is no answer: the last one, as after a restart, else waiting (MDL-STA-4)."""
    stored = find_condition(conditions, METADATA)
    if stored is not None and stored.status == "False":
        state = State.PROGRESSING if stored.reason == _PENDING else State.DEGRADED
        return Component(METADATA, state, stored.reason, stored.message)
    return Component.waiting(METADATA, _PENDING, "The image is being inspected")


def _registry_component(failure: RegistryFailure) -> Component:
    """Return the component of a refusal: Degraded if a user has to act, else an infrastructure failure."""
    if not failure.transient:
        return Component(METADATA, State.DEGRADED, failure.reason, failure.message)
    return Component.failed(METADATA, Failure(Category.INFRASTRUCTURE, failure.reason, failure.message))


def _credentials_refused(inspection: Inspection | None) -> tuple[Condition, ...]:
    """Return `AuthValid` for refused credentials; the model is only Degraded (MDL-INS-3)."""
    failure = inspection.failure if inspection is not None else None
    if failure is None or failure.problem is not Problem.AUTH:
        return ()
    return (Condition(CommonCondition.AUTH_VALID, "False", Reason.AUTH_ERROR, failure.message),)


def _profiles_read(observed: ObservedModel) -> tuple[Condition, ...]:
    """Return `ImageProfilesRead`, unless the model has weights of its own or its image was never asked (MDL-PRF-4)."""
    profiles = observed.profiles
    return (profiles_condition(profiles),) if profiles is not None and not is_custom(observed.model) else ()


def _templates_component(observed: ObservedModel, planned: TemplatePlan) -> Component:
    type_ = (
        ModelCondition.CLUSTER_SERVICE_TEMPLATES_READY
        if observed.is_cluster_scoped
        else ModelCondition.SERVICE_TEMPLATES_READY
    )
    state, reason, text = _judge_templates([t.status.status for t in observed.templates], expectation(observed))
    if state is State.FAILED and all(_echoes_the_model(template) for template in observed.templates):
        state, text = State.DEGRADED, "All templates wait until the model is corrected"
    profiles = observed.profiles
    if reason == Reason.NO_TEMPLATES_EXPECTED and creates_templates(observed.model, observed.config):
        text = profiles.message if profiles is not None and not profiles.profiles else text
    details = [*planned.invalid, *planned.remarks]
    if planned.invalid and not observed.templates and not planned.desired:
        state, reason, text = State.FAILED, Reason.ALL_TEMPLATES_FAILED, "No template can be created"
    elif planned.invalid and state.rank > State.DEGRADED.rank:
        state, reason = State.DEGRADED, Reason.SOME_TEMPLATES_DEGRADED
    return Component(type_, state, reason, "; ".join([text, *details]), observed.direction)


def _echoes_the_model(template: AnyServiceTemplate) -> bool:
    """Return whether a template has failed because its model has; otherwise that fault would never end (MDL-STA-2)."""
    return any(item.status == "False" and item.reason in MODEL_FAULTS for item in template.status.conditions)


def _judge_templates(words: Sequence[str], expected: Expectation) -> tuple[State, str, str]:
    """Return state, reason and message of all templates together: the first row that holds (MDL-STA-1)."""
    if not words:
        return {
            Expectation.UNKNOWN: (
                State.PROGRESSING,
                Reason.AWAITING_METADATA,
                "The templates that the image recommends are not known yet",
            ),
            Expectation.SOME: (State.PROGRESSING, Reason.CREATING_TEMPLATES, "The templates are being created"),
            Expectation.NONE: (State.READY, Reason.NO_TEMPLATES_EXPECTED, "No templates are expected"),
        }[expected]
    count = len(words)
    bad = sum(word in (State.DEGRADED, State.FAILED) for word in words)
    usable = sum(word == State.READY for word in words)
    absent = sum(word == State.NOT_AVAILABLE for word in words)
    rows: tuple[tuple[bool, State, str, str], ...] = (
        (usable == count, State.READY, Reason.ALL_TEMPLATES_READY, "All templates are ready"),
        (bad == count, State.FAILED, Reason.ALL_TEMPLATES_FAILED, "All templates have failed"),
        (
            absent == count,
            State.NOT_AVAILABLE,
            Reason.NO_TEMPLATES_AVAILABLE,
            "The cluster lacks the hardware of all templates",
        ),
        (bad > 0, State.DEGRADED, Reason.SOME_TEMPLATES_DEGRADED, f"{bad} of {count} templates have failed"),
        (
            any(word in (State.PROGRESSING, State.PENDING) for word in words),
            State.PROGRESSING,
            Reason.TEMPLATES_PROGRESSING,
            f"{usable} of {count} templates are ready",
        ),
        (
            usable + absent == count,
            State.READY,
            Reason.SOME_TEMPLATES_READY,
            f"{usable} of {count} templates are ready",
        ),
    )
    fallback = (State.PROGRESSING, Reason.TEMPLATES_PROGRESSING, f"{usable} of {count} templates are ready")
    return next(((state, reason, text) for holds, state, reason, text in rows if holds), fallback)


def _status(observed: ObservedModel) -> dict[str, Any]:
    """Return the status; `imageMetadata` comes from spec or inspection and is never removed (MDL-INS-2).

    So do the profiles of the image, apart from the spec (MDL-PRF-1, MDL-INS-8).
    """
    model, inspection = observed.model, observed.inspection
    status: dict[str, Any] = {
        "sourceType": str(SourceType.CUSTOM if is_custom(model) else SourceType.IMAGE),
        "resolvedRuntimeConfig": observed.config.reference,
        "version": image_tag(model.spec.image) or None,
    }
    if not extracts_metadata(model, observed.config):
        return status
    if model.spec.image_metadata is not None:
        status |= {"imageMetadata": model.spec.image_metadata.manifest(), "inspectedImage": None}
        status["imageProfiles"] = None
    elif inspection is not None and inspection.metadata is not None:
        profiles = observed.profiles
        if profiles is not None and not profiles.profiles and not inspection.profiles.settled:
            profiles = None  # The registry may tell more later.
        status |= {"imageMetadata": _found(inspection.metadata), "inspectedImage": model.spec.image}
        status["imageProfiles"] = profiles.manifest() if profiles is not None else None
    elif is_inspected(model):
        status["inspectedImage"] = model.spec.image
    return status


def _found(metadata: ImageMetadata) -> dict[str, Any]:
    """As the reference writes it: without what the labels do not say."""
    return metadata.model_dump(mode="json", by_alias=True, exclude_defaults=True)
