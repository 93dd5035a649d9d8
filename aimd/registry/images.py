# tests: tests/faults/test_registry_faults.py, tests/integration/test_registry.py
"""What is in an image, read by way of its manifest, and of its index for several platforms.

The configuration has the labels and the environment (REG-PRF-1), small layers have the profile files. The media types
of OCI and of Docker are both supported. All content is verified against its digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from aimd.registry.access import Access, Document, Target, repository_target
from aimd.registry.contents import Content, Contents
from aimd.registry.credentials import ANONYMOUS, Credential, Keyring
from aimd.registry.failures import Problem, RegistryError, RegistryFailure, quoted, registry_error
from aimd.registry.image_config import parse_config
from aimd.registry.profile_files import NO_PROFILES, ProfileFiles
from aimd.registry.profile_reader import ProfileReader
from aimd.registry.reference import ImageReference, is_digest
from aimd.registry.reply import Reply, check_digest, parse_json
from aimd.registry.single_flight import SingleFlight

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

    `digest` is that of the index if there are several platforms. `public` is whether anonymous access was enough,
    `settled` whether the next answer will be the same: not if a layer is missing or differs from its digest.
    """

    reference: ImageReference
    digest: str
    labels: Mapping[str, str]
    public: bool
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    profiles: ProfileFiles = NO_PROFILES
    settled: bool = True


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The manifest of a reference for our platform, and the digests of the reference, of it and of its configuration.

    `credential` is the one that the registry accepted.
    """

    reference: ImageReference
    document: Mapping[str, Any]
    digest: str
    own_digest: str
    config_digest: str
    credential: Credential


class Images:
    """Inspects images. Raises RegistryError."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._profiles = ProfileReader(access)
        self._reads: SingleFlight[tuple[str, str, str], Content | RegistryFailure] = SingleFlight()

    async def inspect(self, reference: ImageReference, keyring: Keyring, contents: Contents) -> Inspection:
        """Return what is in the image, or in its linux/amd64 variant if there are several.

        What `contents` has is not requested again; what is requested is put there under the digest of the result.
        """
        manifest = await self._manifest(reference, keyring)
        public = manifest.credential == ANONYMOUS
        owner = "" if public else self.credentials_id(reference, keyring)
        digests = (manifest.digest, manifest.own_digest, manifest.config_digest)
        content = await self._reads.run(
            (owner, reference.name, manifest.own_digest),
            lambda: contents.find(owner, *digests),
            lambda: self._read(manifest),
        )
        if isinstance(content, RegistryFailure):
            raise RegistryError(content)
        contents.put(owner, digests if content.by_config else digests[:2], content)
        return inspection_of(reference, manifest.digest, content, public=public)

    def credentials_id(self, reference: ImageReference, keyring: Keyring) -> str:
        """Return a hash of the credentials that are tried for the reference; empty if there are none."""
        return self._access.credentials_id(_target(reference, ""), keyring)

    async def _manifest(self, reference: ImageReference, keyring: Keyring) -> _Manifest:
        target = _target(reference, reference.identifier)
        reply, credential = await self._access.get_first(target, _document(reference, reference.identifier), keyring)
        digest = own_digest = _checked(reply, reference.digest, target)
        document = _object(reply, "a manifest")
        if _is_index(document, reply.media_type):
            own_digest = _platform_digest(document, target)
            reply, document = await self._variant(reference, credential, own_digest)
        config_digest = _config_digest(document, reply, target)
        return _Manifest(reference, document, digest, own_digest, config_digest, credential)

    async def _read(self, manifest: _Manifest) -> Content | RegistryFailure:
        """Read the configuration, and what it says is to be read."""
        reference = manifest.reference
        target = _target(reference, reference.identifier)
        blob = Document(f"/v2/{reference.repository}/blobs/{manifest.config_digest}", "config", CONFIG_LIMIT)
        try:
            reply = await self._access.get(target, blob, manifest.credential)
            check_digest(reply, manifest.config_digest, target.what)
            config = parse_config(_object(reply, "an image's configuration"), target)
            return await self._profiles.read(reference, manifest.document, config, manifest.credential)
        except RegistryError as problem:
            return problem.failure

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str:
        """Return the current digest of the reference without downloading it; empty if the registry does not say."""
        document = replace(_document(reference, reference.identifier), method="HEAD", operation="digest")
        reply, _ = await self._access.get_first(_target(reference, reference.identifier), document, keyring)
        digest = reply.headers.get("docker-content-digest", "")
        return digest if is_digest(digest) else ""

    async def _variant(
        self, reference: ImageReference, credential: Credential, digest: str
    ) -> tuple[Reply, Mapping[str, Any]]:
        target = _target(reference, digest)
        reply = await self._access.get(target, _document(reference, digest), credential)
        check_digest(reply, digest, target.what)
        return reply, _object(reply, "a manifest")


def inspection_of(reference: ImageReference, digest: str, content: Content, *, public: bool) -> Inspection:
    """Return a content as the inspection of a reference."""
    return Inspection(reference, digest, content.labels, public, content.env, content.profiles, content.settled)


def _target(reference: ImageReference, identifier: str) -> Target:
    return repository_target(reference.registry, reference.repository, identifier)


def _document(reference: ImageReference, identifier: str) -> Document:
    return Document(f"/v2/{reference.repository}/manifests/{identifier}", "manifest", MANIFEST_LIMIT, _ACCEPT)


def _object(reply: Reply, what: str) -> Mapping[str, Any]:
    document = parse_json(reply, what)
    if not isinstance(document, dict):
        raise registry_error(Problem.CONTENT, f"{reply.host} sent JSON that is not {what}: push the image again")
    return document


def _checked(reply: Reply, expected: str, target: Target) -> str:
    """Return the digest of the body. Raises RegistryError if it is not the requested or announced one."""
    announced = reply.headers.get("docker-content-digest", "")
    wanted = expected or (announced if is_digest(announced) else "")
    return check_digest(reply, wanted, target.what)


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
