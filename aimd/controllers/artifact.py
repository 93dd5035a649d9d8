"""The AIMArtifact controller: what it watches and what its decisions are based on."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from aimd.api.artifact import AIMArtifact
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.predicates import artifact_intent_changed, pod_changed
from aimd.controllers.reads import events_about, log_tails
from aimd.controllers.runtime_config import CONFIG_INFORMERS, config_of, config_watches, observe_config
from aimd.planning.artifact.download_job import CACHE_NAME, check_size_name, claim_name, download_name
from aimd.planning.artifact.observed import (
    JobRun,
    ObservedArtifact,
    Reference,
    References,
    objects_to_explain,
    pods_to_read,
    references_to_read,
)
from aimd.planning.artifact.plan import plan_artifact
from aimd.planning.kinds import AIM_ARTIFACT, INFERENCE_SERVICE
from aimd.planning.plan import Plan
from aimd.planning.settings import ControllerSettings
from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.handlers import for_object, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import (
    CONFIG_MAP,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
)
from aimd.runtime.objects import Key, Kind, Manifest, controller_of, key_of, metadata_of, uid_of
from aimd.runtime.store import Cache

BY_CONFIG = "artifact/runtime-config"
BY_CLAIM = "artifact/claim"
_REFERRED = {"Secret": SECRET, "ConfigMap": CONFIG_MAP}
_CHILDREN = (PERSISTENT_VOLUME_CLAIM, JOB, SERVICE_ACCOUNT, ROLE, ROLE_BINDING)


class ArtifactReconciler(KindReconciler[AIMArtifact, ObservedArtifact]):
    """Reconciles AIMArtifacts."""

    name = "artifact"

    def __init__(self, client: Client, cache: Cache, settings: ControllerSettings, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_ARTIFACT, AIMArtifact, clock)
        self.settings = settings

    @property
    def informers(self) -> Sequence[Informer]:
        labelled = (Informer(kind, label_selector=CACHE_NAME) for kind in (*_CHILDREN, POD))
        return (
            Informer(AIM_ARTIFACT, indexes={BY_CONFIG: config_of}),
            *CONFIG_INFORMERS,
            *labelled,
            Informer(STORAGE_CLASS, optional=True),
            Informer(INFERENCE_SERVICE, optional=True, indexes={BY_CLAIM: _claims_of}),
        )

    @property
    def watches(self) -> Sequence[Watch]:
        return (
            Watch(AIM_ARTIFACT, for_object, artifact_intent_changed),
            *(Watch(kind, for_owner(AIM_ARTIFACT)) for kind in _CHILDREN),
            Watch(POD, _artifact_of_pod, pod_changed),
            Watch(INFERENCE_SERVICE, _artifacts_of_user, _claims_changed),
            *config_watches(AIM_ARTIFACT, BY_CONFIG),
        )

    def plan(self, observed: ObservedArtifact, now: datetime) -> Plan:
        return plan_artifact(observed, now)

    async def observe(self, obj: AIMArtifact) -> ObservedArtifact:
        """From the cache; live only logs and events of what does not explain itself, and what a Job refers to."""
        claim = self._own(PERSISTENT_VOLUME_CLAIM, obj, claim_name(obj))
        observed = ObservedArtifact(
            artifact=obj,
            config=observe_config(self.cache, obj.spec.runtime_config_name, obj.metadata.namespace),
            settings=self.settings,
            claim=claim,
            storage_class=self._storage_class(claim),
            users=self._users(claim),
            download=self._run(obj, download_name(obj)),
            check_size=self._run(obj, check_size_name(obj)),
        )
        return replace(
            observed,
            logs=await log_tails(self.client, pods_to_read(observed)),
            events=await events_about(self.client, objects_to_explain(observed, self.clock())),
            references=await self._look_up(obj.metadata.namespace, references_to_read(observed)),
        )

    def _own(self, kind: Kind, artifact: AIMArtifact, name: str) -> Manifest | None:
        found = self.cache[kind].get(Key(artifact.metadata.namespace, name))
        owner = controller_of(found) if found is not None else None
        return found if owner is not None and owner.get("uid") == artifact.metadata.uid else None

    def _run(self, artifact: AIMArtifact, name: str) -> JobRun:
        job = self._own(JOB, artifact, name)
        return JobRun(job, tuple(self.cache[POD].by_index("owner", uid_of(job)))) if job is not None else JobRun()

    def _storage_class(self, claim: Manifest | None) -> Manifest | None:
        name = str((claim.get("spec") or {}).get("storageClassName") or "") if claim is not None else ""
        return self.cache[STORAGE_CLASS].get(Key("", name)) if name else None

    def _users(self, claim: Manifest | None) -> tuple[str, ...]:
        if claim is None:
            return ()
        found = self.cache[INFERENCE_SERVICE].by_index(BY_CLAIM, str(key_of(claim)))
        return tuple(sorted(key_of(item).name for item in found if not metadata_of(item).get("deletionTimestamp")))

    async def _look_up(self, namespace: str, references: Iterable[Reference]) -> References:
        """Each object is read once; what may not be read is taken to be there, the pod will tell (ART-DWN-6,
        OBJ-APL-8)."""
        missing: list[str] = []
        versions: dict[str, str] = {}
        unreadable = False
        objects: dict[tuple[str, str], Manifest | None] = {}
        for kind, name, key in references:
            if (kind, name) not in objects:
                try:
                    objects[kind, name] = await self.client.get(_REFERRED[kind], Key(namespace, name))
                except NotFound:
                    objects[kind, name] = None
                except ApiError:
                    unreadable = True
                    continue
            found = objects[kind, name]
            if found is None:
                missing.append(f"{kind} {name}")
            elif key not in {**(found.get("data") or {}), **(found.get("binaryData") or {})}:
                missing.append(f"key {key} of {kind} {name}")
            else:
                versions[f"{kind}/{name}"] = f"{uid_of(found)}/{metadata_of(found).get('resourceVersion')}"
        text = " ".join(f"{name}={version}" for name, version in sorted(versions.items()))
        digest = hashlib.sha256(text.encode()).hexdigest()[:16] if text and not unreadable else ""
        return References(tuple(dict.fromkeys(missing)), digest)


def _claims_of(inference_service: Manifest) -> Iterable[str]:
    """Claims that an InferenceService mounts, as namespaced keys."""
    namespace = key_of(inference_service).namespace
    predictor = (inference_service.get("spec") or {}).get("predictor") or {}
    for volume in predictor.get("volumes") or ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if name:
            yield str(Key(namespace, str(name)))


def _claims_changed(before: Manifest | None, after: Manifest | None) -> bool:
    if before is None or after is None or metadata_of(after).get("deletionTimestamp"):
        return True
    return sorted(_claims_of(before)) != sorted(_claims_of(after))


def _artifacts_of_user(inference_service: Manifest, cache: Cache) -> Iterable[Key]:
    for claim in _claims_of(inference_service):
        namespace, _, name = claim.partition("/")
        found = cache[PERSISTENT_VOLUME_CLAIM].get(Key(namespace, name))
        yield from for_owner(AIM_ARTIFACT)(found, cache) if found is not None else ()


def _artifact_of_pod(pod: Manifest, cache: Cache) -> Iterable[Key]:
    """By way of its Job: the label may be shortened. When the Job is gone, that has woken the artifact already."""
    owner = controller_of(pod)
    job = cache[JOB].get(Key(key_of(pod).namespace, str(owner.get("name")))) if owner is not None else None
    return for_owner(AIM_ARTIFACT)(job, cache) if job is not None else ()
