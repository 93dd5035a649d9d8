"""Reduce objects to what the cache keeps: other managers' records go, and equal parts are stored once."""

from typing import Any

import orjson

from aimd.runtime.objects import Manifest, is_apply

_ALIKE = ("labels", "ownerReferences")
"""Parts of the metadata that objects of one owner have in common."""
_PARTS_SHARED = 4096


class Trimmer:
    """Trims objects on their way into the cache.

    Guarantees:
    - Only `metadata` changes: `managedFields` keeps the server-side applies of our field managers and nothing else.
    - Equal labels, owner references and field trees of different objects are one Python object.
    """

    def __init__(self) -> None:
        self._managers: set[str] = set()
        self._parts: dict[int, Any] = {}

    def keep_fields_of(self, manager: str) -> None:
        """Keep the `managedFields` of this field manager's applies in objects that arrive from now on."""
        self._managers.add(manager)

    def trim(self, manifest: Manifest) -> Manifest:
        """Trim the object in place and return it; copies would cost a tenth of a first sync."""
        metadata = manifest.get("metadata") or {}
        for name in _ALIKE:
            if name in metadata:
                metadata[name] = self._shared(metadata[name])
        for entry in metadata.pop("managedFields", None) or ():
            if entry.get("manager") in self._managers and is_apply(entry):
                metadata.setdefault("managedFields", []).append(self._field_tree(entry))
        return manifest

    def _field_tree(self, entry: Manifest) -> Manifest:
        return {
            "manager": entry.get("manager"),
            "operation": "Apply",
            "apiVersion": entry.get("apiVersion"),
            "fieldsV1": self._shared(entry.get("fieldsV1") or {}),
        }

    def _shared(self, part: Any) -> Any:
        # With the encodings themselves as keys, 10,000 pods would take 8 MB more.
        fingerprint = hash(orjson.dumps(part))
        known = self._parts.get(fingerprint)
        if known == part:
            return known
        if len(self._parts) >= _PARTS_SHARED:
            self._parts.clear()
        self._parts[fingerprint] = part
        return part
