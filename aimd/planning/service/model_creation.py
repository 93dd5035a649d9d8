"""Models created for services that specify an image, or describe a model inline.

They have no owner, because other services may use them and they outlive the service (SVC-MDL-4).
"""

from collections.abc import Sequence

from aimd.api.model import AnyModel
from aimd.api.service import AIMService
from aimd.planning.environment import render_env
from aimd.planning.kinds import AIM_MODEL
from aimd.planning.labels import AUTO_GENERATED, CUSTOM_MODEL_LABEL, ORIGIN_LABEL, SERVICE_LABEL, label_value
from aimd.planning.service.child_names import InvalidImageReference, model_name_from_image
from aimd.planning.service.model_identity import CustomModelIdentity
from aimd.planning.service.observed import ObservedService, labels
from aimd.runtime.objects import Desired, Manifest


def created_model_name(service: AIMService, models: Sequence[AnyModel]) -> str:
    """Return the name of the model to create for a service (SVC-NAM-3).

    Empty when the service names a model, or when no name follows from the image. A custom model whose name is taken by
    one with other hardware has its own hardware in the hash.
    """
    wanted = service.spec.model
    if wanted.custom is not None:
        identity = CustomModelIdentity.of(wanted.custom)
        taken = any(model.metadata.namespace and model.metadata.name == identity.name for model in models)
        return identity.name_with_hardware if taken else identity.name
    try:
        return model_name_from_image(wanted.image.strip()) if wanted.image.strip() else ""
    except InvalidImageReference:
        return ""


def render_model(observed: ObservedService) -> Desired:
    """Render the model of a service whose model does not exist yet (SVC-MDL-4)."""
    service, wanted = observed.service, observed.service.spec.model
    own = {ORIGIN_LABEL: AUTO_GENERATED}
    spec: Manifest = {"image": wanted.image.strip()}
    if wanted.custom is not None:
        own |= {CUSTOM_MODEL_LABEL: "true", SERVICE_LABEL: label_value(service.metadata.name)}
        spec = {
            "image": wanted.custom.base_image,
            "modelSources": [source.manifest() for source in wanted.custom.model_sources],
            "custom": {"hardware": wanted.custom.hardware.manifest()},
        }
        spec |= {"env": render_env(service.spec.env)} if service.spec.env else {}
    metadata = {
        "name": created_model_name(service, observed.models),
        "namespace": observed.key.namespace,
        "labels": labels(service, observed.config, own),
    }
    manifest = AIM_MODEL.manifest(metadata, spec={**spec, **_copied(service)})
    return Desired(AIM_MODEL, manifest, reason="create-model", shared=True, once=True)


def _copied(service: AIMService) -> Manifest:
    spec: Manifest = {}
    if service.spec.runtime_config_name:
        spec["runtimeConfigName"] = service.spec.runtime_config_name
    if service.spec.image_pull_secrets:
        spec["imagePullSecrets"] = [secret.manifest() for secret in service.spec.image_pull_secrets]
    if service.spec.service_account_name:
        spec["serviceAccountName"] = service.spec.service_account_name
    return spec
