"""Labels of an image, read from its configuration by way of its manifest, and of its index for several platforms.

The media types of OCI and of Docker are both supported. All content is verified against its digest.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from aimd.registry.access import Access, Document, Target, repository_target
from aimd.registry.credentials import ANONYMOUS, Credential, Keyring
from aimd.registry.failures import Problem, quoted, registry_error
from aimd.registry.profile_files import NO_PROFILES, ProfileFiles
from aimd.registry.reference import ImageReference, is_digest
from aimd.registry.reply import Reply, parse_json

PLATFORM: Final = ("linux", "amd64")
MANIFEST_LIMIT: Final = 4 * 1024 * 1024
"""Bytes; registries must accept manifests of this size according to the distribution specification."""
CONFIG_LIMIT: Final = 8 * 1024 * 1024
"""Bytes."""

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = ", ".join((*_INDEXES, *_MANIFESTS))
_SHOWN_PLATFORMS = 6


@dataclass(frozen=True, slots=True)
class Inspection:
    """Labels, environment and profile files of an image, and its digest.

    `digest` is that of the index if there are several platforms. `public` is whether anonymous access was enough.
    """

    reference: ImageReference
    digest: str
    labels: Mapping[str, str]
    public: bool
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    profiles: ProfileFiles = NO_PROFILES


class Images:
    """Inspects images. Raises RegistryError."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> Inspection:
        """Return the labels of the image, or of its linux/amd64 variant if there are several."""
        target = _target(reference, reference.identifier)
        reply, credential = await self._access.get_first(target, _manifest(reference, reference.identifier), keyring)
        digest = _checked(reply, reference.digest, target)
        document = _object(reply, "a manifest")
        if _is_index(document, reply.media_type):
            reply, document = await self._variant(reference, credential, _platform_digest(document, target))
        config = _config_digest(document, reply, target)
        blob = Document(f"/v2/{reference.repository}/blobs/{config}", "config", CONFIG_LIMIT)
        reply = await self._access.get(target, blob, credential)
        _checked(reply, config, target)
        labels = labels_of(_object(reply, "an image's configuration"), target)
        return Inspection(reference, digest, labels, public=credential == ANONYMOUS)

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str:
        """Return the current digest of the reference without downloading it; empty if the registry does not say."""
        document = replace(_manifest(reference, reference.identifier), method="HEAD", operation="digest")
        reply, _ = await self._access.get_first(_target(reference, reference.identifier), document, keyring)
        digest = reply.headers.get("docker-content-digest", "")
        return digest if is_digest(digest) else ""

    async def _variant(
        self, reference: ImageReference, credential: Credential, digest: str
    ) -> tuple[Reply, Mapping[str, Any]]:
        target = _target(reference, digest)
        reply = await self._access.get(target, _manifest(reference, digest), credential)
        _checked(reply, digest, target)
        return reply, _object(reply, "a manifest")


def _target(reference: ImageReference, identifier: str) -> Target:
    return repository_target(reference.registry, reference.repository, identifier)


def _manifest(reference: ImageReference, identifier: str) -> Document:
    return Document(f"/v2/{reference.repository}/manifests/{identifier}", "manifest", MANIFEST_LIMIT, _ACCEPT)


def labels_of(config: Mapping[str, Any], target: Target) -> Mapping[str, str]:
    """Return `config.Labels`, empty if there are none. Raises RegistryError if they are malformed."""
    section = config.get("config")
    labels = section.get("Labels") if isinstance(section, dict) else None
    if labels is None:
        return MappingProxyType({})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise registry_error(Problem.CONTENT, f"{target.what} has labels that are not strings: build the image again")
    return MappingProxyType(labels)


def _object(reply: Reply, what: str) -> Mapping[str, Any]:
    document = parse_json(reply, what)
    if not isinstance(document, dict):
        raise registry_error(Problem.CONTENT, f"{reply.host} sent JSON that is not {what}: push the image again")
    return document


def _checked(reply: Reply, expected: str, target: Target) -> str:
    """Return the digest of the body. Raises RegistryError if it is not the requested or announced one."""
    announced = reply.headers.get("docker-content-digest", "")
    wanted = expected or (announced if is_digest(announced) else "")
    algorithm = wanted.partition(":")[0] or "sha256"
    digest = f"{algorithm}:{hashlib.new(algorithm, reply.body).hexdigest()}"
    if wanted and digest != wanted:
        raise registry_error(
            Problem.CONTENT,
            f"{reply.host} sent content for {target.what} that differs from its digest {wanted}: check the registry, "
            "and caches in front of it",
        )
    return digest


def _is_index(document: Mapping[str, Any], media_type: str) -> bool:
    named = document.get("mediaType") or media_type
    return named in _INDEXES or (named not in _MANIFESTS and isinstance(document.get("manifests"), list))


def _platform_digest(index: Mapping[str, Any], target: Target) -> str:
    """Return the digest of the linux/amd64 manifest. Raises RegistryError if there is none."""
    entries = index.get("manifests")
    seen: list[str] = []
    for entry in entries if isinstance(entries, list) else ():
        platform = entry.get("platform") if isinstance(entry, dict) else None
        if not isinstance(platform, dict):
            continue
        named = (platform.get("os"), platform.get("architecture"))
        digest = entry.get("digest")
        if named == PLATFORM and isinstance(digest, str) and is_digest(digest):
            return digest
        if all(isinstance(part, str) for part in named):
            seen.append("/".join(str(part) for part in named))
    listed = ", ".join(sorted(set(seen) - {"unknown/unknown"})[:_SHOWN_PLATFORMS])
    raise registry_error(
        Problem.NOT_FOUND,
        f"{target.what} has no variant for {'/'.join(PLATFORM)}, only {quoted(listed) or 'unnamed ones'}: use an image "
        "that has one",
    )


def _config_digest(manifest: Mapping[str, Any], reply: Reply, target: Target) -> str:
    config = manifest.get("config")
    digest = config.get("digest") if isinstance(config, dict) else None
    if isinstance(digest, str) and is_digest(digest):
        return digest
    if manifest.get("schemaVersion") == 1:
        raise registry_error(
            Problem.CONTENT, f"{target.what} has a manifest of schema version 1: push it again with a current tool"
        )
    kind = quoted(str(manifest.get("mediaType") or reply.media_type)) or "of unknown type"
    raise registry_error(Problem.CONTENT, f"{target.what} is {kind}, not a container image: correct the image's name")
