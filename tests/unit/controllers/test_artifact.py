"""What the artifact controller observes. The cache is the real one, filled by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from aimd.api.artifact import AIMArtifact
from aimd.controllers.artifact import artifact_controller, observe_artifact
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.reader import Reader
from aimd.planning.artifact.download_job import check_size_name, claim_names, download_name
from aimd.planning.artifact.observed import LiveClaim, ObservedArtifact
from aimd.planning.kinds import AIM_ARTIFACT, INFERENCE_SERVICE
from aimd.planning.needs import NO_READS
from aimd.planning.settings import ControllerSettings
from aimd.runtime.kinds import JOB, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.store import Cache

Build = Callable[..., KindReconciler[Any, Any]]
SETTINGS = ControllerSettings()
ARTIFACT = AIMArtifact.model_validate(
    {
        "metadata": {"name": "weights", "namespace": "a", "uid": "own"},
        "spec": {"sourceUri": "hf://acme/tiny", "modelId": "acme/tiny"},
    }
)


@pytest.fixture
def cache(build: Build) -> Cache:
    cache = Cache()
    build(artifact_controller(SETTINGS), cache)
    return cache


def put(cache: Cache, kind: Kind, name: str, owner: str = "", version: str = "1", **fields: Any) -> Manifest:
    metadata: Manifest = {"name": name, "uid": f"{kind.name}/{name}", "resourceVersion": version}
    metadata["namespace"] = "a" if kind.namespaced else ""
    if owner:
        reference = {"apiVersion": AIM_ARTIFACT.api_version, "kind": AIM_ARTIFACT.name, "name": "x", "uid": owner}
        metadata["ownerReferences"] = [{**reference, "controller": True}]
    live = {"metadata": metadata, **fields}
    cache[kind].upsert(live)
    return live


def observe(cache: Cache) -> ObservedArtifact:
    return observe_artifact(ARTIFACT, Reader(cache), NO_READS, SETTINGS)


def test_children_with_their_pods_and_what_belongs_to_the_claim(cache: Cache) -> None:
    claim = put(cache, PERSISTENT_VOLUME_CLAIM, claim_names(ARTIFACT)[-1], "own", spec={"storageClassName": "fast"})
    put(cache, STORAGE_CLASS, "fast", allowVolumeExpansion=True)
    download = put(cache, JOB, download_name(ARTIFACT), "own")
    put(cache, JOB, check_size_name(ARTIFACT), "own")
    pod = put(cache, POD, "pod", download["metadata"]["uid"])
    volume = {"persistentVolumeClaim": {"claimName": claim_names(ARTIFACT)[-1]}}
    put(cache, INFERENCE_SERVICE, "user", spec={"predictor": {"volumes": [volume]}})
    found = observe(cache)
    assert (found.claim, found.users) == (LiveClaim(claim, may_grow=True), ("user",))
    assert (found.download.job, tuple(found.download.pods)) == (download, (pod,))
    assert (found.check_size.job is not None, tuple(found.check_size.pods)) == (True, ())


def test_objects_of_others_with_such_names_are_not_its_own(cache: Cache) -> None:
    put(cache, PERSISTENT_VOLUME_CLAIM, claim_names(ARTIFACT)[-1], "other")
    put(cache, JOB, download_name(ARTIFACT))
    found = observe(cache)
    assert (found.claim, found.download.job, found.users) == (None, None, ())


def test_a_claim_that_the_status_names_counts_only_if_the_artifact_controls_it(cache: Cache) -> None:
    """Prove ART-CLM-7: whoever may write the status cannot have a foreign claim mounted, or taken over."""
    named = ARTIFACT.model_copy(
        update={"status": ARTIFACT.status.model_copy(update={"persistent_volume_claim": "postgres-data"})}
    )

    def seen() -> ObservedArtifact:
        return observe_artifact(named, Reader(cache), NO_READS, SETTINGS)

    put(cache, PERSISTENT_VOLUME_CLAIM, "postgres-data")
    put(cache, PERSISTENT_VOLUME_CLAIM, "other", "other")
    derived = claim_names(named)[-1]
    assert (seen().claim, seen().context().claim_name) == (None, derived)
    ours = put(cache, PERSISTENT_VOLUME_CLAIM, derived, "own")
    assert (seen().claim, seen().context().claim_name) == (LiveClaim(ours), derived)
    restored = put(cache, PERSISTENT_VOLUME_CLAIM, "postgres-data", "own", version="2")
    assert (seen().claim, seen().context().claim_name) == (LiveClaim(restored), "postgres-data")
