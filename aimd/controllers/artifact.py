"""The AIMArtifact controller: what it watches and what its decisions are based on."""

from collections.abc import Sequence

from aimd.api.artifact import AIMArtifact
from aimd.controllers.pipeline import Definition
from aimd.controllers.predicates import artifact_intent_changed
from aimd.controllers.reader import Reader
from aimd.controllers.relation import Children
from aimd.controllers.relations import (
    ARTIFACT_CLAIM,
    ARTIFACT_JOB,
    ARTIFACT_POD,
    ARTIFACT_STORAGE_CLASS,
    ARTIFACT_TIES,
    ARTIFACT_USER,
)
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.planning.artifact.download_job import check_size_name, claim_names, download_name
from aimd.planning.artifact.needs import with_reads
from aimd.planning.artifact.observed import JobRun, LiveClaim, ObservedArtifact
from aimd.planning.artifact.plan import plan_artifact
from aimd.planning.kinds import AIM_ARTIFACT, INFERENCE_SERVICE
from aimd.planning.labels import ARTIFACT_LABEL
from aimd.planning.needs import Reads
from aimd.planning.objects import allows_expansion, is_being_deleted, is_controlled_by
from aimd.planning.settings import ControllerSettings
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import JOB, PERSISTENT_VOLUME_CLAIM, POD, ROLE, ROLE_BINDING, SERVICE_ACCOUNT, STORAGE_CLASS
from aimd.runtime.objects import Manifest, key_of

INFORMERS = (
    Informer(AIM_ARTIFACT),
    *CONFIG_INFORMERS,
    *(
        Informer(kind, label_selector=ARTIFACT_LABEL)
        for kind in (PERSISTENT_VOLUME_CLAIM, JOB, SERVICE_ACCOUNT, ROLE, ROLE_BINDING, POD)
    ),
    Informer(STORAGE_CLASS, optional=True),
    Informer(INFERENCE_SERVICE, optional=True),
)


def artifact_controller(settings: ControllerSettings) -> Definition[AIMArtifact, ObservedArtifact]:
    """Return the controller of AIMArtifact."""

    def observe(artifact: AIMArtifact, _live: Manifest, reader: Reader, reads: Reads) -> ObservedArtifact:
        return observe_artifact(artifact, reader, reads, settings)

    return Definition(
        name="artifact",
        kind=AIM_ARTIFACT,
        observe=observe,
        plan=plan_artifact,
        informers=INFORMERS,
        ties=ARTIFACT_TIES,
        own_changes=artifact_intent_changed,
    )


def observe_artifact(
    artifact: AIMArtifact, reader: Reader, reads: Reads, settings: ControllerSettings
) -> ObservedArtifact:
    """Return an artifact and what its plan depends on."""
    owned = _own(reader, ARTIFACT_CLAIM, artifact)
    claim = next((owned[name] for name in claim_names(artifact) if name in owned), None)
    jobs = _own(reader, ARTIFACT_JOB, artifact)
    claims = (claim,) if claim is not None else ()
    namespace = artifact.metadata.namespace
    storage_class = ARTIFACT_STORAGE_CLASS.of(reader, claims, namespace).first
    observed = ObservedArtifact(
        artifact=artifact,
        config=observe_config(reader, artifact.spec.runtime_config_name, namespace),
        settings=settings,
        claim=LiveClaim(claim, may_grow=allows_expansion(storage_class)) if claim is not None else None,
        users=_users(ARTIFACT_USER.of(reader, claims, namespace).objects),
        download=_run(reader, jobs.get(download_name(artifact))),
        check_size=_run(reader, jobs.get(check_size_name(artifact))),
    )
    return with_reads(observed, reads)


def _own(reader: Reader, tie: Children[AIMArtifact, Manifest], artifact: AIMArtifact) -> dict[str, Manifest]:
    """Return the children by name, without objects of others that have such a name."""
    found = tie.find(reader, artifact).objects
    return {key_of(item).name: item for item in found if is_controlled_by(item, artifact.metadata.uid)}


def _run(reader: Reader, job: Manifest | None) -> JobRun:
    if job is None:
        return JobRun()
    return JobRun(job, ARTIFACT_POD.of(reader, (job,), key_of(job).namespace).objects)


def _users(inference_services: Sequence[Manifest]) -> tuple[str, ...]:
    return tuple(sorted(key_of(item).name for item in inference_services if not is_being_deleted(item)))
