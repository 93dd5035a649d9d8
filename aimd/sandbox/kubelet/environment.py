"""The environment of a container as Kubernetes defines it: `env`, `envFrom`, `valueFrom` and `$(NAME)` references."""

import re
from collections.abc import Awaitable, Callable, Mapping

from aimd.runtime.kinds import CONFIG_MAP, SECRET
from aimd.runtime.objects import Kind, Manifest, key_of, metadata_of, uid_of
from aimd.sandbox.kubelet.files import entries_of

Read = Callable[[Kind, str], Awaitable[Manifest | None]]
"""A function that reads a ConfigMap or Secret of the pod's namespace by name; None if it does not exist."""

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)")
_FIELD_KEY = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigurationError(Exception):
    """The container cannot be created as it is configured; the message names what is missing."""


async def resolve_environment(pod: Manifest, container: Manifest, read: Read, address: str) -> dict[str, str]:
    """Return all variables in their order; later ones win.

    `address` is that of the pod, whose status may not have it yet. Raises ConfigurationError if something is missing.
    """
    environment: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix") or ""
        kind, reference = (
            (SECRET, source["secretRef"]) if "secretRef" in source else (CONFIG_MAP, source["configMapRef"])
        )
        manifest = await _read(read, kind, reference)
        entries = entries_of(manifest) if manifest else {}
        environment |= {prefix + name: content.decode(errors="replace") for name, content in entries.items()}
    for item in container.get("env") or ():
        if "valueFrom" in item:
            value = await _value_from(item, pod, read, address)
        else:
            value = expand(item.get("value") or "", environment)
        if value is not None:
            environment[item["name"]] = value
    return environment


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace `$(NAME)` with a known variable, and `$$` with a dollar sign."""

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return environment.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)


def pod_field(pod: Manifest, path: str, address: str) -> str:
    """Return a field of the pod for the downward API. Raises ConfigurationError for one that is not supported."""
    if match := _FIELD_KEY.fullmatch(path):
        return str((metadata_of(pod).get(match[1]) or {}).get(match[2], ""))
    fields = {
        "metadata.name": key_of(pod).name,
        "metadata.namespace": key_of(pod).namespace,
        "metadata.uid": uid_of(pod),
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.hostIP": "127.0.0.1",
        "status.hostIPs": "127.0.0.1",
        "status.podIP": address,
        "status.podIPs": address,
    }
    for name in ("labels", "annotations"):
        values = metadata_of(pod).get(name) or {}
        fields[f"metadata.{name}"] = "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
    if path not in fields:
        raise ConfigurationError(f"field {path} of the pod is not supported by the process kubelet")
    return str(fields[path])


async def _value_from(item: Manifest, pod: Manifest, read: Read, address: str) -> str | None:
    source = item["valueFrom"]
    if "fieldRef" in source:
        return pod_field(pod, source["fieldRef"]["fieldPath"], address)
    for name, kind in (("secretKeyRef", SECRET), ("configMapKeyRef", CONFIG_MAP)):
        if reference := source.get(name):
            manifest = await _read(read, kind, reference)
            entries = entries_of(manifest) if manifest else {}
            if reference["key"] in entries:
                return entries[reference["key"]].decode(errors="replace")
            if reference.get("optional"):
                return None
            raise ConfigurationError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
    raise ConfigurationError(f"variable {item['name']}: the process kubelet does not support {', '.join(source)}")


async def _read(read: Read, kind: Kind, reference: Manifest) -> Manifest | None:
    manifest = await read(kind, reference["name"])
    if manifest is None and not reference.get("optional"):
        raise ConfigurationError(f'{kind.name.lower()} "{reference["name"]}" not found')
    return manifest
