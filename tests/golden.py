"""What a golden file holds: objects of the API server without what differs between two runs."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
METADATA = ("name", "namespace", "labels", "finalizers", "ownerReferences")
OWN = "aim.eai.amd.com/"
"""Group of the kinds whose status aimd writes, and prefix of its annotations."""
REFERENCES = f"{OWN}references"
"""Annotation of a download Job: digest of the resource versions of Secrets and ConfigMaps."""
INPUTS = f"{OWN}inputs"
"""Annotation of a Job: digest of, among others, its environment, which includes the name of the artifact."""
BINDING = (f"{OWN}claim-size", "pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/")
"""Prefixes of annotations that depend on when a claim was bound."""
DEDICATED = "<hash of AIMTemplateCache>"
"""Stands for the hash in the name of a dedicated artifact."""


def golden(objects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects as a golden file holds them, sorted by kind and name.

    UIDs of the given objects become `<uid of Kind>`, their hashes in names `<hash of Kind>`, other UIDs `<uid>`, times
    `<time>`. Conditions become a mapping from type to status and reason. Messages are left out.
    """
    objects = list(objects)
    text = json.dumps([shown(item) for item in objects])
    for artifact in (item for item in objects if item["kind"] == "AIMArtifact" and owners_of(item)):
        name = artifact["metadata"]["name"]  # Ends in a hash of the name of its cache, which ends in a hash of a UID.
        text = text.replace(name, f"{name.rpartition('-')[0]}-{DEDICATED}")
    for item in objects:
        uid, kind = item["metadata"]["uid"], item["kind"]
        text = text.replace(uid, f"<uid of {kind}>").replace(f"-{hash_of(uid)}", f"-<hash of {kind}>")
    text = TIME.sub("<time>", UUID.sub("<uid>", text))
    ordered: list[dict[str, Any]] = json.loads(text)
    ordered.sort(key=lambda item: (item["kind"], item["metadata"]["name"]))
    for item in ordered:
        if INPUTS in item["metadata"].get("annotations", {}) and DEDICATED in item["metadata"]["name"]:
            item["metadata"]["annotations"][INPUTS] = "<digest>"
    return ordered


def write(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of a golden file."""
    return str(yaml.safe_dump_all(objects, width=120, allow_unicode=True))


def read(text: str) -> list[dict[str, Any]]:
    """Return the objects of a golden file."""
    return list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # libyaml is fast.


def hash_of(uid: str) -> str:
    """Return the last part of a name that is derived from the UID of an owner."""
    return hashlib.sha256(json.dumps(uid).encode()).hexdigest()[:8]


def owners_of(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the owner references of an object."""
    return list(item["metadata"].get("ownerReferences", ()))


def shown(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without the bookkeeping of the API server and without the status of foreign kinds."""
    metadata = {key: item["metadata"][key] for key in METADATA if key in item["metadata"]}
    annotations = item["metadata"].get("annotations", {})
    if kept := {key: value for key, value in annotations.items() if not key.startswith(BINDING)}:
        metadata["annotations"] = kept | ({REFERENCES: "<digest>"} if REFERENCES in kept else {})
    rest = {key: value for key, value in item.items() if key not in ("apiVersion", "metadata", "status")}
    status = {"status": shown_status(item.get("status", {}))} if item["apiVersion"].startswith(OWN) else {}
    return {**rest, "metadata": metadata, **status}


def shown_status(value: Any) -> Any:
    """Return a status, or a part of one, without messages and with conditions by type."""
    if isinstance(value, list):
        return [shown_status(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: shown_status(part) for key, part in value.items() if key not in ("message", "conditions")}
    if "conditions" in value:
        kept["conditions"] = {each["type"]: f"{each['status']} {each['reason']}" for each in value["conditions"]}
    return kept
