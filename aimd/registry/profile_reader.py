# tests: tests/faults/test_registry_faults.py
"""Reads the profile files of an image from its layers, of which it requests only those that may have some."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anyio.to_thread import run_sync

from aimd.registry.access import Access, Document, repository_target
from aimd.registry.contents import Content
from aimd.registry.credentials import Credential
from aimd.registry.failures import RegistryError
from aimd.registry.image_config import ImageConfig
from aimd.registry.layer_cache import LayerCache
from aimd.registry.layers import PROFILE_FOLDER, Layer, select_layers
from aimd.registry.profile_files import NO_PROFILES, ProfileFiles, unreadable
from aimd.registry.profile_tree import ProfileTree
from aimd.registry.reference import ImageReference
from aimd.registry.reply import check_digest
from aimd.registry.tar_archive import LayerError


class ProfileReader:
    """Reads profile files."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._layers = LayerCache()

    async def read(
        self, reference: ImageReference, manifest: Mapping[str, Any], config: ImageConfig, credential: Credential
    ) -> Content:
        """Return what is in an image.

        Layers that are damaged, too large or not supported make the profile files unreadable and leave the rest of the
        content usable (REG-PRF-4). Raises RegistryError for a transient failure: the next attempt may read them.
        """
        selection = select_layers(manifest, config)
        content = Content(config.labels, config.env, NO_PROFILES, selection.by_history)
        if selection.unreadable:
            return replace(content, profiles=unreadable(selection.unreadable), by_config=False)
        if not config.is_aim and not selection.layers:
            return content
        tree, by_config = ProfileTree(), selection.by_history
        for layer in selection.layers:
            try:
                blob = await self._fetch(reference, layer, credential)
            except RegistryError as problem:
                if problem.failure.transient:
                    raise
                return replace(content, profiles=unreadable(problem.failure.message), by_config=False, settled=False)
            try:
                by_config = await run_sync(tree.add, blob, layer.diff_id) and by_config
            except LayerError as problem:
                return replace(content, profiles=unreadable(f"{layer.name} {problem}"), by_config=False)
        return replace(content, profiles=_found(tree.files(), by_history=selection.by_history), by_config=by_config)

    async def _fetch(self, reference: ImageReference, layer: Layer, credential: Credential) -> bytes:
        key = (reference.registry, credential.fingerprint, layer.digest)
        return await self._layers.get(key, lambda: self._request(reference, layer, credential))

    async def _request(self, reference: ImageReference, layer: Layer, credential: Credential) -> bytes:
        target = repository_target(reference.registry, reference.repository, layer.digest)
        blob = Document(f"/v2/{reference.repository}/blobs/{layer.digest}", "layer", layer.limit)
        reply = await self._access.get(target, blob, credential)
        check_digest(reply, layer.digest, target.what)
        return reply.body


def _found(profiles: ProfileFiles, *, by_history: bool) -> ProfileFiles:
    """Return the profile files of an AIM, with the reason if there are none."""
    if profiles.files or profiles.unreadable:
        return profiles
    if by_history:
        return replace(profiles, unreadable=f"it has no .yaml files in {PROFILE_FOLDER}")
    return replace(profiles, unreadable=f"no layer that can be read without the image has files in {PROFILE_FOLDER}")
