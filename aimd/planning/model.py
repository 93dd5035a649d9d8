"""AIMModel and AIMClusterModel (spec/models-and-templates.md §3): one planner, two scopes.

Registries are not asked in this version: what an image says about itself comes from `spec.imageMetadata`, or is
done without (`discovery.extractMetadata: false`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, TypeAlias

from aimd.api.model import AIMClusterModel, AIMModel, ImageMetadata, SourceType
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.planning.health import Component, Direction, State, ready
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig, config_component

_TO_BE_MADE_BY_HAND = "There are no templates yet; this version does not make them, so create one that names this model"
Template: TypeAlias = AIMServiceTemplate | AIMClusterServiceTemplate
Model: TypeAlias = AIMModel | AIMClusterModel


class Expectation(Enum):
    """Whether a model is to have templates."""

    UNKNOWN = "unknown"
    NONE = "none"
    SOME = "some"


@dataclass(frozen=True, slots=True)
class ObservedModel:
    """A model and everything its plan depends on; `templates` are all of its scope that name it."""

    model: Model
    config: ResolvedConfig
    templates: Sequence[Template] = ()

    @property
    def direction(self) -> Direction:
        """Cluster models declare their components upstream, so that waiting shows as Pending (§3.8)."""
        return Direction.UPSTREAM if isinstance(self.model, AIMClusterModel) else Direction.UNSPECIFIED


def plan_model(observed: ObservedModel, now: datetime) -> Plan:
    """The decision about a model; pure and total."""
    cluster = isinstance(observed.model, AIMClusterModel)
    missing = "ReferenceNotFound" if cluster else "ConfigNotFound"
    return Plan(
        components=(
            config_component(observed.config, direction=observed.direction, missing_reason=missing),
            _metadata_component(observed),
            _templates_component(observed),
        ),
        status=_status(observed),
    )


def is_custom(model: Model) -> bool:
    """Whether the model brings weights of its own."""
    return bool(model.spec.model_sources)


def extracts_metadata(observed: ObservedModel) -> bool:
    """Whether the image is to be inspected: the model's word, else the runtime config's, else yes."""
    discovery = observed.model.spec.discovery
    if discovery is not None:
        return discovery.extract_metadata
    return _auto_discovery(observed)


def creates_templates(observed: ObservedModel) -> bool:
    """Whether templates are to be made: the model's word, else the runtime config's, else yes."""
    discovery = observed.model.spec.discovery
    if discovery is not None:
        return discovery.create_service_templates
    return _auto_discovery(observed)


def effective_metadata(model: Model) -> ImageMetadata | None:
    """What is known about the image: the spec's word, else what was found before."""
    return model.spec.image_metadata or model.status.image_metadata


def expectation(observed: ObservedModel) -> Expectation:
    """Whether templates are to exist (§3.6, W20: switched-off inspection is an answer, too)."""
    model = observed.model
    if not creates_templates(observed):
        return Expectation.NONE
    if is_custom(model) or model.spec.custom_templates:
        return Expectation.SOME
    metadata = effective_metadata(model)
    if metadata is None:
        return Expectation.UNKNOWN if extracts_metadata(observed) else Expectation.NONE
    recommended = metadata.model is not None and metadata.model.recommended_deployments
    return Expectation.SOME if recommended else Expectation.NONE


def _auto_discovery(observed: ObservedModel) -> bool:
    defaults = observed.config.spec.model
    return defaults is None or defaults.auto_discovery is not False


def _metadata_component(observed: ObservedModel) -> Component:
    name, model, direction = "ImageMetadata", observed.model, observed.direction
    if not extracts_metadata(observed):
        return ready(name, "ImageFound", "The image is not inspected, as asked for", direction)
    if model.spec.image_metadata is not None:
        known = model.spec.image_metadata.model
        if known is not None and known.canonical_name:
            return ready(name, "ImageMetadataFound", f"The spec describes {known.canonical_name}", direction)
        return ready(name, "ImageFound", "The spec describes the image", direction)
    if model.status.image_metadata is not None:
        return ready(name, "ImageFound", "The image was inspected before", direction)
    if is_custom(model):
        return ready(name, "ImageFound", "The image is taken as given: its weights are the model's own", direction)
    text = (
        "Image registries are not inspected in this version: describe the image in spec.imageMetadata, "
        "or set spec.discovery.extractMetadata to false"
    )
    return Component(name, State.DEGRADED, "RegistryInspectionUnavailable", text, direction=direction)


def _templates_component(observed: ObservedModel) -> Component:
    cluster = isinstance(observed.model, AIMClusterModel)
    name = "ClusterServiceTemplates" if cluster else "ServiceTemplates"
    state, reason, text = _judge_templates([t.status.status for t in observed.templates], expectation(observed))
    return Component(name, state, reason, text, direction=observed.direction)


def _judge_templates(words: Sequence[str], expected: Expectation) -> tuple[State, str, str]:
    """State, reason and message of all templates together (§3.7, in its order)."""
    if not words:
        return {
            Expectation.UNKNOWN: (State.PROGRESSING, "AwaitingMetadata", "What the image recommends is not known yet"),
            Expectation.SOME: (State.PROGRESSING, "CreatingTemplates", _TO_BE_MADE_BY_HAND),
            Expectation.NONE: (State.READY, "NoTemplatesExpected", "No templates are expected"),
        }[expected]
    count = len(words)
    bad = sum(word in (State.DEGRADED, State.FAILED) for word in words)
    usable = sum(word == State.READY for word in words)
    absent = sum(word == State.NOT_AVAILABLE for word in words)
    rows: tuple[tuple[bool, State, str, str], ...] = (
        (usable == count, State.READY, "AllTemplatesReady", "All templates are ready"),
        (bad == count, State.FAILED, "AllTemplatesFailed", "All templates have failed"),
        (
            absent == count,
            State.NOT_AVAILABLE,
            "NoTemplatesAvailable",
            "The cluster lacks the hardware of all templates",
        ),
        (bad > 0, State.DEGRADED, "SomeTemplatesDegraded", f"{bad} of {count} templates have failed"),
        (
            any(word in (State.PROGRESSING, State.PENDING) for word in words),
            State.PROGRESSING,
            "TemplatesProgressing",
            f"{usable} of {count} templates are ready",
        ),
        (usable + absent == count, State.READY, "SomeTemplatesReady", f"{usable} of {count} templates are ready"),
    )
    fallback = (State.PROGRESSING, "TemplatesProgressing", f"{usable} of {count} templates are ready")
    return next(((state, reason, text) for holds, state, reason, text in rows if holds), fallback)


def _status(observed: ObservedModel) -> dict[str, Any]:
    """`imageMetadata` is written from the spec and never removed again."""
    model = observed.model
    status: dict[str, Any] = {
        "sourceType": str(SourceType.CUSTOM if is_custom(model) else SourceType.IMAGE),
        "resolvedRuntimeConfig": observed.config.reference,
    }
    if model.spec.image_metadata is not None and extracts_metadata(observed):
        status["imageMetadata"] = model.spec.image_metadata.manifest()
    return status
