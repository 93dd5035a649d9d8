"""Image references, `[registry/]repository[:tag][@digest]`, parsed as Docker and the kubelet do."""

import re
from dataclasses import dataclass
from typing import Final

from aimd.registry.failures import Problem, RegistryFailure, failure, quoted

DOCKER_HUB: Final = "docker.io"
DOCKER_HUB_ALIASES: Final = ("docker.io", "index.docker.io", "registry-1.docker.io")
DEFAULT_TAG: Final = "latest"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST_NAME = 255
_LONGEST_TEXT = 512


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image: registry (`docker.io`, `host:port`), repository, tag and digest. With both, the digest counts."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository, which pull secrets are matched against."""
        return f"{self.registry}/{self.repository}"

    @property
    def identifier(self) -> str:
        """The digest, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_reference(text: str) -> ImageReference | RegistryFailure:
    """Parse an image reference, or return a failure that says what is wrong with it.

    The default registry is Docker Hub, where a single word means an image of `library/`; the default tag is `latest`.
    """
    if not text or text != text.strip() or len(text) > _LONGEST_TEXT:
        return _invalid(text, "it is empty or too long, or has spaces around it")
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return _invalid(text, "the part after @ is not a sha256 or sha512 digest")
    registry, rest = split_registry(name)
    repository, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        return _invalid(text, "the part after the last colon is not a tag")
    if not _REGISTRY.fullmatch(registry):
        return _invalid(text, f"{quoted(registry)!r} is not a host with or without a port")
    if not _REPOSITORY.fullmatch(repository) or len(registry) + len(repository) >= _LONGEST_NAME:
        return _invalid(
            text,
            "a repository consists of lower-case letters, digits and single separators between slashes, at most 255 "
            "characters in all",
        )
    return ImageReference(
        normal_registry(registry), qualified(registry, repository), tag or ("" if at else DEFAULT_TAG), digest
    )


def split_registry(name: str) -> tuple[str, str]:
    """Split off the registry: the part before the first slash if it has a dot or a port, or is localhost."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first.lower() == "localhost"):
        return first, rest
    return DOCKER_HUB, name


def normal_registry(registry: str) -> str:
    """Return a registry in lower case, and Docker Hub by its first name."""
    lowered = registry.lower()
    return DOCKER_HUB if lowered in DOCKER_HUB_ALIASES else lowered


def qualified(registry: str, repository: str) -> str:
    """Return the repository in full: on Docker Hub, a single word means an image of `library/`."""
    single = normal_registry(registry) == DOCKER_HUB and "/" not in repository
    return f"library/{repository}" if single else repository


def is_repository(text: str) -> bool:
    """Return whether the text is a valid name of a repository."""
    return len(text) < _LONGEST_NAME and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Return whether the text is a valid tag."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Return whether the text is a digest of a supported algorithm."""
    return _DIGEST.fullmatch(text) is not None


def _invalid(text: str, why: str) -> RegistryFailure:
    return failure(
        Problem.REFERENCE,
        f"{quoted(text)!r} is not a valid image reference: {why}; write for example ghcr.io/organization/name:1.0.0",
    )
