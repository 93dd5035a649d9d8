"""The profile in a template's status: its id inside the image, and whether it belongs to the image that runs."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from aimd.api.model import AIMModel, AIMModelSpec
from aimd.api.service_template import AnyServiceTemplate, Profile
from aimd.planning.pod_rights import PodRights
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service_template.discovery_job import DiscoveryContext, spec_hash
from aimd.planning.service_template.profile_file import InvalidProfile, profile_file

_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_PROFILES = "profiles"


def discovered_profile(template: AnyServiceTemplate, image: str) -> Profile | None:
    """Return the profile that `image` has reported for the template as it is now (TPL-DSC-1).

    None if the template has sources of its own, if nothing was discovered, or if it was discovered for other inputs.
    """
    if template.spec.model_sources or not is_discovered_for(template, image):
        return None
    return template.status.profile


def is_discovered_for(template: AnyServiceTemplate, image: str) -> bool:
    """Return whether nothing in the template's status was discovered for another image, or for another template.

    A status without a fingerprint is another operator's, or from before there was one; it is believed.
    """
    status = template.status
    if template.spec.model_sources or status.profile is None:
        return True
    if status.discovery is None or not status.discovery.spec_hash:
        return True
    return not status.discovery.attempts and status.discovery.spec_hash == _fingerprint(template, image)


def discovered_profile_id(profile: Profile) -> str:
    """Return the id of a profile inside its image, empty if it is unknown (SVC-ENV-4).

    The id is the name of the profile's file and the class of its folder. Metadata say nothing about it: files of the
    precision `fp4` can be named `mxfp4`.
    """
    output = profile.original_discovery_output
    if not isinstance(output, Mapping):
        return ""
    path = PurePosixPath(_text(output, "path") or _text(output, "filename"))
    if path.suffix != ".yaml" or not _STEM.fullmatch(path.stem):
        return ""
    document = output.get("profile")
    aim_id = _text(document, "aim_id") if isinstance(document, Mapping) else ""
    folders = path.parent.parts
    if _PROFILES in folders:
        folders = folders[folders.index(_PROFILES) + 1 :]
    is_general = "general" in folders if folders else not aim_id
    if folders[:1] == ("custom",):
        return f"custom/{'general' if is_general else aim_id}/{path.stem}"
    return f"general/{path.stem}" if is_general else path.stem


def aim_id_of(profile: Profile) -> str:
    """Return the model that a profile belongs to, empty for one that fits any model."""
    output = profile.original_discovery_output
    document = output.get("profile") if isinstance(output, Mapping) else None
    return _text(document, "aim_id") if isinstance(document, Mapping) else ""


def _fingerprint(template: AnyServiceTemplate, image: str) -> str:
    try:
        file = profile_file(template)
    except InvalidProfile:
        return ""
    model = AIMModel(spec=AIMModelSpec(image=image))
    return spec_hash(DiscoveryContext(template, model, ResolvedConfig(), PodRights(), file))


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value.strip() if isinstance(value, str) else ""
