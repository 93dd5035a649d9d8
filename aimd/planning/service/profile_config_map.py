"""A custom profile in a service: its ConfigMap, and where the container finds it."""

from aimd.api.service import AIMService
from aimd.api.service_template import AnyServiceTemplate
from aimd.planning.labels import COMPONENT_LABEL, MANAGED_BY_LABEL, SERVICE_LABEL, label_value
from aimd.planning.service.child_names import profile_config_map_name
from aimd.planning.service.observed import ObservedService, is_owned, labels, owner_references
from aimd.planning.service.volumes import PROFILE_VOLUME, Volumes
from aimd.planning.service_template.profile_file import ProfileFile, profile_folder
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.objects import Deletion, Desired, Manifest, key_of, uid_of


def profile_volumes(service: AIMService, template: AnyServiceTemplate) -> Volumes:
    """Return the ConfigMap as a read-only folder below the image's profiles (SVC-PRF-1)."""
    source = {"name": profile_config_map_name(service.metadata.name)}
    return Volumes(
        ({"name": PROFILE_VOLUME, "configMap": source},),
        ({"name": PROFILE_VOLUME, "mountPath": profile_folder(template), "readOnly": True},),
    )


def render_config_map(observed: ObservedService, profile: ProfileFile) -> Desired:
    """Render the ConfigMap with the profile, owned by the service."""
    own = {
        SERVICE_LABEL: label_value(observed.key.name),
        MANAGED_BY_LABEL: "aim-engine",
        COMPONENT_LABEL: "inference",
    }
    metadata = {
        "name": profile_config_map_name(observed.key.name),
        "namespace": observed.key.namespace,
        "labels": labels(observed.service, observed.config, own),
        "ownerReferences": owner_references(observed.service),
    }
    manifest = CONFIG_MAP.manifest(metadata, data={profile.name: profile.text})
    return Desired(CONFIG_MAP, manifest, reason="custom-profile")


def config_map_deletion(service: AIMService, live: Manifest | None) -> Deletion | None:
    """Return the deletion of the ConfigMap of a profile that the template no longer has (SVC-DEL-1)."""
    if live is None or not is_owned(service, live):
        return None
    return Deletion(CONFIG_MAP, key_of(live), uid_of(live), reason="profile-removed")
