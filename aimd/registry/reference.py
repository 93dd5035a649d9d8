"""Names of images, `[registry/]repository[:tag][@digest]`, as Docker and kubelet read them."""

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
    """An image: registry (`docker.io`, `host:port`), repository, and a tag, a digest or both; the digest counts."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository, the text that pull secrets are matched with."""
        return f"{self.registry}/{self.repository}"

    @property
    def identifier(self) -> str:
        """What the registry is asked for: the digest, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_reference(text: str) -> ImageReference | RegistryFailure:
    """The image that a text names; a failure that says what is wrong with it otherwise.

    Without a registry it is one of Docker Hub, where a single word stands for an image of `library/`; without tag and
    digest it is `latest`.
    """
    if not text or text != text.strip() or len(text) > _LONGEST_TEXT:
        return _invalid(text, "it is empty, too long, or has blanks around it")
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return _invalid(text, "what follows the @ is no sha256 or sha512 digest")
    registry, rest = split_registry(name)
    repository, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        return _invalid(text, "what follows the last colon is no tag")
    if not _REGISTRY.fullmatch(registry):
        return _invalid(text, f"{quoted(registry)!r} is no host, with or without a port")
    if not _REPOSITORY.fullmatch(repository) or len(registry) + len(repository) >= _LONGEST_NAME:
        return _invalid(
            text, "a repository is lower-case letters, digits and single separators between slashes, at most 255 long"
        )
    return ImageReference(
        normal_registry(registry), qualified(registry, repository), tag or ("" if at else DEFAULT_TAG), digest
    )


def split_registry(name: str) -> tuple[str, str]:
    """Registry and the rest: the part before the first slash is a registry if it has a dot or port, or is localhost."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first.lower() == "localhost"):
        return first, rest
    return DOCKER_HUB, name


def normal_registry(registry: str) -> str:
    """Lower case; the names of Docker Hub are one."""
    lowered = registry.lower()
    return DOCKER_HUB if lowered in DOCKER_HUB_ALIASES else lowered


def qualified(registry: str, repository: str) -> str:
    """On Docker Hub, a single word is an image of `library/`."""
    single = normal_registry(registry) == DOCKER_HUB and "/" not in repository
    return f"library/{repository}" if single else repository


def is_repository(text: str) -> bool:
    """Whether a repository may have this name."""
    return len(text) < _LONGEST_NAME and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether a tag may have this name."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether this is a digest that can be checked."""
    return _DIGEST.fullmatch(text) is not None


def _invalid(text: str, why: str) -> RegistryFailure:
    return failure(
        Problem.REFERENCE,
        f"{quoted(text)!r} names no image: {why}; write for example ghcr.io/organization/name:1.0.0",
    )
