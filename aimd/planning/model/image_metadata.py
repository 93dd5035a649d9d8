"""Metadata in the labels of an AIM image.

The status keeps the labels unchanged, so what was left out of them can be reported at any time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson

from aimd.api.model import ImageMetadata, ModelMetadata, OciMetadata, RecommendedDeployment
from aimd.planning.environment import AIM_BASE_IMAGE_REF
from aimd.planning.image_inspection import LabelsUnreadable
from aimd.planning.model.python_literal import literal_as_json

PREFIXES: Final = ("com.amd.aim.", "org.amd.silogen.")
DEPLOYMENTS: Final = "model.recommendedDeployments"
MOST_BYTES: Final = 256 * 1024
"""Of all labels together; etcd takes objects of 1.5 MiB, and the status holds the labels and what they say
(MDL-LBL-3)."""
MOST_DEPLOYMENTS: Final = 256
NO_ENV: Final[Mapping[str, str]] = MappingProxyType({})

_OCI_PREFIX = "org.opencontainers.image."
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_MOST_GPUS = 2**31 - 1
_TEXTS = ("gpuModel", "precision", "metric", "profileId", "description")
_SHOWN = 60
_LONGEST_REFERENCE = 512


@dataclass(frozen=True, slots=True)
class LabelsRead:
    """Metadata in the labels; `rejected` names each recommended deployment that was left out, and says why."""

    metadata: ImageMetadata
    rejected: tuple[str, ...] = ()


def read_labels(labels: Mapping[str, str], env: Mapping[str, str] = NO_ENV) -> LabelsRead | LabelsUnreadable:
    """Return the metadata in an image's labels and environment (MDL-STA-6), empty for an image without any.

    Never raises.
    """
    if sum(len(text.encode(errors="replace")) for pair in labels.items() for text in pair) > MOST_BYTES:
        return LabelsUnreadable(f"The image's labels are longer than {MOST_BYTES} bytes: shorten them")
    found = _deployments(_aim_label(labels, DEPLOYMENTS))
    if isinstance(found, LabelsUnreadable):
        return found
    deployments, rejected = found
    oci = {name: labels.get(_OCI_PREFIX + name, "") for name in OciMetadata.model_fields}
    metadata = ImageMetadata(
        model=_model(labels, deployments),
        oci=OciMetadata(**oci),
        original_labels=dict(sorted(labels.items())),
        base_image_ref=env.get(AIM_BASE_IMAGE_REF, "").strip()[:_LONGEST_REFERENCE],
    )
    return LabelsRead(metadata, rejected)


def _model(labels: Mapping[str, str], deployments: tuple[RecommendedDeployment, ...]) -> ModelMetadata:
    token_required = _aim_label(labels, "hfToken.required")
    return ModelMetadata(
        canonical_name=_aim_label(labels, "model.canonicalName"),
        source=_aim_label(labels, "model.source"),
        tags=_items(_aim_label(labels, "model.tags")),
        versions=_items(_aim_label(labels, "model.versions")),
        variants=_items(_aim_label(labels, "model.variants")),
        hf_token_required=True if token_required in _TRUE else None,
        title=_aim_label(labels, "title"),
        description_full=_aim_label(labels, "description.full"),
        release_notes=_aim_label(labels, "release.notes"),
        recommended_deployments=deployments,
    )


def _aim_label(labels: Mapping[str, str], suffix: str) -> str:
    """Return the label under the new prefix, or under the old one if that is missing or empty (MDL-LBL-1).

    Blanks and line breaks around it are left out: a folded text of YAML ends with a line break.
    """
    return next((value for prefix in PREFIXES if (value := labels.get(prefix + suffix, "").strip())), "")


def _items(text: str) -> tuple[str, ...]:
    return tuple(item for part in text.split(",") if (item := part.strip()))


def _deployments(text: str) -> tuple[tuple[RecommendedDeployment, ...], tuple[str, ...]] | LabelsUnreadable:
    """Return the deployments in an array, or in objects separated by commas (MDL-LBL-2).

    They are JSON, or as Python prints them: the build of AIM images makes such texts of metadata.
    """
    stripped = text.strip()
    if not stripped:
        return (), ()
    listed = stripped if stripped.startswith("[") else f"[{stripped}]"
    for candidate in (listed, literal_as_json(listed)):
        try:
            items = orjson.loads(candidate.encode(errors="replace"))
            break
        except orjson.JSONDecodeError:
            continue
    else:
        return LabelsUnreadable(
            f"The image's label {DEPLOYMENTS} is no list of objects, but starts with {stripped[:_SHOWN]!r}: "
            "correct the label and build the image again, or describe the image in spec.imageMetadata"
        )
    if len(items) > MOST_DEPLOYMENTS:
        return LabelsUnreadable(f"The image's label {DEPLOYMENTS} has more than {MOST_DEPLOYMENTS} entries: shorten it")
    read = [_deployment(position, item) for position, item in enumerate(items)]
    good = tuple(entry for entry in read if isinstance(entry, RecommendedDeployment))
    return good, tuple(entry for entry in read if isinstance(entry, str))


def _deployment(position: int, item: object) -> RecommendedDeployment | str:
    """Return an entry, or why it was left out. Names match in any case, as in Go; null counts as missing."""
    where = f"{DEPLOYMENTS}[{position}]"
    if not isinstance(item, dict):
        return f"{where} is no object"
    fields = {name.lower(): value for name, value in item.items() if value is not None}
    count = fields.get("gpucount", 0)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST_GPUS:
        return f"{where}.gpuCount is no whole number of GPUs"
    wrong = next(_no_texts(fields), None)
    if wrong is not None:
        return f"{where}.{wrong} is no text"
    texts = {name: fields.get(name.lower(), "") for name in _TEXTS}
    return RecommendedDeployment.model_validate({**texts, "gpuCount": count})


def _no_texts(fields: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in _TEXTS if not isinstance(fields.get(name.lower(), ""), str))
