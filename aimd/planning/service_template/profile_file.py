"""The custom profile of a template as a file, the same for discovery and inference."""

import hashlib
import re
from dataclasses import dataclass

import yaml

from aimd.api.service_template import AnyServiceTemplate
from aimd.api.shared import ProfileType

BASE_PATH = "/workspace/aim-runtime/profiles/custom"
VOLUME = "custom-profile"
_FILE_NAME = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_AIM_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class InvalidProfile(ValueError):
    """A custom profile that cannot be written to a file; the message says what to change."""


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile as the container finds it: the file name and its YAML."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Digest of the content."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


def profile_file(template: AnyServiceTemplate) -> ProfileFile | None:
    """Return the template's profile file, None without a custom profile (TPL-PRF-1). Raises InvalidProfile."""
    profile = template.spec.custom_profile
    if profile is None:
        return None
    arguments = {} if profile.engine_args is None else profile.engine_args
    if not isinstance(arguments, dict):
        raise InvalidProfile(f"customProfile.engineArgs of template {template.metadata.name} is not an object")
    name = f"{_stem(template)}.yaml"
    _check_names(template, name)
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
    return ProfileFile(name, text)


def profile_id_of(template: AnyServiceTemplate) -> str:
    """Return the value of `AIM_PROFILE_ID` for a custom profile, empty without one."""
    if template.spec.custom_profile is None:
        return ""
    return f"custom/{template.spec.aim_id}/{_stem(template)}"


def profile_folder(template: AnyServiceTemplate) -> str:
    """Return the folder in which the container finds the file."""
    return f"{BASE_PATH}/{template.spec.aim_id}"


def _check_names(template: AnyServiceTemplate, name: str) -> None:
    """Check that file and folder, named by what users write, stay below the folder of custom profiles (TPL-PRF-2)."""
    if not _FILE_NAME.fullmatch(name):
        raise InvalidProfile(
            f"hardware.gpu.model of template {template.metadata.name} cannot be part of a file name: with "
            "customProfile, write it without blanks and slashes, such as MI300X"
        )
    if not _AIM_ID.fullmatch(template.spec.aim_id):
        raise InvalidProfile(
            f"aimId of template {template.metadata.name} cannot name a folder: write it as organization/name"
        )


def _stem(template: AnyServiceTemplate) -> str:
    gpu = template.spec.hardware.gpu if template.spec.hardware is not None else None
    model, count = (gpu.model.lower(), gpu.requests) if gpu is not None else ("", 0)
    return f"vllm-{model}-{template.spec.precision}-tp{count}-{template.spec.metric}"
