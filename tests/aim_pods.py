"""What the oracle of AIM containers needs to know, read from pods as aimd renders them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from aimd.runtime.objects import Manifest
from tests.aim_runtime_oracle import NO_GPU, Accelerators, Container, Image, Refusal, start

SECRET = "<secret>"
"""Stands for the value of a variable that comes from a Secret."""


def container_of(
    pod: Mapping[str, Any],
    config_maps: Mapping[str, Mapping[str, str]],
    claims: Mapping[str, str],
    accelerators: Accelerators = NO_GPU,
) -> Container:
    """What the first container of a pod spec has.

    `config_maps` are the contents of ConfigMaps by name, `claims` what the volumes of claims hold.
    """
    container = pod["containers"][0]
    files: dict[str, Mapping[str, str]] = {}
    weights: dict[str, str] = {}
    volumes = {volume["name"]: volume for volume in pod.get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        volume, path = volumes[mount["name"]], mount["mountPath"]
        if "configMap" in volume:
            files[path] = config_maps[volume["configMap"]["name"]]
        elif "persistentVolumeClaim" in volume:
            weights[path] = claims[volume["persistentVolumeClaim"]["claimName"]]
    return Container(environment(container), files, weights, accelerators)


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a container, each of which must be there only once."""
    variables: list[Mapping[str, Any]] = container.get("env") or []
    found = {item["name"]: str(item.get("value", "")) if "valueFrom" not in item else SECRET for item in variables}
    assert len(found) == len(variables), f"a variable is there twice: {[item['name'] for item in variables]}"
    return found


def gpu_count(pod: Mapping[str, Any], resource: str = "amd.com/gpu") -> int:
    """How many GPUs the first container requests."""
    return int(((pod["containers"][0].get("resources") or {}).get("limits") or {}).get(resource, 0))


def fits(affinity: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels satisfies what a pod requires of nodes."""
    required = ((affinity or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms: Sequence[Mapping[str, Any]] = required.get("nodeSelectorTerms") or ()
    return not terms or any(all(_meets(item, labels) for item in term["matchExpressions"]) for term in terms)


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            raise AssertionError(f"aimd renders no {operator}")


def dry_run(image: Image, container: Container) -> tuple[int, str]:
    """The exit code and the log of a discovery Job's container."""
    found = start(image, container)
    if isinstance(found, Refusal):
        if found.text.startswith("Configuration error"):
            return 1, f"aim_runtime - ERROR - {found.text}"
        cause = found.text.removeprefix("Unexpected error: ")
        told = container.env.get("AIM_LOG_LEVEL", "INFO") in ("DEBUG", "INFO", "WARNING")
        warning = f"aim_runtime - WARNING - No compatible profile found or error occurred: {cause}\n" if told else ""
        return 0, f"{warning}[]"
    path = found.profile.path
    env = {**image.env, **container.env}
    model = found.profile.model_id or env.get("AIM_MODEL_ID") or env["AIM_ID"]
    text = _file(image, container, path)
    entry: Manifest = {
        "filename": path.rsplit("/", 1)[-1],
        "profile": yaml.safe_load(text),
        "models": [{"name": model, "source": f"hf://{model}", "size_gb": None}],
    }
    if image.generation not in ("0.8", "0.9"):
        entry |= {"path": f"/workspace/aim-runtime/profiles/{path}", "script": "#!/bin/bash"}
    return 0, json.dumps([entry], indent=2)


def _file(image: Image, container: Container, path: str) -> str:
    for mount, contents in container.files.items():
        for name, text in contents.items():
            if f"{mount}/{name}".endswith(f"/profiles/{path}"):
                return text
    return image.files[path]
