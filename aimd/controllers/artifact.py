"""The AIMArtifact controller: what it watches and what its decisions are based on (spec/caching.md §7)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from aimd.api.artifact import AIMArtifact
from aimd.controllers.changes import artifact_intent_changed, pod_changed
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.runtime_config import CONFIG_SOURCES, config_of, config_watches, observe_config
from aimd.planning.artifact import plan_artifact
from aimd.planning.artifact_observed import (
    JobRun,
    ObservedArtifact,
    objects_to_explain,
    pods_to_read,
    secret_references,
)
from aimd.planning.download_job import CACHE_NAME, check_size_name, claim_name, download_name
from aimd.planning.kinds import ARTIFACT
from aimd.planning.plan import Plan
from aimd.planning.pod_failures import LOG_LINES
from aimd.planning.settings import ControllerSettings
from aimd.runtime.client import Client
from aimd.runtime.controller import Source, Watch, controlled_by, itself
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.kinds import (
    EVENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
)
from aimd.runtime.model import Key, Kind, Manifest, controller_of, key_of, uid_of
from aimd.runtime.store import Cache

BY_CONFIG = "artifact/runtime-config"
_CHILDREN = (PERSISTENT_VOLUME_CLAIM, JOB, SERVICE_ACCOUNT, ROLE, ROLE_BINDING)


class ArtifactReconciler(KindReconciler[AIMArtifact, ObservedArtifact]):
    """Reconciles AIMArtifacts."""

    name = "artifact"

    def __init__(self, client: Client, cache: Cache, settings: ControllerSettings, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, ARTIFACT, AIMArtifact, clock)
        self.settings = settings

    @property
    def sources(self) -> Sequence[Source]:
        labelled = (Source(kind, label_selector=CACHE_NAME) for kind in (*_CHILDREN, POD))
        return (Source(ARTIFACT, indexes={BY_CONFIG: config_of}), *CONFIG_SOURCES, *labelled)

    @property
    def watches(self) -> Sequence[Watch]:
        return (
            Watch(ARTIFACT, itself, artifact_intent_changed),
            *(Watch(kind, controlled_by(ARTIFACT)) for kind in _CHILDREN),
            Watch(POD, _artifact_of_pod, pod_changed),
            *config_watches(ARTIFACT, BY_CONFIG),
        )

    def plan(self, observed: ObservedArtifact, now: datetime) -> Plan:
        return plan_artifact(observed, now)

    async def observe(self, obj: AIMArtifact) -> ObservedArtifact:
        """From the cache; live only logs and events of what does not explain itself, and Secrets before a Job."""
        observed = ObservedArtifact(
            artifact=obj,
            config=observe_config(self.cache, obj.spec.runtime_config_name, obj.metadata.namespace),
            settings=self.settings,
            claim=self._own(PERSISTENT_VOLUME_CLAIM, obj, claim_name(obj)),
            download=self._run(obj, download_name(obj)),
            check_size=self._run(obj, check_size_name(obj)),
        )
        return replace(
            observed,
            logs=await self._logs_of(pods_to_read(observed)),
            events=await self._events_about(objects_to_explain(observed)),
            missing_secrets=await self._missing_secrets(obj.metadata.namespace, secret_references(observed)),
        )

    def _own(self, kind: Kind, artifact: AIMArtifact, name: str) -> Manifest | None:
        found = self.cache[kind].get(Key(artifact.metadata.namespace, name))
        owner = controller_of(found) if found is not None else None
        return found if owner is not None and owner.get("uid") == artifact.metadata.uid else None

    def _run(self, artifact: AIMArtifact, name: str) -> JobRun:
        job = self._own(JOB, artifact, name)
        return JobRun(job, tuple(self.cache[POD].by_index("owner", uid_of(job)))) if job is not None else JobRun()

    async def _logs_of(self, pods: Iterable[Manifest]) -> dict[str, str]:
        logs: dict[str, str] = {}
        for pod in pods:
            try:
                logs[key_of(pod).name] = await self.client.logs(key_of(pod), tail_lines=LOG_LINES)
            except ApiError:
                continue  # The pod's status has to do.
        return logs

    async def _events_about(self, objects: Iterable[Manifest]) -> list[Manifest]:
        events: list[Manifest] = []
        for item in objects:
            selector = f"involvedObject.uid={uid_of(item)}"
            try:
                events += await self.client.list(EVENT, namespace=key_of(item).namespace, field_selector=selector)
            except ApiError:
                continue
        return events

    async def _missing_secrets(self, namespace: str, references: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """In words; Secrets that may not be read are taken to be there, the pod will tell."""
        missing: list[str] = []
        for name, key in references:
            try:
                secret = await self.client.get(SECRET, Key(namespace, name))
            except NotFound:
                missing.append(f"Secret {name}")
                continue
            except ApiError:
                continue
            if key not in (secret.get("data") or {}):
                missing.append(f"key {key} of Secret {name}")
        return tuple(dict.fromkeys(missing))


def _artifact_of_pod(pod: Manifest, cache: Cache) -> Iterable[Key]:
    """By way of its Job: the label may be shortened. When the Job is gone, that has woken the artifact already."""
    owner = controller_of(pod)
    job = cache[JOB].get(Key(key_of(pod).namespace, str(owner.get("name")))) if owner is not None else None
    return controlled_by(ARTIFACT)(job, cache) if job is not None else ()
