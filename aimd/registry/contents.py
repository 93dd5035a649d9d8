"""What is in images, by digest: an image that is tagged again costs neither its configuration nor its layers again.

A digest is that of an index, of a manifest, or of a configuration. The content of the first two never changes; that of
a configuration is only entered if the configuration determines it (`Content.by_config`), because anyone can push a
manifest with somebody else's configuration and layers of their own. Contents have owners as in the cache of inspections
(REG-CRD-4), and a budget in bytes for all of them: the least recently used are dropped (REG-PRF-6).
"""

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from aimd.registry.profile_files import ProfileFiles

BUDGET: Final = 64 * 1024 * 1024
"""Bytes of all contents in memory."""
METADATA_LIMIT: Final = 256 * 1024
"""Bytes of labels and environment; those of more are not kept."""
UNSETTLED_LIFE: Final = 60.0
"""Seconds for which a content is kept that may be another one the next time."""
_ENTRY = 512
"""Bytes that a content or a digest takes besides its texts, roughly."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is in an image.

    `by_config` is whether the configuration determines it. `settled` is whether it is certain: not if the registry's
    answers about layers were not those layers.
    """

    labels: Mapping[str, str]
    env: Mapping[str, str]
    profiles: ProfileFiles
    by_config: bool = False
    settled: bool = True


@dataclass(slots=True)
class _Kept:
    content: Content
    size: int
    until: float
    keys: set[tuple[str, str]] = field(default_factory=set)


class Contents:
    """Contents of images by owner and digest."""

    def __init__(self, budget: int = BUDGET, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        """By identity of the content, the least recently used first."""
        self._by_key: dict[tuple[str, str], _Kept] = {}
        self.size = 0
        """Bytes in use."""

    def find(self, owner: str, *digests: str) -> Content | None:
        """Return the content with one of these digests, if it is kept."""
        for digest in digests:
            kept = self._by_key.get((owner, digest))
            if kept is None:
                continue
            if kept.until > self._clock():
                self._kept.move_to_end(id(kept.content))
                return kept.content
            self._drop(kept)
        return None

    def put(self, owner: str, digests: Iterable[str], content: Content) -> None:
        """Keep a content under these digests, besides those it already has."""
        kept = self._kept.get(id(content))
        if kept is None:
            if _size_of(content.labels) + _size_of(content.env) > METADATA_LIMIT:
                return
            until = inf if content.settled else self._clock() + UNSETTLED_LIFE
            kept = _Kept(content, _size(content), until)
            self._kept[id(content)] = kept
            self.size += kept.size
        for digest in digests:
            self._name((owner, digest), kept)
        self._kept.move_to_end(id(content))
        while self.size > self._budget:
            self._drop(next(iter(self._kept.values())))

    def _name(self, key: tuple[str, str], kept: _Kept) -> None:
        former = self._by_key.get(key)
        if former is kept:
            return
        if former is not None:
            former.keys.discard(key)
            former.size -= _ENTRY
            self.size -= _ENTRY
            if not former.keys:
                self._drop(former)
        self._by_key[key] = kept
        kept.keys.add(key)
        kept.size += _ENTRY
        self.size += _ENTRY

    def _drop(self, kept: _Kept) -> None:
        del self._kept[id(kept.content)]
        for key in kept.keys:
            del self._by_key[key]
        self.size -= kept.size


def _size(content: Content) -> int:
    return _ENTRY + sum(_size_of(texts) for texts in (content.labels, content.env, content.profiles.files))


def _size_of(texts: Mapping[str, str]) -> int:
    return sum(sys.getsizeof(name) + sys.getsizeof(text) + 128 for name, text in texts.items())
