"""Live reads about an artifact: logs, Events, and the Secrets and ConfigMaps that its environment refers to."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from aimd.planning.artifact.observed import JobRun, ObservedArtifact, References, stated_size
from aimd.planning.environment import merge_env
from aimd.planning.jobs import JobPhase
from aimd.planning.needs import MOST_LIVE_READS, Need, ReadEvents, ReadLog, ReadReference, Reads, Refused
from aimd.planning.objects import conditions_of, part, phase_of, text
from aimd.planning.pod_failures import LOG_LINES, needs_log
from aimd.planning.pods import STARTING_SECONDS, needs_events
from aimd.planning.time import age_seconds
from aimd.runtime.kinds import CONFIG_MAP, SECRET
from aimd.runtime.objects import Key, Manifest, key_of, uid_of

_KINDS = {"Secret": SECRET, "ConfigMap": CONFIG_MAP}
_SOURCES = (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef"))
_CHANGING = frozenset({JobPhase.ABSENT, JobPhase.FAILED})


class EnvReference(NamedTuple):
    """A key of a Secret or ConfigMap that the environment refers to."""

    kind: str
    name: str
    key: str


def artifact_needs(observed: ObservedArtifact, now: datetime) -> tuple[Need, ...]:
    """Return the live reads that a decision about the artifact depends on."""
    return (
        *(ReadLog(key_of(pod), LOG_LINES) for pod in pods_to_read(observed)),
        *(ReadEvents(key_of(item), uid_of(item)) for item in objects_to_explain(observed, now)),
        *_reference_needs(observed),
    )


def with_reads(observed: ObservedArtifact, reads: Reads) -> ObservedArtifact:
    """Return what was observed together with what was read."""
    logs, events = reads.logs(), reads.events()
    return replace(
        observed,
        claim=replace(observed.claim, events=events) if observed.claim is not None else None,
        download=replace(observed.download, logs=logs, events=events),
        check_size=replace(observed.check_size, logs=logs, events=events),
        references=_references(observed, reads),
    )


def pods_to_read(observed: ObservedArtifact) -> tuple[Manifest, ...]:
    """Return the pods whose log has to be read: failed ones that do not say why, and a finished size check."""
    return tuple(pod for run in (observed.download, observed.check_size) for pod in _unexplained(run, observed))


def _unexplained(run: JobRun, observed: ObservedArtifact) -> Iterator[Manifest]:
    pod = run.newest_pod
    if pod is None or run.phase in (JobPhase.ABSENT, JobPhase.ENDING):
        return
    failed = phase_of(pod) == "Failed" and needs_log(pod, observed.context().exit_codes)
    answered = phase_of(pod) == "Succeeded" and run is observed.check_size and not stated_size(observed.artifact)
    if failed or answered:
        yield pod


def objects_to_explain(observed: ObservedArtifact, now: datetime) -> tuple[Manifest, ...]:
    """Return the objects that have been waiting for some seconds without saying why (OBJ-POD-3).

    The server has no index of Events: each read costs it a walk through all Events of the namespace.
    """
    return tuple(item for item in _waiting_objects(observed) if age_seconds(item, now) >= STARTING_SECONDS)


def explained_after(observed: ObservedArtifact, now: datetime) -> float | None:
    """Return in how many seconds the next of those objects is old enough; None when nothing waits for that."""
    ages = (age_seconds(item, now) for item in _waiting_objects(observed))
    return min((STARTING_SECONDS - age for age in ages if age < STARTING_SECONDS), default=None)


def _waiting_objects(observed: ObservedArtifact) -> list[Manifest]:
    found: list[Manifest] = []
    if observed.is_complete:
        return found
    claim = observed.claim.manifest if observed.claim is not None else None
    if claim is not None and (phase_of(claim) == "Pending" or _is_resizing(claim)):
        found.append(claim)
    for run in (observed.download, observed.check_size):
        pod = run.newest_pod
        if run.phase is not JobPhase.RUNNING or run.job is None:
            continue
        if pod is None:
            found.append(run.job)
        elif needs_events(pod):
            found.append(pod)
    return found


def _is_resizing(claim: Manifest) -> bool:
    return any("Resiz" in condition.type for condition in conditions_of(claim))


def references_to_read(observed: ObservedArtifact) -> tuple[EnvReference, ...]:
    """Return the references to look up: before a Job is made, and while it waits for what may cure its failure.

    Optional references need not exist, and are left out (ART-DWN-6).
    """
    run = observed.download if stated_size(observed.artifact) else observed.check_size
    if observed.is_complete or run.phase not in _CHANGING:
        return ()
    found: list[EnvReference] = []
    for variable in merge_env(observed.config.spec.env, observed.artifact.spec.env):
        for kind, source in _SOURCES:
            reference = part(variable.value_from or {}, source)
            if text(reference, "name") and not reference.get("optional"):
                found.append(EnvReference(kind, text(reference, "name"), text(reference, "key")))
    return tuple(dict.fromkeys(found))


def _reference_needs(observed: ObservedArtifact) -> tuple[ReadReference, ...]:
    """Return the lookups of references; none if they are too many (OBJ-BND-3)."""
    needs = _all_reference_needs(observed)
    return needs if len(needs) <= MOST_LIVE_READS else ()


def _all_reference_needs(observed: ObservedArtifact) -> tuple[ReadReference, ...]:
    """Return one need for each referenced object, with all keys that are referred to."""
    keys: dict[tuple[str, str], list[str]] = {}
    for kind, name, key in references_to_read(observed):
        keys.setdefault((kind, name), []).append(key)
    namespace = observed.artifact.metadata.namespace
    return tuple(
        ReadReference(_KINDS[kind], Key(namespace, name), tuple(wanted)) for (kind, name), wanted in keys.items()
    )


def _references(observed: ObservedArtifact, reads: Reads) -> References:
    """Return what is missing, in words, and a digest of the versions of the rest.

    What cannot be read is assumed to exist: the pod will fail if it does not (OBJ-APL-8).
    """
    if (number := len(_all_reference_needs(observed))) > MOST_LIVE_READS:
        return References(too_many=number)
    missing: list[str] = []
    versions: dict[str, str] = {}
    refused = False
    for need in _reference_needs(observed):
        answer, what = reads.reference(need), f"{need.kind.name} {need.object.name}"
        if answer is None or isinstance(answer, Refused):
            refused = refused or answer is not None
        elif not answer.exists:
            missing.append(what)
        else:
            missing += [f"key {key} of {what}" for key in answer.missing_keys]
            versions[f"{need.kind.name}/{need.object.name}"] = answer.version
    return References(tuple(missing), "" if refused else _digest(f"{name}={v}" for name, v in sorted(versions.items())))


def _digest(versions: Iterable[str]) -> str:
    joined = " ".join(versions)
    return hashlib.sha256(joined.encode()).hexdigest()[:16] if joined else ""
