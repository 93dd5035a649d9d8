"""From a reference to the labels of its image: manifest, for several platforms the index before it, configuration.

OCI's and Docker's media types are read alike. Everything that has a digest is checked against it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from aimd.registry.access import Access, Target, Wanted, repository_target
from aimd.registry.credentials import ANONYMOUS, Credential, Keyring
from aimd.registry.failures import Problem, error, quoted
from aimd.registry.reference import ImageReference, is_digest
from aimd.registry.reply import Reply, json_of

PLATFORM: Final = ("linux", "amd64")
MANIFEST_LIMIT: Final = 4 * 1024 * 1024
"""Bytes; what the distribution specification asks registries to accept."""
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
    """What an image says about itself.

    `digest` is what the reference stands for, the index where there are several platforms; `public` tells whether
    nobody had to log in for it.
    """

    reference: ImageReference
    digest: str
    labels: Mapping[str, str]
    public: bool


class Images:
    """Inspects images; raises RegistryError."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> Inspection:
        """The labels of the image, of its linux/amd64 variant where there are several."""
        target = _target(reference, reference.identifier)
        reply, credential = await self._access.first(target, _manifest(reference, reference.identifier), keyring)
        digest = _checked(reply, reference.digest, target)
        document = _object(reply, "a manifest")
        if _is_index(document, reply.media_type):
            reply, document = await self._variant(reference, credential, _platform_digest(document, target))
        config = _config_digest(document, reply, target)
        blob = Wanted(f"/v2/{reference.repository}/blobs/{config}", "config", CONFIG_LIMIT)
        reply = await self._access.get(target, blob, credential)
        _checked(reply, config, target)
        labels = labels_of(_object(reply, "an image's configuration"), target)
        return Inspection(reference, digest, labels, public=credential == ANONYMOUS)

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str:
        """What the reference stands for now, without fetching it; empty when the registry does not say."""
        wanted = replace(_manifest(reference, reference.identifier), method="HEAD", operation="digest")
        reply, _ = await self._access.first(_target(reference, reference.identifier), wanted, keyring)
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


def _manifest(reference: ImageReference, identifier: str) -> Wanted:
    return Wanted(f"/v2/{reference.repository}/manifests/{identifier}", "manifest", MANIFEST_LIMIT, _ACCEPT)


def labels_of(config: Mapping[str, Any], target: Target) -> Mapping[str, str]:
    """`config.Labels`; empty where there are none. Raises RegistryError when they are not what they have to be."""
    section = config.get("config")
    labels = section.get("Labels") if isinstance(section, dict) else None
    if labels is None:
        return MappingProxyType({})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise error(Problem.CONTENT, f"{target.what} has labels that are no texts: build the image again")
    return MappingProxyType(labels)


def _object(reply: Reply, what: str) -> Mapping[str, Any]:
    document = json_of(reply, what)
    if not isinstance(document, dict):
        raise error(Problem.CONTENT, f"{reply.host} sent JSON that is not {what}: push the image again")
    return document


def _checked(reply: Reply, expected: str, target: Target) -> str:
    """The digest of a body. Raises RegistryError when it is not the one asked for, or announced."""
    announced = reply.headers.get("docker-content-digest", "")
    wanted = expected or (announced if is_digest(announced) else "")
    algorithm = wanted.partition(":")[0] or "sha256"
    digest = f"{algorithm}:{hashlib.new(algorithm, reply.body).hexdigest()}"
    if wanted and digest != wanted:
        raise error(
            Problem.CONTENT,
            f"{reply.host} sent other content for {target.what} than its digest {wanted} says: the registry, or "
            "a cache in front of it, has to be put right",
        )
    return digest


def _is_index(document: Mapping[str, Any], media_type: str) -> bool:
    named = document.get("mediaType") or media_type
    return named in _INDEXES or (named not in _MANIFESTS and isinstance(document.get("manifests"), list))


def _platform_digest(index: Mapping[str, Any], target: Target) -> str:
    """The digest of the linux/amd64 manifest."""
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
    raise error(
        Problem.NOT_FOUND,
        f"{target.what} has no variant for {'/'.join(PLATFORM)}, only {quoted(listed) or 'unnamed ones'}: name an "
        "image that has one",
    )


def _config_digest(manifest: Mapping[str, Any], reply: Reply, target: Target) -> str:
    config = manifest.get("config")
    digest = config.get("digest") if isinstance(config, dict) else None
    if isinstance(digest, str) and is_digest(digest):
        return digest
    if manifest.get("schemaVersion") == 1:
        raise error(Problem.CONTENT, f"{target.what} has a manifest of schema 1: push it again with a current tool")
    kind = quoted(str(manifest.get("mediaType") or reply.media_type)) or "nothing"
    raise error(Problem.CONTENT, f"{target.what} is no container image but {kind}: correct the image's name")
