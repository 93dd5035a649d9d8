"""The life of an artifact, played through against a small world."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.artifact import AIMArtifact
from aimd.api.runtime_config import AIMRuntimeConfig
from aimd.planning.artifact.needs import objects_to_explain, pods_to_read, references_to_read
from aimd.planning.artifact.observed import JobRun, LiveClaim, ObservedArtifact, References
from aimd.planning.artifact.plan import plan_artifact
from aimd.planning.component import may_apply
from aimd.planning.conditions import Summary, summarize
from aimd.planning.labels import CLAIM_UID_ANNOTATION, DOWNLOAD_COMPLETE_ANNOTATION
from aimd.planning.objects import allows_expansion
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import resolve_config
from aimd.planning.settings import ControllerSettings
from aimd.planning.time import timestamp
from aimd.runtime.objects import Applied, Condition, Manifest

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
START = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 2**30
WORDS = {"Pending", "Progressing", "Ready", "Degraded", "Failed", "NotAvailable"}


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
            settings=ControllerSettings(downloader_image="aimd:test", retry_base_seconds=600),
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


def test_from_nothing_to_ready() -> None:
    world = World(size="16Gi")
    world.turn()
    assert world.written == ["create PersistentVolumeClaim"]
    assert (world.word, world.condition("CachePvcReady"), world.condition("DownloadJobReady")) == (
        "Progressing",
        ("False", "ResourceNotReady"),
        ("False", "ResourceNotReady"),
    )
    claim = world.child("cache")
    assert claim is not None
    assert claim["spec"] == {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "18Gi"}}}
    assert claim["metadata"]["name"] == "weights-cache-9179ba0d"
    assert claim["metadata"]["labels"]["aim.eai.amd.com/source-model"] == "qwen_qwen3-32b"
    assert "aim.eai.amd.com/cache.type" not in claim["metadata"]["labels"]

    world.turn()
    assert world.written == ["create ServiceAccount", "create Role", "create RoleBinding", "create Job"]
    status = world.artifact["status"]
    assert (status["allocatedSize"], status["headroomPercent"], status["displaySize"], status["mode"]) == (
        "18Gi",
        10,
        "16 GiB",
        "Shared",
    )
    assert status["persistentVolumeClaim"] == "weights-cache-9179ba0d"

    world.pod("Running")
    world.turn()
    assert world.word == "Progressing"
    assert world.condition("DownloadJobReady") == ("False", "JobRunning")
    assert world.condition("DownloadJobPodsReady") == ("True", "PodsReady")
    assert world.condition("DownloadComplete") == ("False", "Downloading")

    world.progress(42)
    world.turn()
    assert (world.written, world.changed_status) == ([], set())

    world.progress(100)
    world.turn()
    assert (world.word, world.condition("DownloadComplete")) == ("Progressing", ("True", "Verifying"))

    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    summary = world.turn()
    assert (world.word, world.condition("DownloadComplete")) == ("Ready", ("True", "Verified"))
    assert world.condition("Ready") == ("True", "AllComponentsReady")
    assert world.written == ["update PersistentVolumeClaim"]
    assert world.artifact["status"]["progress"] == {
        "percentage": 100,
        "displayPercentage": "100 %",
        "downloadedBytes": 16 * GIB,
        "totalBytes": 16 * GIB,
    }
    assert not summary.retry
    world.turn()
    assert (world.written, world.changed_status, world.plan.requeue_after) == ([], set(), None)


def test_ready_outlives_its_job() -> None:
    """Prove ART-DWN-1."""
    world = World(size="1Gi").ready()
    conditions = world.artifact["status"]["conditions"]
    del world.children["weights-download-9179ba0d"]
    world.turn()
    assert (world.word, world.written) == ("Ready", [])
    assert world.artifact["status"]["conditions"] == conditions


@pytest.mark.parametrize("with_job", [True, False])
def test_a_lost_claim_is_downloaded_anew(with_job: bool) -> None:
    """Prove ART-DWN-1."""
    world = World(size="1Gi").ready()
    del world.children["weights-cache-9179ba0d"]
    if not with_job:
        del world.children["weights-download-9179ba0d"]
    world.turn()
    assert world.word == "Progressing"
    assert ("delete stale" in world.written) is with_job
    world.turn()
    job = world.child("download")
    claim = world.child("cache")
    assert job is not None
    assert claim is not None
    assert job["metadata"]["annotations"][CLAIM_UID_ANNOTATION] == claim["metadata"]["uid"]
    assert world.artifact["status"]["progress"]["percentage"] == 0
    world.pod("Running")
    world.turn()
    assert (world.word, world.condition("DownloadComplete")) == ("Progressing", ("False", "Downloading"))


def test_a_job_of_a_former_claim_is_not_believed() -> None:
    """Prove ART-DWN-2."""
    world = World(size="1Gi").downloading()
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    del world.children["weights-cache-9179ba0d"]
    world.turn()
    world.turn()
    assert world.word == "Progressing"
    claim = world.child("cache")
    assert claim is not None
    assert DOWNLOAD_COMPLETE_ANNOTATION not in claim["metadata"].get("annotations", {})


def test_a_claim_being_deleted_is_waited_for() -> None:
    """Prove ART-CLM-5."""
    world = World(size="1Gi").downloading()
    claim = world.child("cache")
    assert claim is not None
    claim["metadata"]["deletionTimestamp"] = timestamp(world.now)
    world.turn()
    assert world.condition("CachePvcReady") == ("False", "PvcTerminating")
    assert world.written == ["delete stale"]
    world.turn()
    assert world.written == []
    del world.children["weights-cache-9179ba0d"]
    world.turn()
    assert world.written == ["create PersistentVolumeClaim"]


def test_a_missing_source_fails_waits_and_heals() -> None:
    """Prove ART-DWN-4."""
    world = World(size="1Gi").downloading()
    world.pods[-1]["status"]["phase"] = "Failed"
    message = json.dumps({"reason": "SourceNotFound", "detail": "no such repository"})
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 21, "message": message}}
    world.finish("Failed", reason="PodFailurePolicy")
    world.turn()
    assert world.word == "Failed"
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert world.condition("ConfigValid") == ("False", "InvalidSpec")
    assert world.condition("DownloadJobPodsReady") == ("False", "SourceNotFound")
    assert world.condition("DownloadComplete") == ("False", "Downloading")
    assert world.artifact["status"]["progress"]["displayPercentage"] == "N/A"
    assert world.plan.requeue_after == pytest.approx(599, abs=2)
    assert world.written == []

    world.turn(300)
    assert (world.word, world.written) == ("Failed", [])
    world.turn(300)
    assert (world.word, world.written) == ("Failed", ["delete retry"])
    world.turn()
    assert "create Job" in world.written
    world.pod("Running")
    world.turn()
    assert world.word == "Progressing"
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    world.turn()
    assert (world.word, world.condition("ConfigValid")) == ("Ready", ("True", "ConfigurationValid"))


def fail(world: World, exit_code: int = 21) -> None:
    world.turn()
    world.pod("Failed", exit_code=exit_code)
    world.turn()
    world.finish("Failed", reason="PodFailurePolicy")
    world.turn()


def test_waits_double_while_a_permanent_failure_lasts() -> None:
    """Prove ART-DWN-4."""
    world = World(size="1Gi")
    world.turn()
    waits = []
    for _ in range(6):
        fail(world)
        assert world.plan.requeue_after is not None
        waits.append(world.plan.requeue_after)
        job = world.child("download")
        assert job is not None
        assert job["spec"]["ttlSecondsAfterFinished"] >= waits[-1]
        world.turn(waits[-1] + 1)
        assert "delete retry" in world.written
    assert [round(wait / 600) for wait in waits] == [1, 1, 2, 4, 8, 16]


def test_waits_have_a_limit_and_transient_failures_wait_the_base() -> None:
    """Prove ART-DWN-4."""
    world = World(size="1Gi").downloading()
    world.turn(100_000)
    world.pods[-1]["status"]["phase"] = "Failed"
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 21}}
    world.finish("Failed")
    world.turn()
    assert world.plan.requeue_after == pytest.approx(6 * 3600, abs=2)
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 25}}
    world.turn()
    assert world.plan.requeue_after == pytest.approx(600, abs=3)


def test_an_hour_without_the_endpoint_is_borne() -> None:
    """Attempt after attempt, without anybody doing anything; never longer than the base between two of them."""
    world = World(size="1Gi")
    world.turn()
    down_until = world.now + timedelta(hours=1)
    attempts = 0
    while world.now < down_until:
        fail(world, exit_code=25)
        attempts += 1
        assert world.condition("DownloadJobPodsReady") == ("False", "NetworkError")
        assert world.plan.requeue_after is not None
        assert world.plan.requeue_after == pytest.approx(600, abs=2)
        world.turn(world.plan.requeue_after + 1)
        assert "delete retry" in world.written
        world.turn()
    assert attempts >= 5
    world.pod("Running")
    world.turn()
    assert world.word == "Progressing"
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    world.turn()
    assert world.word == "Ready"


def test_a_pod_that_goes_with_its_node_is_no_failure() -> None:
    """Drained, or deleted because its node is gone: the Job makes another pod (ART-DWN-7)."""
    world = World(size="1Gi").downloading()
    world.pods.clear()
    world.turn()
    assert (world.word, world.written) == ("Progressing", [])
    world.pod("Failed", exit_code=137, reason="Evicted")
    world.pods[-1]["status"] |= {"reason": "Evicted", "containerStatuses": []}
    world.turn()
    assert (world.word, world.written) == ("Progressing", [])
    assert world.condition("DownloadJobPodsReady") == ("False", "DownloadRetrying")
    world.pod("Running")
    world.turn()
    assert world.condition("DownloadJobPodsReady") == ("True", "PodsReady")


@pytest.mark.parametrize("change", [{"env": [{"name": "HF_TOKEN", "value": "new"}]}, {"modelDownloadImage": "x"}])
def test_a_change_of_the_inputs_retries_at_once(change: dict[str, Any]) -> None:
    """Prove ART-DWN-5."""
    world = World(size="1Gi")
    world.turn()
    fail(world)
    world.artifact["spec"] |= change
    world.turn()
    assert world.written == ["delete inputs-changed"]


def test_deleting_the_failed_job_retries_at_once() -> None:
    world = World(size="1Gi")
    world.turn()
    fail(world)
    del world.children["weights-download-9179ba0d"]
    world.turn()
    assert world.written == ["create Job"]


@pytest.mark.parametrize(
    ("exit_code", "reason", "ready_reason"),
    [
        (20, "AuthError", "AuthError"),
        (22, "StorageFull", "StorageFull"),
        (23, "DownloadStalled", "DownloadStalled"),
        (24, "VerificationFailed", "InvalidSpec"),
        (25, "NetworkError", "NetworkError"),
        (1, "PodFailed", "InvalidSpec"),
    ],
)
def test_the_cause_in_the_pod_wins_over_the_job(exit_code: int, reason: str, ready_reason: str) -> None:
    """Prove ART-DWN-8."""
    world = World(size="1Gi")
    world.turn()
    world.turn()
    world.pod("Failed", exit_code=exit_code)
    world.finish("Failed", reason="BackoffLimitExceeded")
    summary = world.turn()
    assert world.word == "Failed"
    assert world.condition("DownloadJobPodsReady") == ("False", reason)
    assert world.condition("DownloadJobReady") == ("False", "JobBackoffLimitExceeded")
    assert world.condition("Ready") == ("False", ready_reason)
    assert not summary.retry


@pytest.mark.parametrize(
    ("given", "reason"), [("DeadlineExceeded", "JobDeadlineExceeded"), ("Evicted", "JobEvicted"), ("", "JobFailed")]
)
def test_why_a_job_was_given_up(given: str, reason: str) -> None:
    world = World(size="1Gi")
    world.turn()
    world.turn()
    world.finish("Failed", reason=given)
    world.turn()
    assert (world.word, world.condition("DownloadJobReady")) == ("Failed", ("False", reason))


def test_a_verification_that_failed() -> None:
    world = World(size="1Gi").downloading()
    world.progress(100)
    world.turn()
    world.pods[-1]["status"]["phase"] = "Failed"
    world.finish("Failed")
    world.turn()
    assert world.condition("DownloadComplete") == ("False", "VerificationFailed")
    assert world.artifact["status"]["progress"] == {"percentage": 100, "displayPercentage": "N/A"}


def test_a_pod_that_failed_is_no_failure_while_the_job_retries() -> None:
    """Prove ART-DWN-7."""
    world = World(size="1Gi").downloading()
    world.pods[-1]["status"]["phase"] = "Failed"
    world.pods[-1]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 25}}
    world.turn()
    assert world.word == "Progressing"
    assert world.condition("DownloadJobPodsReady") == ("False", "DownloadRetrying")
    world.now += timedelta(seconds=10)
    world.pod("Running")
    world.turn()
    assert world.condition("DownloadJobPodsReady") == ("True", "PodsReady")
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    world.turn()
    assert world.word == "Ready"


def test_the_size_is_asked_for_when_nobody_gives_it() -> None:
    """Prove ART-SIZ-1."""
    world = World()
    world.turn()
    assert world.written == ["create Job"]
    assert world.condition("CheckSizeJobReady") == ("False", "ResourceNotReady")
    world.pod("Running", part="check-size")
    world.turn()
    assert world.condition("CheckSizeJobReady") == ("False", "JobRunning")
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete", part="check-size")
    assert [pod["metadata"]["name"] for pod in pods_to_read(world.observe())] == ["pod-0"]
    world.turn()
    assert world.condition("CheckSizeOutputReady") == ("False", "SizeUnavailable")
    world.logs["pod-0"] = 'some noise\n{"url": "hf://Qwen/Qwen3-32B", "sizeBytes": 9094593249}'
    world.turn()
    assert world.written == ["create PersistentVolumeClaim"]
    assert world.artifact["status"]["discoveredSizeBytes"] == 9094593249
    assert world.condition("CheckSizeJobReady") == ("", "")
    claim = world.child("cache")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    assert pods_to_read(world.observe()) == ()
    world.turn()
    assert "discoveredSizeBytes" not in world.changed_status


@pytest.mark.parametrize(
    "line", ["oops", "{}", '{"sizeBytes": 0}', '{"sizeBytes": "5"}', f'{{"sizeBytes": {2**50 + 1}}}']
)
def test_a_size_must_be_a_size(line: str) -> None:
    """Prove ART-SIZ-2."""
    world = World()
    world.turn()
    world.pod("Succeeded", part="check-size")
    world.finish("Complete", part="check-size")
    world.logs["pod-0"] = line
    world.turn()
    assert world.condition("CheckSizeOutputReady") == ("False", "InvalidSizeOutput")


def test_a_size_check_that_failed_is_repeated() -> None:
    """Prove ART-SIZ-3."""
    world = World()
    world.turn()
    world.pod("Failed", part="check-size", exit_code=21)
    world.turn()
    assert (world.word, world.condition("CheckSizeJobPodsReady")) == ("Progressing", ("False", "CheckSizeRetrying"))
    world.finish("Failed", part="check-size", reason="PodFailurePolicy")
    world.turn()
    assert (world.word, world.condition("Ready")) == ("Failed", ("False", "InvalidSpec"))
    assert world.condition("CheckSizeJobPodsReady") == ("False", "SourceNotFound")
    world.turn(301)
    assert world.written == ["delete retry"]


@pytest.mark.parametrize("part", ["download", "check-size"])
def test_a_missing_secret_is_named_and_no_job_is_made(part: str) -> None:
    """Prove ART-DWN-6."""
    secret = {"valueFrom": {"secretKeyRef": {"name": "huggingface", "key": "token"}}}
    world = World(size="1Gi" if part == "download" else "", env=[{"name": "HF_TOKEN", **secret}])
    world.bind = True
    if part == "download":
        world.turn()
    assert references_to_read(world.observe()) == (("Secret", "huggingface", "token"),)
    world.references = References(("Secret huggingface",))
    world.turn()
    assert world.child(part) is None
    assert (world.word, world.condition("ConfigValid")) == ("Failed", ("False", "ReferenceNotFound"))
    assert world.plan.requeue_after == 60
    world.references = References()
    world.turn(60)
    assert world.child(part) is not None
    assert references_to_read(world.observe()) == ()


def test_a_named_config_must_exist_until_the_weights_are_there() -> None:
    world = World(size="1Gi", config_name="team")
    world.turn()
    assert (world.word, world.written) == ("Failed", [])
    assert world.condition("RuntimeConfigReady") == ("False", "ReferenceNotFound")
    ready = World(size="1Gi", config={}).ready()
    ready.config, ready.artifact["spec"]["runtimeConfigName"] = None, "team"
    ready.turn()
    assert (ready.word, ready.condition("RuntimeConfigReady")) == ("Ready", ("True", "ConfigNotNeeded"))


def test_storage_comes_from_artifact_then_config() -> None:
    """Prove ART-CLM-2."""
    config = {"storage": {"defaultStorageClassName": "nfs", "pvcHeadroomPercent": 0}}
    for spec, expected in (({}, "nfs"), ({"storageClassName": "fast"}, "fast")):
        world = World(size="10Gi", config=config, **spec)
        world.turn()
        claim = world.child("cache")
        assert claim is not None
        assert claim["spec"]["storageClassName"] == expected
        assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"


@pytest.mark.parametrize(
    ("phase", "event", "word", "reason"),
    [
        ("Pending", None, "Progressing", "PvcPending"),
        ("Pending", "ProvisioningFailed", "Degraded", "PvcProvisioningFailed"),
        ("Lost", None, "Degraded", "PvcLost"),
    ],
)
def test_trouble_with_the_volume(phase: str, event: str | None, word: str, reason: str) -> None:
    """Prove ART-CLM-5."""
    world = World(size="1Gi")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    claim["status"]["phase"] = phase
    if event is not None:
        assert objects_to_explain(world.observe(), world.now + timedelta(seconds=3)) == (claim,)
        world.events = [
            {"reason": event, "message": "no such class", "involvedObject": {"uid": claim["metadata"]["uid"]}}
        ]
    world.turn()
    assert (world.word, world.condition("CachePvcReady")[1]) == (word, reason)
    # WaitForFirstConsumer: the pod has to exist before the claim is bound.
    assert (world.child("download") is not None) is (phase == "Pending")


@pytest.mark.parametrize("reason", ["ProvisioningFailed", "FailedBinding"])
def test_what_the_provisioner_says_is_in_the_condition(reason: str) -> None:
    """Prove ART-CLM-6."""
    world = World(size="1Gi")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    claim["status"] = {"phase": "Pending"}
    text = "ReadWriteMany is not supported"
    world.events = [{"reason": reason, "message": text, "involvedObject": {"uid": claim["metadata"]["uid"]}}]
    world.turn()
    (shown,) = [c for c in world.artifact["status"]["conditions"] if c["type"] == "CachePvcReady"]
    assert (shown["reason"], shown["message"]) == ("PvcProvisioningFailed", f"{reason}: {text}")


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


def test_a_volume_that_turned_out_too_small_grows_and_the_download_goes_on() -> None:
    """Prove ART-CLM-3."""
    world = World(size="1Gi")
    world.storage_class = {"allowVolumeExpansion": True}
    world.downloading()
    fail_for_space(world, 5 * GIB)
    world.turn()
    assert world.written == ["resize 6Gi"]
    assert (world.word, world.condition("DownloadJobPodsReady")) == ("Failed", ("False", "StorageFull"))
    assert world.condition("CachePvcReady") == ("False", "PvcExpanding")
    world.turn()
    assert world.written == []
    grow(world)
    world.turn()
    assert world.written == ["delete inputs-changed"]
    world.turn()
    assert "create Job" in world.written
    assert world.artifact["status"]["allocatedSize"] == "6Gi"
    assert world.condition("CachePvcReady") == ("True", "Ready")
    world.pod("Running")
    world.turn()
    assert world.word == "Progressing"


@pytest.mark.parametrize("size", [5 * GIB, 0, -1, 2**60, True])
def test_a_volume_that_may_not_grow_stays_and_the_failure_waits(size: int) -> None:
    """Prove ART-CLM-3."""
    world = World(size="1Gi")
    world.storage_class = {"allowVolumeExpansion": size != 5 * GIB}
    world.downloading()
    fail_for_space(world, size)
    for _ in range(3):
        world.turn()
        assert (world.word, world.written) == ("Failed", [])
        assert world.condition("Ready") == ("False", "StorageFull")
    assert world.plan.requeue_after == pytest.approx(597, abs=3)


def test_a_full_volume_that_is_large_enough_is_no_reason_to_hurry() -> None:
    world = World(size="10Gi")
    world.storage_class = {"allowVolumeExpansion": True}
    world.downloading()
    fail_for_space(world, 5 * GIB)
    world.turn()
    assert world.written == []


@pytest.mark.parametrize("allowed", [True, False])
def test_a_larger_size_in_the_spec(allowed: bool) -> None:
    world = World(size="1Gi")
    world.storage_class = {"allowVolumeExpansion": allowed}
    world.turn()
    world.artifact["spec"]["size"] = "10Gi"
    world.turn()
    assert world.child("download") is None
    if not allowed:
        assert (world.word, world.condition("Ready")) == ("Failed", ("False", "ClaimTooSmall"))
        return
    assert world.written == ["resize 11Gi"]
    world.turn()
    assert (world.written, world.condition("CachePvcReady")) == ([], ("False", "PvcExpanding"))
    claim = world.child("cache")
    assert claim is not None
    claim["status"]["conditions"] = [{"type": "FileSystemResizePending", "status": "True"}]
    assert objects_to_explain(world.observe(), world.now + timedelta(seconds=3)) == (claim,)
    world.turn()
    assert "create Job" in world.written


def test_a_size_raised_after_completion_changes_nothing() -> None:
    world = World(size="1Gi").ready()
    world.storage_class = {"allowVolumeExpansion": True}
    world.artifact["spec"]["size"] = "10Gi"
    world.turn()
    assert (world.word, world.written) == ("Ready", [])


def test_another_headroom_in_force_does_not_touch_a_claim() -> None:
    """Prove ART-CLM-4."""
    config = {"storage": {"pvcHeadroomPercent": 10}}
    world = World(size="10Gi", config=config)
    world.storage_class = {"allowVolumeExpansion": True}
    world.downloading()
    config["storage"]["pvcHeadroomPercent"] = 90
    world.turn()
    assert world.written == []


def test_a_secret_that_was_put_right_is_a_reason_to_try_at_once() -> None:
    """Prove ART-DWN-5."""
    secret = {"valueFrom": {"secretKeyRef": {"name": "huggingface", "key": "token"}}}
    world = World(size="1Gi", env=[{"name": "HF_TOKEN", **secret}])
    world.references = References(versions="one")
    world.turn()
    fail(world, exit_code=20)
    assert references_to_read(world.observe()) == (("Secret", "huggingface", "token"),)
    assert (world.word, world.plan.requeue_after) == ("Failed", 60)
    world.turn(100)
    assert world.written == []
    assert world.plan.requeue_after == pytest.approx(101, abs=2)
    world.references = References()  # could not be read
    world.turn()
    assert world.written == []
    world.references = References(versions="two")
    world.turn()
    assert world.written == ["delete inputs-changed"]
    world.turn()
    assert "create Job" in world.written


def test_use_is_noted_when_it_starts_and_stops_and_at_no_other_time() -> None:
    """Prove ART-USE-1."""
    world = World(size="1Gi").ready()
    assert "lastUsed" not in world.artifact["status"]
    seen = []
    for users in ((), ("chat",), ("chat",), ("chat", "other"), (), (), ("chat",)):
        world.users = users
        world.turn(60)
        seen.append(("lastUsed" in world.changed_status, world.condition("InUse")[0]))
        assert world.word == "Ready"
    assert seen == [
        (False, ""),
        (True, "True"),
        (False, "True"),
        (False, "True"),
        (True, "False"),
        (False, "False"),
        (True, "True"),
    ]
    assert world.artifact["status"]["lastUsed"] == timestamp(world.now)


def test_an_unschedulable_pod_shows_as_pending() -> None:
    world = World(size="1Gi").downloading()
    world.pods[-1]["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}],
    }
    world.turn()
    assert (world.word, world.condition("DownloadJobPodsReady")) == ("Pending", ("False", "FailedScheduling"))


def test_the_steps_of_a_quick_start_are_one_state() -> None:
    """Each would be a write here, in the cache and in every service; what lasts shows after a moment."""
    world = World(size="1Gi")
    world.turn()
    world.turn()
    world.pod("Pending")
    seen = set()
    for change in ({}, {"phase": "Running"}):
        world.pods[-1]["status"] |= change
        world.turn(seconds=0.1)
        seen.add((world.word, world.condition("DownloadJobPodsReady")))
        assert world.plan.requeue_after in (2.9, 3.0)
    assert seen == {("Pending", ("False", "PodsPending"))}
    world.pods[-1]["status"] |= {"phase": "Running"}
    world.turn(seconds=3)
    assert (world.word, world.condition("DownloadJobPodsReady")) == ("Progressing", ("False", "PodsStarting"))


def test_nobody_asks_about_what_has_only_just_been_made() -> None:
    world = World(size="1Gi")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    claim["status"]["phase"] = "Pending"
    world.turn(seconds=1)
    assert objects_to_explain(world.observe(), world.now) == ()
    assert world.plan.requeue_after == 2.0
    world.turn(seconds=5)
    assert objects_to_explain(world.observe(), world.now) == (claim, world.child("download"))
    assert world.plan.requeue_after == 10.0


@pytest.mark.parametrize(
    ("size", "part", "type_"),
    [("1Gi", "download", "DownloadJobPodsReady"), ("", "check-size", "CheckSizeJobPodsReady")],
)
def test_pods_refused_at_admission_are_explained(size: str, part: str, type_: str) -> None:
    """Prove ART-DWN-9."""
    world = World(size=size)
    world.turn()
    world.turn()
    job = world.child(part)
    assert job is not None
    assert objects_to_explain(world.observe(), world.now + timedelta(seconds=3)) == (job,)
    world.events = [
        {"reason": "FailedCreate", "message": "exceeded quota", "involvedObject": {"uid": job["metadata"]["uid"]}}
    ]
    world.turn()
    assert (world.word, world.condition(type_)) == ("Pending", ("False", "FailedCreate"))


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


def test_a_ready_artifact_of_the_reference_is_believed() -> None:
    """Prove ART-DWN-3."""
    world = taken_over("2026-01-01T00:00:10Z")
    world.turn()
    assert (world.word, world.written, world.changed_status) == ("Ready", ["update PersistentVolumeClaim"], set())
    assert world.child("download") is None
    world.turn()
    assert world.written == []


def test_a_claim_younger_than_readiness_is_not() -> None:
    """Prove ART-DWN-3."""
    world = taken_over("2026-01-01T00:00:40Z")
    world.turn()
    assert "create Job" in world.written


MALFORMED = ["hf://acme/tiny@", "hf://acme/tiny/extra", "hf://../x", "s3:///nobucket", "hf://a/b@rev:1", "hf://a/b--c"]


@pytest.mark.parametrize("size", ["1Gi", ""])
@pytest.mark.parametrize("uri", MALFORMED)
def test_a_malformed_source_uri_is_refused_before_anything_is_created(uri: str, size: str) -> None:
    """(ART-SRC-1)"""
    world = World(sourceUri=uri, size=size)
    for _ in range(3):
        summary = world.turn()
        assert (world.written, world.plan.desired, world.plan.requeue_after) == ([], (), None)
    assert not may_apply(world.plan.components)
    assert (world.word, world.condition("SourceReady")) == ("Failed", ("False", "InvalidSource"))
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert world.condition("ConfigValid")[0] == "False"
    (message,) = (each.message for each in summary.conditions if each.type == "SourceReady")
    assert message.startswith(f"spec.sourceUri {uri!r} is not a valid source URI: ")


def test_a_valid_source_uri_shows_no_condition_of_its_own() -> None:
    assert World(size="1Gi").ready().condition("SourceReady") == ("", "")


@pytest.mark.parametrize("uri", MALFORMED)
def test_a_malformed_source_uri_changes_nothing_once_the_weights_are_there(uri: str) -> None:
    """(ART-SRC-1)"""
    world = taken_over("2026-01-01T00:00:10Z")
    world.artifact["spec"]["sourceUri"] = uri
    world.turn()
    assert (world.word, world.written, world.changed_status) == ("Ready", ["update PersistentVolumeClaim"], set())
    claim = world.child("cache")
    assert claim is not None
    assert json.loads(claim["metadata"]["annotations"][DOWNLOAD_COMPLETE_ANNOTATION])["source"] == uri
    world.turn()
    assert (world.word, world.written, world.condition("SourceReady")) == ("Ready", [], ("", ""))


def test_a_download_that_already_runs_may_end_whatever_its_source_uri() -> None:
    """(ART-SRC-1) Another image than ours may know more forms."""
    world = World(size="1Gi").downloading()
    world.artifact["spec"]["sourceUri"] = "hf://acme/tiny/extra"
    world.turn()
    assert (world.word, world.condition("SourceReady")) == ("Progressing", ("", ""))
    world.pods[-1]["status"]["phase"] = "Succeeded"
    world.finish("Complete")
    world.turn()
    assert world.word == "Ready"


def test_a_download_that_failed_is_not_repeated_with_a_malformed_source_uri() -> None:
    world = World(size="1Gi").downloading()
    world.artifact["spec"]["sourceUri"] = "hf://acme/tiny/extra"
    world.pod("Failed", exit_code=26)
    world.finish("Failed")
    world.turn()
    assert (world.written, world.condition("SourceReady")) == ([], ("False", "InvalidSource"))


def test_the_claim_names_its_source() -> None:
    for uri, label in (
        ("hf://Qwen/Qwen3-32B", "qwen_qwen3-32b"),
        ("hf://Qwen/Qwen3-32B@v1", "qwen_qwen3-32b_v1"),
        ("s3://my-bucket/weights/", "my-bucket_weights"),
    ):
        world = World(sourceUri=uri, size="1Gi")
        world.turn()
        claim = world.child("cache")
        assert claim is not None
        assert claim["metadata"]["labels"]["aim.eai.amd.com/source-model"] == label


def test_labels_of_a_live_claim_stay() -> None:
    """Prove ART-CLM-6."""
    world = taken_over("2026-01-01T00:00:10Z")
    plan = plan_artifact(world.observe(), world.now)
    (desired,) = plan.desired
    assert desired.manifest["metadata"]["labels"] == {"aim.eai.amd.com/template.index": "0"}


def test_an_owned_artifact_is_dedicated() -> None:
    world = World(size="1Gi")
    world.artifact["metadata"]["ownerReferences"] = [{"uid": "x", "kind": "AIMTemplateCache", "name": "c"}]
    world.turn()
    assert world.artifact["status"]["mode"] == "Dedicated"


def test_the_record_keeps_what_the_downloader_reports() -> None:
    world = World(size="1Gi").downloading()
    report = json.dumps({"revision": "abc", "files": 3, "bytes": 5})
    world.pods[-1]["status"] |= {
        "phase": "Succeeded",
        "containerStatuses": [{"name": "model-download", "state": {"terminated": {"exitCode": 0, "message": report}}}],
    }
    world.finish("Complete")
    world.turn()
    claim = world.child("cache")
    assert claim is not None
    record = json.loads(claim["metadata"]["annotations"][DOWNLOAD_COMPLETE_ANNOTATION])
    assert (record["source"], record["revision"], record["files"]) == ("hf://Qwen/Qwen3-32B", "abc", 3)


steps = st.sampled_from(
    [
        "turn",
        "run",
        "fail",
        "succeed",
        "complete",
        "give up",
        "ttl",
        "drop claim",
        "lose",
        "terminate",
        "progress",
        "wait",
    ]
)


@given(st.lists(steps, max_size=25), st.sampled_from(["1Gi", "", "0"]))
def test_whatever_happens_the_plan_is_total_and_ready_means_complete(events: list[str], size: str) -> None:
    world = World(size=size)
    for event in events:
        happen(world, event)
        world.turn(1 if event != "wait" else 700)
        assert world.word in WORDS
        claim = world.child("cache")
        if world.word == "Ready":
            assert claim is not None
            assert DOWNLOAD_COMPLETE_ANNOTATION in claim["metadata"].get("annotations", {})
        assert len([1 for item in world.plan.desired if item.kind.name == "Job"]) <= 1


def happen(world: World, event: str) -> None:
    job, claim = world.child("download") or world.child("check-size"), world.child("cache")
    part = "download" if world.child("download") is not None else "check-size"
    if event == "drop claim":
        world.children.pop("weights-cache-9179ba0d", None)
    elif event == "progress" and world.artifact.get("status"):
        world.progress(100)
    elif event in ("lose", "terminate") and claim is not None:
        claim["status"]["phase"] = "Lost" if event == "lose" else "Bound"
        claim["metadata"] |= {"deletionTimestamp": timestamp(world.now)} if event == "terminate" else {}
    if job is None:
        return
    if event in ("run", "fail", "succeed"):
        world.pod({"run": "Running", "fail": "Failed", "succeed": "Succeeded"}[event], part=part, exit_code=21)
        world.logs[world.pods[-1]["metadata"]["name"]] = '{"sizeBytes": 1073741824}'
    elif event == "complete":
        world.finish("Complete", part=part)
    elif event == "give up":
        world.finish("Failed", part=part)
    elif event == "ttl":
        world.children.pop(job["metadata"]["name"], None)


def test_settings_lower_the_waits() -> None:
    world = World(size="1Gi")
    world.turn()
    fail(world)
    observed = replace(world.observe(), settings=ControllerSettings(downloader_image="aimd:test", retry_base_seconds=2))
    plan = plan_artifact(observed, world.now)
    assert plan.requeue_after is not None
    assert plan.requeue_after <= 3
