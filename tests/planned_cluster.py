"""A cluster in memory, in which the controllers' own decisions are applied until nothing changes.

The real controllers observe and plan; there is no API server, no time and no process. Applying an object stores it as
rendered. In place of the rest of a cluster: images are inspected from a table, discovery Jobs print what the oracle of
AIM containers says, and weights are downloaded at once.
"""

import copy
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import anyio

from aimd.api.artifact import AIMArtifact
from aimd.controllers.all import build_reconcilers
from aimd.controllers.pipeline import KindReconciler
from aimd.planning.artifact.download_job import claim_names
from aimd.planning.component import may_apply
from aimd.planning.conditions import summarize
from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE, INFERENCE_SERVICE
from aimd.planning.objects import conditions_of, generation_of
from aimd.planning.plan import Plan
from aimd.planning.settings import ControllerSettings
from aimd.registry.contents import Content, Contents
from aimd.registry.credentials import Keyring
from aimd.registry.failures import Problem, RegistryFailure, failure
from aimd.registry.images import Inspection
from aimd.registry.profile_files import ProfileFiles
from aimd.registry.reference import ImageReference, parse_reference
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import CONFIG_MAP, JOB, NODE, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Applied, Desired, Key, Kind, Manifest, key_of
from aimd.runtime.store import Cache, Store
from tests.aim_pods import container_of, dry_run, fits, gpu_count
from tests.aim_runtime_oracle import Accelerators, Image, Refusal, Start, start

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACE = "ml-team"
ROUNDS = 30
"""More than any chain of objects needs; a cluster that changes on has a loop."""


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """An image in a registry: what the runtime in it has, its labels, and why its profile files cannot be read."""

    image: Image
    labels: Mapping[str, str] = field(default_factory=dict)
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A node: the model of its GPUs, and the labels that show it."""

    model: str
    labels: Mapping[str, str]
    count: int = 8


MI300X = Node("MI300X", {"amd.com/gpu.device-id": "74a1", "amd.com/gpu.vram": "192G"})
MI325X = Node("MI325X", {"amd.com/gpu.device-id": "74a5", "amd.com/gpu.vram": "256G"})


class PlannedCluster:
    """Objects, and the reconcilers that plan them."""

    def __init__(self, images: Mapping[str, PublishedImage], nodes: tuple[Node, ...] = (MI300X,)) -> None:
        self.images = images
        self.nodes = nodes
        self.jobs: list[Manifest] = []
        """Every discovery Job that was ever created."""
        self.rollouts: list[tuple[tuple[Node, Start | Refusal], ...]] = []
        """What each version of the InferenceService starts, of all that were ever applied."""
        self._version = 0
        self._logs: dict[Key, str] = {}
        self._cache = Cache()
        server = cast(Any, _Server(self._cache, self._logs))
        registries = cast(Any, _Registries(images))
        found = build_reconcilers(server, self._cache, ControllerSettings(), registries)
        self._all = found
        self._reconcilers = [item for item in found if item.kind != AIM_ARTIFACT]
        for reconciler in found:
            self._cache.keep_fields_of(reconciler.field_manager)
            for informer in reconciler.informers:
                self._store(informer.kind)
                for name, function in informer.indexes.items():
                    self._cache[informer.kind].add_index(name, function)
        for kind in (CONFIG_MAP, JOB, POD, PERSISTENT_VOLUME_CLAIM, NODE):
            self._store(kind)
        for number, node in enumerate(nodes):
            self.put(NODE, {"metadata": {"name": f"node-{number}", "labels": dict(node.labels)}})

    def put(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """Store an object, as a user would create it."""
        self._write(kind, copy.deepcopy({"apiVersion": kind.api_version, "kind": kind.name, **manifest}))

    def user_applies(self, kind: Kind, name: str, spec: Mapping[str, Any], **metadata: Any) -> None:
        """Store a user's object of the namespace."""
        own = {"name": name, **({"namespace": NAMESPACE} if kind.namespaced else {}), **metadata}
        self.put(kind, {"metadata": own, "spec": spec})

    def get(self, kind: Kind, name: str) -> Manifest | None:
        """The object of this name."""
        return self._cache[kind].get(Key(NAMESPACE if kind.namespaced else "", name))

    def all(self, kind: Kind) -> tuple[Manifest, ...]:
        """All objects of a kind."""
        return tuple(self._cache[kind].list())

    def user_edits(self, kind: Kind, name: str, **spec: Any) -> None:
        """Change fields of the spec of an object of the namespace."""
        live = self.get(kind, name)
        assert live is not None
        metadata = {**live["metadata"], "generation": live["metadata"]["generation"] + 1}
        self._write(kind, {**live, "metadata": metadata, "spec": {**live["spec"], **spec}})

    @property
    def stores(self) -> tuple[Store, ...]:
        """The store of each kind."""
        return tuple(self._cache.stores)

    def plans(self) -> Iterator[tuple[Kind, Manifest, Coroutine[Any, Any, Plan]]]:
        """What each controller decides about each of its objects, with the artifacts' own."""
        for reconciler in self._all:
            for live in self._cache[reconciler.kind].list():
                yield reconciler.kind, live, reconciler.decide(live, NOW)

    @contextmanager
    def other(self, kind: Kind, manifest: Manifest) -> Iterator[None]:
        """Have another version of an object meanwhile."""
        before = self._cache[kind].get(key_of(manifest))
        assert before is not None
        self._write(kind, manifest)
        try:
            yield
        finally:
            self._write(kind, copy.deepcopy(before))

    def settle(self, *, services_first: bool = False) -> None:
        """Reconcile every object until nothing changes; each time services come last, or first."""
        anyio.run(self._settle, -1 if services_first else 1)

    async def _settle(self, step: int) -> None:
        for _ in range(ROUNDS):
            before = self._version
            for reconciler in self._reconcilers[::step]:
                for live in self._cache[reconciler.kind].list():
                    await self._reconcile(reconciler, live)
            for job in self._cache[JOB].list():
                self._run(job)
            for artifact in self._cache[AIM_ARTIFACT].list():
                self._download(artifact)
            if self._version == before:
                return
        raise AssertionError("the cluster never comes to rest")

    async def _reconcile(self, reconciler: KindReconciler[Any, Any], live: Manifest) -> None:
        plan = await reconciler.decide(live, NOW)
        if may_apply(plan.components):
            for desired in plan.desired:
                self._apply(desired, reconciler.field_manager)
            for deletion in plan.deletions:
                self._version += 1
                self._cache[deletion.kind].forget(deletion.key, deletion.uid)
        self._report(reconciler, live, plan)

    def _report(self, reconciler: KindReconciler[Any, Any], live: Manifest, plan: Plan) -> None:
        summary = summarize(
            plan.components,
            applied=Applied(),
            previous=conditions_of(live),
            generation=generation_of(live),
            now=NOW,
            extra_conditions=plan.extra_conditions,
        )
        status = {**(live.get("status") or {}), **plan.status, "observedGeneration": generation_of(live)}
        if reconciler.definition.status_word is not None:
            status["status"] = reconciler.definition.status_word(summary.state)
        status["conditions"] = [
            {
                "type": item.type,
                "status": item.status,
                "reason": str(item.reason),
                "message": item.message,
                "lastTransitionTime": item.last_transition_time,
            }
            for item in summary.conditions
        ]
        kept = {name: value for name, value in status.items() if value is not None}
        if kept != live.get("status"):
            self._write(reconciler.kind, {**live, "status": kept})

    def _apply(self, desired: Desired, manager: str) -> None:
        self._store(desired.kind)
        live = self._cache[desired.kind].get(desired.key) or {}
        wanted = copy.deepcopy(desired.manifest)
        known = live.get("metadata") or {}
        fields = [{"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {}}}]
        metadata = {**known, **wanted["metadata"], "managedFields": fields}
        new = {**live, **wanted, "metadata": metadata}
        parts = ("spec", "data")
        changed = any(new.get(part) != live.get(part) for part in parts)
        same_words = all(new["metadata"].get(name) == known.get(name) for name in ("labels", "annotations"))
        if changed or not same_words:
            metadata["generation"] = known.get("generation", 0) + changed
            self._write(desired.kind, new)
            if desired.kind == JOB and not live:
                self.jobs.append(new)
            if desired.kind == INFERENCE_SERVICE:
                self.rollouts.append(tuple(self.starts()))

    def _write(self, kind: Kind, manifest: Manifest) -> None:
        self._version += 1
        metadata = {
            "uid": f"{kind.name}-{manifest['metadata']['name']}",
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **manifest["metadata"],
            "resourceVersion": str(self._version),
        }
        self._cache[kind].upsert({**manifest, "metadata": metadata})

    def _store(self, kind: Kind) -> None:
        if kind not in self._cache:
            self._cache.add(Store(kind, {})).synced = True

    # What runs beside the controllers.

    def _run(self, job: Manifest) -> None:
        """Run a discovery Job: its pod ends at once."""
        if (job.get("status") or {}).get("conditions"):
            return
        template = job["spec"]["template"]
        pod = template["spec"]
        key = key_of(job)
        code, log = dry_run(
            self.images[pod["containers"][0]["image"]].image, container_of(pod, self._config_maps(key.namespace), {})
        )
        end, phase = ("Complete", "Succeeded") if code == 0 else ("Failed", "Failed")
        reason = {} if code == 0 else {"reason": "BackoffLimitExceeded", "message": "Job has reached the limit"}
        condition = {"type": end, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", **reason}
        labels = {**(template["metadata"].get("labels") or {}), "job-name": key.name}
        owner = {"kind": "Job", "name": key.name, "uid": job["metadata"]["uid"], "controller": True}
        terminated = {"name": pod["containers"][0]["name"], "state": {"terminated": {"exitCode": code}}}
        metadata = {
            "name": f"{key.name}-0",
            "namespace": key.namespace,
            "labels": labels,
            "ownerReferences": [{**owner, "apiVersion": "batch/v1"}],
        }
        self._logs[Key(key.namespace, f"{key.name}-0")] = log
        self.put(POD, {"metadata": metadata, "status": {"phase": phase, "containerStatuses": [terminated]}})
        self._write(JOB, {**job, "status": {"conditions": [condition]}})

    def _download(self, artifact: Manifest) -> None:
        if not artifact.get("status"):
            claim = claim_names(AIMArtifact.model_validate(artifact))[-1]
            self.user_applies(PERSISTENT_VOLUME_CLAIM, claim, {})
            ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}
            status = {"status": "Ready", "persistentVolumeClaim": claim, "conditions": [ready]}
            self._write(AIM_ARTIFACT, {**artifact, "status": status})

    def _config_maps(self, namespace: str) -> dict[str, Mapping[str, str]]:
        found = self._cache[CONFIG_MAP].list(namespace)
        return {item["metadata"]["name"]: item["data"] for item in found}

    # What became of a service.

    def predictor(self) -> Manifest | None:
        """The predictor of the only InferenceService, None while there is none."""
        found = self.all(INFERENCE_SERVICE)
        assert len(found) <= 1
        return cast(Manifest, found[0]["spec"]["predictor"]) if found else None

    def starts(self) -> Iterator[tuple[Node, Start | Refusal]]:
        """What the predictor's container does on each node that it may run on."""
        pod = self.predictor()
        assert pod is not None, "the service has no InferenceService"
        image = self.images[pod["containers"][0]["image"]].image
        artifacts = self.all(AIM_ARTIFACT)
        claims = {item["status"]["persistentVolumeClaim"]: item["spec"]["sourceUri"] for item in artifacts}
        count = gpu_count(pod)
        for node in self.nodes:
            if fits(pod.get("affinity"), node.labels) and count <= node.count:
                seen = Accelerators(node.model, count)
                yield node, start(image, container_of(pod, self._config_maps(NAMESPACE), claims, seen))

    def conditions(self, kind: Kind = AIM_SERVICE) -> dict[str, tuple[str, str, str]]:
        """Status, reason and message of the conditions of the only object of a kind, or of the service."""
        (live,) = self.all(kind)
        return {
            item["type"]: (item["status"], item["reason"], item["message"])
            for item in (live.get("status") or {}).get("conditions") or ()
        }


@dataclass(frozen=True, slots=True)
class _Server:
    """The part of an API server that live reads ask."""

    cache: Cache
    logs_of: Mapping[Key, str]

    async def get(self, kind: Kind, key: Key, **_options: Any) -> Manifest:
        found = self.cache[kind].get(key) if kind in self.cache else None
        if found is None:
            raise NotFound(f"{kind.name} {key} not found", status=404)
        return found

    async def list(
        self, kind: Kind, *, namespace: str = "", label_selector: str = "", **_options: Any
    ) -> tuple[Manifest, ...]:
        wanted = dict(part.split("=") for part in label_selector.split(",") if "=" in part)
        found = self.cache[kind].list(namespace) if kind in self.cache else ()
        return tuple(item for item in found if wanted.items() <= (item["metadata"].get("labels") or {}).items())

    async def logs(self, pod: Key, **_options: Any) -> str:
        return self.logs_of[pod]


@dataclass(frozen=True, slots=True)
class _Registries:
    """Answers inspections from a table of images."""

    images: Mapping[str, PublishedImage]

    async def inspect(
        self, reference: ImageReference, _keyring: Keyring, contents: Contents
    ) -> Inspection | RegistryFailure:
        by_reference = {str(parse_reference(name)): image for name, image in self.images.items()}
        found = by_reference.get(str(reference))
        if found is None:
            return failure(Problem.NOT_FOUND, f"{reference} does not exist")
        files = ProfileFiles({} if found.unreadable else dict(found.image.files), found.unreadable)
        digest = f"sha256:{abs(hash(str(reference))):064x}"
        contents.put("", [digest], Content(found.labels, found.image.env, files))
        return Inspection(reference, digest, found.labels, public=True, env=found.image.env, profiles=files)

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str | RegistryFailure:
        found = await self.inspect(reference, keyring, Contents())
        return found if isinstance(found, RegistryFailure) else found.digest

    def credentials_id(self, _reference: ImageReference, _keyring: Keyring) -> str:
        return ""
