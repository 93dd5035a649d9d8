"""Which model a service serves."""

from collections.abc import Sequence
from dataclasses import dataclass

from aimd.api.reasons import Reason
from aimd.api.service import AIMService, CustomModelReference, ServiceCondition
from aimd.api.shared import Scope
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import AIM_CLUSTER_MODEL, AIM_MODEL
from aimd.planning.service.child_names import InvalidImageReference, model_name_from_image, split_image
from aimd.planning.service.model_identity import CustomModelIdentity
from aimd.planning.service.observed import Model, is_ready, kind_of_model, ready_message
from aimd.planning.unreadable import Unreadable, find_unreadable, hides, unreadable_reference
from aimd.runtime.objects import Category, Failure


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The resolved model, whatever its state, and how that looks on the service; `missing` is whether to make one."""

    model: Model | None
    component: Component
    missing: bool = False

    @property
    def ready(self) -> bool:
        return self.model is not None and is_ready(self.model.status.status)


def resolve_model(service: AIMService, models: Sequence[Model], unreadable: Sequence[Unreadable] = ()) -> ModelChoice:
    """Choose among `models`, which holds at least every model the service names, remembers or shares an image with.

    `unreadable` are objects that do not parse; a service that names one of them waits for its correction.
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
    failure = Failure(
        Category.INVALID_SPEC,
        Reason.MODEL_NOT_FOUND,
        "no model is specified: set one of spec.model.name, spec.model.image and spec.model.custom",
    )
    return ModelChoice(None, _blocked(failure))


def _remembered(service: AIMService, models: Sequence[Model]) -> Model | None:
    """The model of the stored reference, as long as it is Ready (SVC-MDL-1)."""
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


def _by_name(service: AIMService, models: Sequence[Model], unreadable: Sequence[Unreadable]) -> ModelChoice:
    """The model that the service names, in the namespace before the cluster (SVC-MDL-2)."""
    name = service.spec.model.name.strip()
    namesakes = [model for model in models if model.metadata.name == name]
    broken = find_unreadable(unreadable, (AIM_MODEL, AIM_CLUSTER_MODEL), name)
    if broken is not None and hides(broken, namesakes):
        return ModelChoice(None, _blocked(unreadable_reference(broken, Reason.MODEL_NOT_FOUND)))
    if namesakes:
        return _found(min(namesakes, key=lambda model: not model.metadata.namespace))
    failure = Failure(
        Category.MISSING_UPSTREAM,
        Reason.MODEL_NOT_FOUND,
        f"found neither AIMModel {service.metadata.namespace}/{name} nor AIMClusterModel {name}: create one of them",
    )
    return ModelChoice(None, _blocked(failure))


def _by_image(image: str, models: Sequence[Model]) -> ModelChoice:
    """The model of the image; of several the same one each time, and of none one to be made (SVC-MDL-3)."""
    matches = [model for model in models if model.spec.image == image]
    try:
        split_image(image)
        generated = model_name_from_image(image)
    except InvalidImageReference as error:
        if not matches:
            return ModelChoice(
                None, _blocked(Failure(Category.INVALID_SPEC, Reason.INVALID_IMAGE_REFERENCE, str(error)))
            )
        generated = ""
    if not matches:
        return _name_taken(generated, image, models) or _to_be_made(f"image {image}")
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


def _by_custom_spec(custom: CustomModelReference, models: Sequence[Model]) -> ModelChoice:
    """Find the model that the service describes; without one, it has to be created (SVC-MDL-5)."""
    wanted = CustomModelIdentity.of(custom)
    matches = [model for model in models if model.metadata.namespace and CustomModelIdentity.of_model(model) == wanted]
    if not matches:
        return _to_be_made(f"base image {custom.base_image} and the sources and hardware of the service")
    return _found(min(matches, key=lambda model: model.metadata.name))


def _found(model: Model) -> ModelChoice:
    name = f"{kind_of_model(model).name} {model.metadata.name}"
    word = model.status.status
    if is_ready(word):
        component = Component(
            ServiceCondition.MODEL_READY,
            State.READY,
            Reason.MODEL_RESOLVED,
            f"{name} is ready",
            direction=Direction.UPSTREAM,
        )
        return ModelChoice(model, component)
    state = State.FAILED if word in (State.FAILED, State.DEGRADED) else State.PROGRESSING
    detail = ready_message(model.status.conditions)
    message = f"{name} is {word or 'not reconciled yet'}" + (f": {detail}" if detail else "")
    return ModelChoice(
        model,
        Component(ServiceCondition.MODEL_READY, state, Reason.MODEL_NOT_READY, message, direction=Direction.UPSTREAM),
    )


def _blocked(failure: Failure) -> Component:
    """A failure of the model that stops the service's writes (SVC-ORD-1)."""
    return Component(
        ServiceCondition.MODEL_READY,
        State.FAILED,
        failure.reason,
        failure.message,
        failures=(failure,),
        direction=Direction.UPSTREAM,
        blocks_apply=True,
    )


def _to_be_made(what: str) -> ModelChoice:
    text = f"No model with {what} exists; one is being created"
    component = Component(
        ServiceCondition.MODEL_READY, State.PENDING, Reason.CREATING_MODEL, text, direction=Direction.DOWNSTREAM
    )
    return ModelChoice(None, component, missing=True)


def _name_taken(name: str, image: str, models: Sequence[Model]) -> ModelChoice | None:
    """A model that was made for this image and then given another one is not turned back (SVC-MDL-4)."""
    if not any(model.metadata.namespace and model.metadata.name == name for model in models):
        return None
    text = f"AIMModel {name} has the name of the model for image {image}, but another image: set its spec.image back"
    return ModelChoice(None, _blocked(Failure(Category.INVALID_SPEC, Reason.MODEL_NAME_TAKEN, text)))
