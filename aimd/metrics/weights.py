"""Gauges of weights: the artifacts that download them, and the volumes that hold them."""

from aimd.metrics.figures import download_bytes, scheme_of, whole_quantity
from aimd.metrics.fleet import Fleet
from aimd.metrics.gauges import Gauge, Series, summed
from aimd.planning.kinds import AIM_ARTIFACT
from aimd.planning.objects import requested_storage, storage_class_of
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Manifest, key_of

_ARTIFACT = ("namespace", "name", "scheme")


def _expected(fleet: Fleet) -> Series:
    for artifact in fleet.objects(AIM_ARTIFACT):
        yield _labels(artifact), download_bytes(artifact).expected


def _downloaded(fleet: Fleet) -> Series:
    for artifact in fleet.objects(AIM_ARTIFACT):
        yield _labels(artifact), download_bytes(artifact).downloaded


def _labels(artifact: Manifest) -> tuple[str, ...]:
    key = key_of(artifact)
    return key.namespace, key.name, scheme_of(artifact)


def _volumes(fleet: Fleet) -> Series:
    """Yield 1 for each claim, labeled as kubelet labels what it reports about volumes, so that they can be joined."""
    for claim in fleet.objects(PERSISTENT_VOLUME_CLAIM):
        yield (key_of(claim).namespace, key_of(claim).name), 1


def _requested_storage(fleet: Fleet) -> Series:
    return summed(
        ((key_of(claim).namespace, storage_class_of(claim)), whole_quantity(requested_storage(claim)))
        for claim in fleet.objects(PERSISTENT_VOLUME_CLAIM)
    )


GAUGES = (
    Gauge("aimd_artifact_expected_bytes", "Size of the weights.", _ARTIFACT, _expected, per_object=True),
    Gauge("aimd_artifact_downloaded_bytes", "Bytes downloaded so far.", _ARTIFACT, _downloaded, per_object=True),
    Gauge(
        "aimd_cache_volume",
        "1 for a volume with weights.",
        ("namespace", "persistentvolumeclaim"),
        _volumes,
        per_object=True,
    ),
    Gauge(
        "aimd_cache_requested_bytes",
        "Storage that volumes with weights request.",
        ("namespace", "storage_class"),
        _requested_storage,
    ),
)
