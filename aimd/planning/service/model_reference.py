"""Which model a service serves: the remembered one, or the one that its spec refers to."""

from collections.abc import Sequence
from dataclasses import dataclass

from aimd.api.model import AnyModel
from aimd.api.reasons import Reason
from aimd.api.service import AIMService, CustomModelReference, ServiceCondition
from aimd.api.shared import Scope
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import AIM_CLUSTER_MODEL, AIM_MODEL
from aimd.planning.service.child_names import InvalidImageReference, model_name_from_image, split_image
from aimd.planning.service.model_identity import CustomModelIdentity
from aimd.planning.service.observed import is_ready, kind_of_model, state_message
from aimd.planning.unreadable import Unreadable, find_unreadable, hides, unreadable_reference
from aimd.runtime.objects import Category, Failure

_MODEL, _INPUT = ServiceCondition.MODEL_READY, Direction.UPSTREAM


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model of a service, whatever its state, and its health; `missing` is whether to create one."""

    model: AnyModel | None
    component: Component
    missing: bool = False

    @property
    def ready(self) -> bool:
        """Whether there is a model and it is Ready."""
        return self.model is not None and is_ready(self.model.status.status)


def resolve_model(
    service: AIMService, models: Sequence[AnyModel], unreadable: Sequence[Unreadable] = ()
) -> ModelChoice:
    """Choose among `models`, which holds at least every model that the service names, remembers or may share.

    `unreadable` are objects that do not parse; a service that names one of them waits until it is corrected.
    """
    remembered = _remembered(service, models)
    if remembered is not None:
        return _found(remembered)
    wanted = service.spec.model
    if wanted.name.strip():
        return _by_name(service, models, unreadable)
    if wanted.image.strip():
        return _by_image(wanted.image.strip(), models)
    if wanted.custom is not None:
        return _by_custom_spec(wanted.custom, models)
    message = "No model is specified: set one of spec.model.name, spec.model.image and spec.model.custom"
    return _blocked(Category.INVALID_SPEC, Reason.MODEL_NOT_FOUND, message)


def _remembered(service: AIMService, models: Sequence[AnyModel]) -> AnyModel | None:
    """Return the model of the stored reference while it is Ready, else None (SVC-MDL-1)."""
    stored = service.status.resolved_model
    if stored is None or not stored.name:
        return None
    namespaced = stored.scope != Scope.CLUSTER
    return next(
        (
            model
            for model in models
            if model.metadata.name == stored.name
            and bool(model.metadata.namespace) == namespaced
            and is_ready(model.status.status)
        ),
        None,
    )


def _by_name(service: AIMService, models: Sequence[AnyModel], unreadable: Sequence[Unreadable]) -> ModelChoice:
    """Find the model that the service names, in the namespace and then in the cluster (SVC-MDL-2)."""
    name = service.spec.model.name.strip()
    namesakes = [model for model in models if model.metadata.name == name]
    broken = find_unreadable(unreadable, (AIM_MODEL, AIM_CLUSTER_MODEL), name)
    if broken is not None and hides(broken, namesakes):
        failure = unreadable_reference(broken, Reason.MODEL_NOT_FOUND)
        return ModelChoice(None, Component.blocked(_MODEL, failure, state=State.FAILED))
    if namesakes:
        return _found(min(namesakes, key=lambda model: not model.metadata.namespace))
    message = (
        f"Neither AIMModel {service.metadata.namespace}/{name} nor AIMClusterModel {name} exists: create one of them, "
        "or a service with another spec.model.name"
    )
    return _blocked(Category.MISSING_UPSTREAM, Reason.MODEL_NOT_FOUND, message)


def _by_image(image: str, models: Sequence[AnyModel]) -> ModelChoice:
    """Find the model of an image: of several always the same; without one, it has to be created (SVC-MDL-3)."""
    matches = [model for model in models if model.spec.image == image]
    try:
        split_image(image)
        generated = model_name_from_image(image)
    except InvalidImageReference as error:
        if not matches:
            return _blocked(Category.INVALID_SPEC, Reason.INVALID_IMAGE_REFERENCE, str(error))
        generated = ""
    if not matches:
        return _name_taken(generated, image, models) or _to_be_created(f"image {image}")
    return _found(
        min(
            matches,
            key=lambda model: (
                not model.metadata.namespace,
                not is_ready(model.status.status),
                model.metadata.name != generated,
                model.metadata.name,
            ),
        )
    )


def _by_custom_spec(custom: CustomModelReference, models: Sequence[AnyModel]) -> ModelChoice:
    """Find the model that the service describes; without one, it has to be created (SVC-MDL-5)."""
    wanted = CustomModelIdentity.of(custom)
    matches = [model for model in models if model.metadata.namespace and CustomModelIdentity.of_model(model) == wanted]
    if not matches:
        return _to_be_created(f"base image {custom.base_image} and the sources and hardware of the service")
    return _found(min(matches, key=lambda model: model.metadata.name))


def _found(model: AnyModel) -> ModelChoice:
    name = f"{kind_of_model(model).name} {model.metadata.name}"
    word = model.status.status
    if is_ready(word):
        return ModelChoice(model, Component.ready(_MODEL, Reason.MODEL_RESOLVED, f"{name} is ready", _INPUT))
    state = State.FAILED if word in (State.FAILED, State.DEGRADED) else State.PROGRESSING
    message = state_message(name, model.status)
    return ModelChoice(model, Component(_MODEL, state, Reason.MODEL_NOT_READY, message, _INPUT))


def _blocked(category: Category, reason: Reason, message: str) -> ModelChoice:
    """Return a failure of the model, which stops the service's writes (SVC-ORD-1)."""
    return ModelChoice(None, Component.blocked(_MODEL, Failure(category, reason, message), state=State.FAILED))


def _to_be_created(what: str) -> ModelChoice:
    message = f"No model with {what} exists; one is being created"
    component = Component.pending(_MODEL, Reason.CREATING_MODEL, message, Direction.DOWNSTREAM)
    return ModelChoice(None, component, missing=True)


def _name_taken(name: str, image: str, models: Sequence[AnyModel]) -> ModelChoice | None:
    """Refuse to revert a model that was created for this image and then given another one (SVC-MDL-4)."""
    if not any(model.metadata.namespace and model.metadata.name == name for model in models):
        return None
    message = (
        f"AIMModel {name} was created for image {image} and now has another image: set its spec.image back, "
        "or create a service with another spec.model"
    )
    return _blocked(Category.INVALID_SPEC, Reason.MODEL_NAME_TAKEN, message)
