"""An artifact and its children in a small world, and what happens in it."""

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from aimd.api.artifact import AIMArtifact
from aimd.api.runtime_config import AIMRuntimeConfig
from aimd.planning.artifact.observed import JobRun, LiveClaim, ObservedArtifact, References
from aimd.planning.artifact.plan import plan_artifact
from aimd.planning.component import may_apply
from aimd.planning.conditions import Summary, summarize
from aimd.planning.objects import allows_expansion
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import resolve_config
from aimd.planning.settings import ControllerSettings
from aimd.planning.time import timestamp
from aimd.runtime.objects import Applied, Condition, Manifest

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"


START = datetime(2026, 1, 1, tzinfo=UTC)


GIB = 2**30


class World:
    """An artifact and its children, as the API server and its controllers would keep them."""

    def __init__(self, *, config: Mapping[str, Any] | None = None, config_name: str = "", **spec: Any) -> None:
        self.now = START
        self.artifact: Manifest = {
            "metadata": {"name": "weights", "namespace": "ml-team", "uid": UID, "generation": 1},
            "spec": {"sourceUri": "hf://Qwen/Qwen3-32B", "runtimeConfigName": config_name, **spec},
        }
        self.config = config
        self.children: dict[str, Manifest] = {}
        self.pods: list[Manifest] = []
        self.logs: dict[str, str] = {}
        self.events: list[Manifest] = []
        self.references = References()
        self.storage_class: Manifest | None = None
        self.users: tuple[str, ...] = ()
        self.claims = 0
        self.bind = True
        self.settings = ControllerSettings(downloader_image="aimd:test", retry_base_seconds=600)
        self.written: list[str] = []

    def child(self, part: str) -> Manifest | None:
        return next((child for name, child in self.children.items() if name.startswith(f"weights-{part}-")), None)

    def observe(self) -> ObservedArtifact:
        given = None
        if self.config is not None:
            given = AIMRuntimeConfig.model_validate(
                {"metadata": {"name": "default", "namespace": "ml-team"}, "spec": self.config}
            )
        obj = AIMArtifact.model_validate(self.artifact)
        config = resolve_config(obj.spec.runtime_config_name, given, None, namespace="ml-team")
        return ObservedArtifact(
            artifact=obj,
            config=config,
            settings=self.settings,
            claim=self._claim(),
            download=self._run("download"),
            check_size=self._run("check-size"),
            references=self.references,
            users=self.users,
        )

    def _claim(self) -> LiveClaim | None:
        claim = self.child("cache")
        return LiveClaim(claim, self.events, allows_expansion(self.storage_class)) if claim is not None else None

    def _run(self, part: str) -> JobRun:
        job = self.child(part)
        pods = tuple(p for p in self.pods if job and p["owner"] == job["metadata"]["uid"])
        return JobRun(job, pods, self.logs, self.events)

    def turn(self, seconds: float = 1) -> Summary:
        """One reconcile, with its writes."""
        self.now += timedelta(seconds=seconds)
        plan = plan_artifact(self.observe(), self.now)
        self.plan = plan
        self.written = []
        if may_apply(plan.components):
            self._write(plan)
        stored = self.artifact.get("status") or {}
        previous = [
            Condition(c["type"], c["status"], c["reason"], c["message"], c["lastTransitionTime"])
            for c in stored.get("conditions", ())
        ]
        summary = summarize(
            plan.components,
            applied=Applied(),
            previous=previous,
            generation=1,
            now=self.now,
            extra_conditions=plan.extra_conditions,
        )
        conditions = [
            {
                "type": c.type,
                "status": c.status,
                "reason": c.reason,
                "message": c.message,
                "lastTransitionTime": c.last_transition_time,
            }
            for c in summary.conditions
        ]
        changed = {key: value for key, value in plan.status.items() if stored.get(key) != value}
        self.changed_status = set(changed)
        self.artifact["status"] = {**stored, **changed, "status": str(summary.state), "conditions": conditions}
        return summary

    def _write(self, plan: Plan) -> None:
        for deletion in plan.deletions:
            gone = self.children.get(deletion.key.name)
            if gone is not None and gone["metadata"]["uid"] == deletion.uid:
                del self.children[deletion.key.name]
                self.written.append(f"delete {deletion.reason}")
        for desired in plan.desired:
            kind, name = desired.kind.name, desired.key.name
            self._apply(
                name if kind in ("Job", "PersistentVolumeClaim") else f"{kind}/{name}", deepcopy(desired.manifest)
            )

    def _apply(self, name: str, manifest: Manifest) -> None:
        live = self.children.get(name)
        if live is None:
            self.claims += 1
            manifest["metadata"] |= {"uid": f"uid-{self.claims}", "creationTimestamp": timestamp(self.now)}
            if manifest["kind"] == "PersistentVolumeClaim":
                manifest["status"] = {"phase": "Bound" if self.bind else "Pending"}
                manifest["status"]["capacity"] = dict(manifest["spec"]["resources"]["requests"])
            self.children[name] = manifest
            self.written.append(f"create {manifest['kind']}")
        elif manifest["kind"] == "PersistentVolumeClaim" and manifest["spec"]["resources"] != live["spec"]["resources"]:
            live["spec"]["resources"] = manifest["spec"]["resources"]
            self.written.append(f"resize {manifest['spec']['resources']['requests']['storage']}")
        elif manifest["metadata"].get("annotations", {}) != live["metadata"].get("annotations", {}):
            live["metadata"]["annotations"] = manifest["metadata"]["annotations"]
            assert manifest["spec"].items() <= live["spec"].items()
            self.written.append(f"update {manifest['kind']}")

    def pod(
        self, phase: str, part: str = "download", exit_code: int = 0, message: str = "", reason: str = "Error"
    ) -> None:
        job = self.child(part)
        assert job is not None
        state: Manifest = {"running": {}}
        if phase in ("Failed", "Succeeded"):
            state = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}
        self.pods.append(
            {
                "owner": job["metadata"]["uid"],
                "metadata": {
                    "name": f"pod-{len(self.pods)}",
                    "uid": f"p{len(self.pods)}",
                    "creationTimestamp": timestamp(self.now),
                },
                "status": {
                    "phase": phase,
                    "conditions": [{"type": "Ready", "status": "True"}] if phase == "Running" else [],
                    "containerStatuses": [{"name": "model-download", "state": state}],
                },
            }
        )

    def finish(self, type_: str, part: str = "download", reason: str = "") -> None:
        job = self.child(part)
        assert job is not None
        condition = {"type": type_, "status": "True", "reason": reason, "lastTransitionTime": timestamp(self.now)}
        job["status"] = {"conditions": [condition]}

    def progress(self, percentage: int) -> None:
        self.artifact["status"]["progress"] = {"percentage": percentage, "displayPercentage": f"{percentage} %"}

    def condition(self, type_: str) -> tuple[str, str]:
        return next(
            ((c["status"], c["reason"]) for c in self.artifact["status"]["conditions"] if c["type"] == type_), ("", "")
        )

    @property
    def word(self) -> str:
        return str(self.artifact["status"]["status"])

    def downloading(self) -> "World":
        self.turn()
        self.turn()
        self.pod("Running")
        self.turn()
        return self

    def ready(self) -> "World":
        self.downloading()
        self.pods[-1]["status"]["phase"] = "Succeeded"
        self.finish("Complete")
        self.turn()
        return self


def fail(world: World, exit_code: int = 21) -> None:
    world.turn()
    world.pod("Failed", exit_code=exit_code)
    world.turn()
    world.finish("Failed", reason="PodFailurePolicy")
    world.turn()


def grow(world: World) -> None:
    """The provisioner gives what the claim asks for."""
    claim = world.child("cache")
    assert claim is not None
    claim["status"]["capacity"] = dict(claim["spec"]["resources"]["requests"])


def fail_for_space(world: World, size: int) -> None:
    report = {"reason": "StorageFull", "detail": "no space left on device", "sizeBytes": size}
    world.pods[-1]["status"]["phase"] = "Failed"
    state = {"terminated": {"exitCode": 22, "message": json.dumps(report)}}
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = state
    world.finish("Failed", reason="PodFailurePolicy")


def taken_over(claim_made: str) -> World:
    """A Ready artifact as the reference operator leaves it."""
    world = World(size="1Gi")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    claim["metadata"] |= {
        "creationTimestamp": claim_made,
        "labels": {"aim.eai.amd.com/template.index": "0", "mine": "x"},
    }
    world.artifact["status"] = {
        "status": "Ready",
        "mode": "Shared",
        "persistentVolumeClaim": "weights-cache-9179ba0d",
        "allocatedSize": "2Gi",
        "headroomPercent": 20,
        "displaySize": "1 GiB",
        "progress": {"percentage": 100, "displayPercentage": "100 %", "downloadedBytes": GIB, "totalBytes": GIB},
        "download": {"message": "Complete", "protocol": "XET"},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "AllComponentsReady",
                "message": "All components are ready",
                "lastTransitionTime": "2026-01-01T00:00:30Z",
            }
        ],
    }
    return world


MALFORMED = ["hf://acme/tiny@", "hf://acme/tiny/extra", "hf://../x", "s3:///nobucket", "hf://a/b@rev:1", "hf://a/b--c"]
