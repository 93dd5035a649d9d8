"""Read manifest files, and apply them as a user would."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from aimd.runtime.client import Client
from aimd.runtime.objects import Kind, Manifest, metadata_of

FIELD_MANAGER = "aimd-sandbox"
# libyaml, if it is installed, is several times faster: CRDs are long.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_manifests(path: Path) -> list[Manifest]:
    """Return all objects of a YAML file, or of the `*.yaml` files of a folder: namespaces first, then by file name."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    manifests = [manifest for file in files for manifest in parse_manifests(file.read_text())]
    return sorted(manifests, key=lambda manifest: manifest["kind"] != "Namespace")


def parse_manifests(text: str) -> list[Manifest]:
    """Return all objects of a YAML stream, and the items of `List`s."""
    documents = [document for document in yaml.load_all(text, _LOADER) if document]
    return [item for document in documents for item in (document.get("items") or [document])]


async def apply_manifests(client: Client, manifests: Iterable[Manifest]) -> list[Manifest]:
    """Apply the objects in order, server-side. Raises the first ApiError."""
    return [
        await client.apply(kind_of(manifest), manifest, field_manager=FIELD_MANAGER, reason="sandbox")
        for manifest in manifests
    ]


def kind_of(manifest: Manifest) -> Kind:
    """Return the kind of a manifest, with the plural that Kubernetes guesses; namespaced if it has a namespace."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    name = manifest["kind"]
    return Kind(group, version, name, _plural(name.lower()), namespaced=bool(metadata_of(manifest).get("namespace")))


def _plural(singular: str) -> str:
    if singular.endswith(("s", "x", "ch")):
        return singular + "es"
    if singular.endswith("y") and singular[-2] not in "aeiou":
        return singular[:-1] + "ies"
    return singular + "s"
