"""A custom profile: the file, the ConfigMap that carries it, and how the container sees it (spec/service.md §12)."""

import hashlib
from dataclasses import dataclass

import yaml

from aimd.api.shared import ProfileType
from aimd.planning.labels import COMPONENT, MANAGED_BY, PREFIX, label_value
from aimd.planning.service.names import profile_config_map_name
from aimd.planning.service.observed import Observed, Template, is_owned, labels, owner_references
from aimd.planning.service.volumes import PROFILE_VOLUME, Volumes
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.model import Deletion, Desired, Manifest, key_of, uid_of

BASE_PATH = "/workspace/aim-runtime/profiles/custom"
CHECKSUM_ANNOTATION = PREFIX + "custom-profile-checksum"


class InvalidProfile(ValueError):
    """A custom profile that cannot be written to a file; the message says what to change."""


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile as the container finds it: the file name and its YAML."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


def profile_file(template: Template) -> ProfileFile | None:
    """The template's profile file, None without a custom profile; raises InvalidProfile."""
    profile = template.spec.custom_profile
    if profile is None:
        return None
    arguments = {} if profile.engine_args is None else profile.engine_args
    if not isinstance(arguments, dict):
        raise InvalidProfile(f"customProfile.engineArgs of template {template.metadata.name} is not an object")
    gpu = template.spec.hardware.gpu if template.spec.hardware is not None else None
    document = {
        "aim_id": template.spec.aim_id,
        "model_id": template.spec.model_id,
        "engine_args": arguments,
        "env_vars": dict(profile.env_vars),
        "metadata": {
            "engine": "vllm",
            "gpu": gpu.model if gpu is not None else "",
            "gpu_count": gpu.requests if gpu is not None else 0,
            "manual_selection_only": False,
            "metric": template.spec.metric,
            "precision": template.spec.precision,
            "type": template.spec.type or ProfileType.UNOPTIMIZED.value,
        },
    }
    text = yaml.safe_dump(document, sort_keys=True, default_flow_style=False, allow_unicode=True)
    return ProfileFile(f"{_stem(template)}.yaml", text)


def profile_id_of(template: Template) -> str:
    """Value of `AIM_PROFILE_ID` for a custom profile, empty without one."""
    if template.spec.custom_profile is None:
        return ""
    return f"custom/{template.spec.aim_id}/{_stem(template)}"


def profile_volumes(observed: Observed, template: Template) -> Volumes:
    """The ConfigMap as a read-only folder below the image's profiles."""
    source = {"name": profile_config_map_name(observed.key.name)}
    path = f"{BASE_PATH}/{template.spec.aim_id}"
    return Volumes(
        ({"name": PROFILE_VOLUME, "configMap": source},),
        ({"name": PROFILE_VOLUME, "mountPath": path, "readOnly": True},),
    )


def render_config_map(observed: Observed, profile: ProfileFile) -> Desired:
    """The ConfigMap with the profile, owned by the service."""
    own = {
        f"{PREFIX}service": label_value(observed.key.name),
        MANAGED_BY: "aim-engine",
        COMPONENT: "inference",
    }
    manifest: Manifest = {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.name,
        "metadata": {
            "name": profile_config_map_name(observed.key.name),
            "namespace": observed.key.namespace,
            "labels": labels(observed, own),
            "ownerReferences": owner_references(observed.service),
        },
        "data": {profile.name: profile.text},
    }
    return Desired(CONFIG_MAP, manifest, reason="custom-profile")


def config_map_deletion(observed: Observed) -> Deletion | None:
    """The ConfigMap of a profile that the template no longer has."""
    live = observed.profile_config_map
    if live is None or not is_owned(observed.service, live):
        return None
    return Deletion(CONFIG_MAP, key_of(live), uid_of(live), reason="profile-removed")


def _stem(template: Template) -> str:
    gpu = template.spec.hardware.gpu if template.spec.hardware is not None else None
    model, count = (gpu.model.lower(), gpu.requests) if gpu is not None else ("", 0)
    return f"vllm-{model}-{template.spec.precision}-tp{count}-{template.spec.metric}"
