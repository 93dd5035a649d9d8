"""Profile files of an image, as texts; what they mean is decided in planning."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class ProfileFiles:
    """Texts of the profile files by path below `/workspace/aim-runtime/profiles`.

    `unreadable` is why the image's profile files cannot be read, in words to follow "because"; `files` is then empty.
    `remarks` name files that were left out, such as those that are too long or not UTF-8, at most 8.
    """

    files: Mapping[str, str]
    unreadable: str = ""
    remarks: tuple[str, ...] = ()


NO_PROFILES: Final = ProfileFiles(MappingProxyType({}))
"""The image has no profile files, and no reason to have any."""


def unreadable(why: str) -> ProfileFiles:
    """Return that the profile files cannot be read, in words to follow "because"."""
    return ProfileFiles(MappingProxyType({}), why)
