"""Pull secrets that services lend to what they use: models whose image is inspected, templates that are discovered.

Both may have been there before the service, and need not name a Secret themselves (MDL-INS-5, TPL-DSC-10).
Only within a namespace: what belongs to the cluster takes none from tenants.
"""

from collections.abc import Iterable, Iterator

from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.objects import Key, Kind, Manifest, key_of
from aimd.runtime.store import Cache

BY_USED_MODEL = "lending/used-model"
BY_IMAGE = "lending/image"
_IMAGE = "image "


def used_models_of(service: Manifest) -> Iterable[str]:
    """Index of services: names of the models, and the images, that one is or wants to be served by."""
    wanted = (service.get("spec") or {}).get("model") or {}
    resolved = (service.get("status") or {}).get("resolvedModel") or {}
    images = (wanted.get("image"), (wanted.get("custom") or {}).get("baseImage"))
    names = (str(name).strip() for name in (wanted.get("name"), resolved.get("name")) if name)
    return dict.fromkeys((*names, *(_as_image(str(image)) for image in images if image)))


def image_of(model: Manifest) -> Iterable[str]:
    """Index of models: the image, as `used_models_of` gives it."""
    return (_as_image(str((model.get("spec") or {}).get("image") or "")),)


def pull_secrets_of(manifest: Manifest) -> Iterable[str]:
    """Names in `spec.imagePullSecrets`."""
    secrets = (manifest.get("spec") or {}).get("imagePullSecrets") or ()
    return tuple(str(secret["name"]) for secret in secrets if secret.get("name"))


def lent_secrets(cache: Cache, namespace: str, model: str, image: str) -> tuple[str, ...]:
    """Names of the Secrets that the namespace's services have for a model of this name and image, sorted."""
    services = cache[AIM_SERVICE]
    users = (*services.by_index(BY_USED_MODEL, model), *services.by_index(BY_USED_MODEL, _as_image(image)))
    lenders = (user for user in users if namespace and key_of(user).namespace == namespace)
    return tuple(sorted({secret for lender in lenders for secret in pull_secrets_of(lender)}))


def lending_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Whether a service has other pull secrets, or lends them to another model."""
    return _lending(before) != _lending(after)


def borrowers(service: Manifest, cache: Cache, *models: Kind) -> Iterator[Key]:
    """Models of these kinds that a service may lend to; those it names need not exist."""
    namespace = key_of(service).namespace
    for used in used_models_of(service):
        for kind in models:
            scope = namespace if kind.namespaced else ""
            if not used.startswith(_IMAGE):
                yield Key(scope, used)
            yield from (
                key for model in cache[kind].by_index(BY_IMAGE, used) if (key := key_of(model)).namespace == scope
            )


def _as_image(image: str) -> str:
    """An image beside names of models, in the same index."""
    return _IMAGE + image.strip()


def _lending(service: Manifest | None) -> tuple[Iterable[str], Iterable[str]] | None:
    secrets = tuple(pull_secrets_of(service)) if service is not None else ()
    return (secrets, tuple(used_models_of(service))) if secrets and service is not None else None
