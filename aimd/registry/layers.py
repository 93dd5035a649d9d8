"""Which layers of an image hold its profile files (REG-PRF-3).

An AIM's profile files are copied into the image by an instruction of their own, so that they are a layer of about a
kilobyte, and the history of the image's configuration says which. Images that were squashed, exported or rebuilt by
some tools have no such history: their small layers, the last ones, are searched instead.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aimd.registry.failures import quoted
from aimd.registry.image_config import ImageConfig
from aimd.registry.reference import is_digest
from aimd.registry.unpack import ZSTD_ADVICE

PROFILE_FOLDER: Final = "/workspace/aim-runtime/profiles"
LAYER_LIMIT: Final = 1024 * 1024
"""Bytes of a layer that the history names."""
MOST_LAYERS: Final = 32
SMALL_LAYER: Final = 64 * 1024
"""Bytes of a layer that may be searched without knowing what is in it."""
SMALL_LAYERS_LIMIT: Final = 1024 * 1024
"""Bytes of all these layers."""

_ARCHIVE = re.compile(r"(?:.*\.)?tar(?:[.+]gzip)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as the manifest describes it.

    `digest` is empty and `size` None if they are missing or malformed. A `foreign` layer has to be fetched from URLs
    instead of the registry. `diff_id` is the digest of its archive from the configuration, empty if that does not say.
    """

    digest: str
    size: int | None
    media_type: str = ""
    foreign: bool = False
    diff_id: str = ""

    @property
    def name(self) -> str:
        """The layer's name in messages."""
        algorithm, _, value = self.digest.partition(":")
        return f"its layer {algorithm}:{value[:12]}"

    @property
    def limit(self) -> int:
        """How many bytes to read at most."""
        return LAYER_LIMIT if self.size is None else self.size

    @property
    def problem(self) -> str:
        """Why it is not to be requested, to follow its name; empty if it is, as far as the manifest says."""
        if self.size is not None and self.size > LAYER_LIMIT:
            return f"has {self.size} bytes, and layers with profile files are read up to {LAYER_LIMIT}"
        if "zstd" in self.media_type.lower():
            return ZSTD_ADVICE
        if self.media_type and not _ARCHIVE.fullmatch(self.media_type):
            return f"has the media type {quoted(self.media_type)!r}, which aimd does not read"
        return ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The layers to read, the lowest first, or why the right ones cannot be read.

    `by_history` is whether the configuration alone determines them: then equal configurations have equal profile files.
    """

    layers: tuple[Layer, ...] = ()
    by_history: bool = False
    unreadable: str = ""


def select_layers(manifest: Mapping[str, Any], config: ImageConfig) -> Selection:
    """Return the layers to read: none for an image that is no AIM.

    An ordinary image costs no request: without the folder in its history, and without labels or variables of an AIM,
    there is no reason to search it (REG-PRF-2). Foreign layers are never read.
    """
    layers = _layers(manifest, config)
    mapped = len(config.instructions) == len(layers)
    pairs = zip(config.instructions, layers, strict=True) if mapped else ()
    named = [layer for instruction, layer in pairs if PROFILE_FOLDER in instruction]
    if not named and not config.is_aim:
        return Selection()
    own = tuple(layer for layer in named if not layer.foreign) if named else _small(layers)
    if len(own) > MOST_LAYERS:
        return Selection(unreadable=f"{len(own)} of its layers concern the folder, and {MOST_LAYERS} are the limit")
    for layer in own:
        if not layer.digest:
            return Selection(unreadable="its manifest has no digest for a layer with profile files")
        if layer.problem:
            return Selection(unreadable=f"{layer.name} {layer.problem}")
    return Selection(own, by_history=bool(named) and len(own) == len(named))


def _small(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the last small layers, the lowest first."""
    chosen: list[Layer] = []
    total = 0
    for layer in reversed(layers):
        if layer.foreign or not layer.digest or layer.size is None or layer.size > SMALL_LAYER:
            continue
        total += layer.size
        if len(chosen) == MOST_LAYERS or total > SMALL_LAYERS_LIMIT:
            break
        chosen.append(layer)
    return tuple(reversed(chosen))


def _layers(manifest: Mapping[str, Any], config: ImageConfig) -> Sequence[Layer]:
    found = manifest.get("layers")
    entries = found if isinstance(found, list) else []
    diff_ids = config.diff_ids if len(config.diff_ids) == len(entries) else ("",) * len(entries)
    return [_layer(entry, diff_id) for entry, diff_id in zip(entries, diff_ids, strict=True)]


def _layer(entry: object, diff_id: str) -> Layer:
    described = entry if isinstance(entry, dict) else {}
    digest, size, kind = (described.get(key) for key in ("digest", "size", "mediaType"))
    return Layer(
        digest if isinstance(digest, str) and is_digest(digest) else "",
        size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        kind if isinstance(kind, str) else "",
        foreign=bool(described.get("urls")),
        diff_id=diff_id,
    )
