"""Who gets which pull secret, in which order.

A pull secret is named by a service, a template or a model. Pods get those of all three. A model's image
may have to be read, and a template's profile discovered, before any of them was written for it: then the users within
the namespace share their pull secrets. What belongs to the cluster takes none from tenants (MDL-INS-5, TPL-DSC-10).
"""

from collections.abc import Iterable, Sequence

from aimd.api.core import LocalObjectReference
from aimd.api.service import AIMService

References = Sequence[LocalObjectReference]


def names_of(references: References) -> tuple[str, ...]:
    """Return the names of pull secrets, without empty ones."""
    return tuple(reference.name for reference in references if reference.name)


def predictor_pull_secrets(service: References, template: References, others: Iterable[str]) -> tuple[str, ...]:
    """Return the pull secrets of a predictor's pods: the service's, the template's, then `others`, each name once.

    `others` are the model's; once the model is gone, those that the running predictor has.
    """
    return _distinct(names_of(service), names_of(template), filter(None, others))


def discovery_pull_secrets(model: References, template: References, shared: Iterable[str]) -> tuple[str, ...]:
    """Return the pull secrets of a discovery pod: the model's, the template's, then those of services, each once."""
    return _distinct(names_of(model), names_of(template), shared)


def shared_pull_secrets(services: Iterable[AIMService], templates: Iterable[References] = ()) -> tuple[str, ...]:
    """Return the pull secrets that the users of a model share with it, sorted; none of them has to exist."""
    of_services = (name for service in services for name in names_of(service.spec.image_pull_secrets))
    of_templates = (name for references in templates for name in names_of(references))
    return tuple(sorted({*of_services, *of_templates}))


def used_models(service: AIMService) -> tuple[str, ...]:
    """Return the names of the models that a service names or runs with."""
    resolved = service.status.resolved_model
    return _distinct(filter(None, (service.spec.model.name.strip(), resolved.name if resolved is not None else "")))


def used_images(service: AIMService) -> tuple[str, ...]:
    """Return the images of the models that a service describes by an image."""
    model = service.spec.model
    images = (model.image.strip(), model.custom.base_image.strip() if model.custom is not None else "")
    return _distinct(filter(None, images))


def _distinct(*names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in names for name in group))
