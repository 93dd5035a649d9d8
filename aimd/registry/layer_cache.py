"""Layers that images of a registry share, such as the general profile files of all AIMs on one base image.

A layer is small and known by its digest. It is shared only among callers with the same credential for the same
registry: a manifest names layers without proving that its author can read them (REG-PRF-6).
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from aimd.registry.single_flight import SingleFlight

BUDGET: Final = 4 * 1024 * 1024
"""Bytes of all cached layers."""
LONGEST: Final = 64 * 1024
"""Bytes of a layer that is worth keeping; those of AMD's images have a few thousand."""

Owned = tuple[str, str, str]
"""Registry, fingerprint of the credential, digest."""


class LayerCache:
    """The layers that were requested most recently."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._blobs: OrderedDict[Owned, bytes] = OrderedDict()
        self._size = 0
        self._requests: SingleFlight[Owned, bytes] = SingleFlight()

    async def get(self, key: Owned, request: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return a layer, by a request if it is not known; concurrent callers share it. Raises what it raises."""
        blob = await self._requests.run(key, lambda: self._blobs.get(key), request)
        self._keep(key, blob)
        return blob

    def _keep(self, key: Owned, blob: bytes) -> None:
        if len(blob) > LONGEST:
            return
        if key not in self._blobs:
            self._size += len(blob)
        self._blobs[key] = blob
        self._blobs.move_to_end(key)
        while self._size > self._budget:
            self._size -= len(self._blobs.popitem(last=False)[1])
