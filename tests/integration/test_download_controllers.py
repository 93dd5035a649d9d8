"""Model, template, cache and artifact controllers on a real API server; the test plays kubelet and volume binder.

Jobs are run by the real Job controller, so failure policies and back-off are Kubernetes' own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import uuid4

import pytest

from aimd.controllers.all import build_reconcilers
from aimd.planning.artifact import download as artifact_download
from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
)
from aimd.planning.labels import ARTIFACTS_OF_CACHE_FINALIZER, DOWNLOAD_COMPLETE_ANNOTATION
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import RegistryClient
from aimd.registry.credentials import Keyring
from aimd.registry.failures import Problem, RegistryFailure, failure
from aimd.registry.reference import ImageReference
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.controller import Reconciler
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import (
    JOB,
    NAMESPACE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
)
from aimd.runtime.objects import Key, Kind, Manifest, key_of, metadata_of
from aimd.runtime.store import Cache
from aimd.sandbox.manifests import apply_manifests
from tests.integration.stand_ins import install_own_crds
from tests.integration.world import World, operating, served

USER = "download-controllers-test"
SOURCE = {"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny", "size": "1Gi"}


class DownloadWorld(World):
    """A namespace whose user plays the kubelet and the volume binder too."""

    async def until_word(self, kind: Kind, word: str) -> Manifest:
        live: Manifest = await self.until(
            lambda: self.only(kind), lambda live: (live.get("status") or {}).get("status") == word
        )
        return live

    async def bind(self) -> Manifest:
        """Provides a volume for the claim, which the real volume controller then binds."""
        claim: Manifest = await self.until(lambda: self.only(PERSISTENT_VOLUME_CLAIM))
        spec = {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": claim["spec"]["resources"]["requests"],
            "claimRef": {"namespace": self.namespace, "name": claim["metadata"]["name"]},
            "hostPath": {"path": f"/nowhere/{self.namespace}"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": claim["spec"].get("storageClassName", ""),
        }
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"volume-{self.namespace}"},
            "spec": spec,
        }
        await self.client.create(PERSISTENT_VOLUME, volume, reason="test")
        return claim

    async def end_pod(self, exit_code: int, report: Manifest) -> None:
        pod = await self.until(self._living_pod)
        state = {
            "exitCode": exit_code,
            "reason": "Completed" if exit_code == 0 else "Error",
            "message": json.dumps(report),
        }
        container = pod["spec"]["containers"][0]
        status = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
        }
        phase = "Succeeded" if exit_code == 0 else "Failed"
        await self.report(
            POD,
            pod["metadata"]["name"],
            {"phase": phase, "containerStatuses": [{**status, "state": {"terminated": state}}]},
        )

    async def _living_pod(self) -> Manifest:
        for pod in await self.client.list(POD, namespace=self.namespace):
            if pod["status"].get("phase") == "Pending" and not metadata_of(pod).get("deletionTimestamp"):
                return pod
        raise NotFound("no pod")


class NoRegistry:
    """The models here say themselves what is in their images."""

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> RegistryFailure:
        return failure(Problem.UNAVAILABLE, f"nobody knows {reference}")


@pytest.fixture
async def world(api_server: Any) -> AsyncIterator[DownloadWorld]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        await install_own_crds(admin)
        await served(admin, AIM_ARTIFACT, AIM_TEMPLATE_CACHE, AIM_MODEL, AIM_SERVICE_TEMPLATE, AIM_RUNTIME_CONFIG)
        namespace = f"download-{uuid4().hex[:8]}"
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }
        await admin.create(NAMESPACE, manifest, reason="test")
        async with operating(api_server, USER, lambda client, cache: reconcilers(client, cache, namespace)):
            yield DownloadWorld(admin, namespace, api_server.audit_log, USER)


def reconcilers(client: Client, cache: Cache, namespace: str) -> list[Reconciler]:
    """All controllers but those of services and model sources; no registry is asked."""
    settings = ControllerSettings(downloader_image="aimd:test", retry_base_seconds=3, system_namespace=namespace)
    every = build_reconcilers(client, cache, settings, cast(RegistryClient, NoRegistry()))
    return [item for item in every if item.kind not in (AIM_SERVICE, AIM_CLUSTER_MODEL_SOURCE)]


async def make(world: DownloadWorld) -> None:
    """A model, its template with inline sources, and a cache for it."""
    spec = {"storage": {"pvcHeadroomPercent": 20}, "env": [{"name": "TEAM", "value": "ml"}]}
    await world.create(AIM_RUNTIME_CONFIG, "default", spec=spec)
    await world.create(
        AIM_MODEL,
        "tiny",
        spec={"image": "aim:1", "discovery": {"extractMetadata": False, "createServiceTemplates": False}},
    )
    await world.create(AIM_SERVICE_TEMPLATE, "tiny-latency", spec={"modelName": "tiny", "modelSources": [SOURCE]})
    await world.create(
        AIM_TEMPLATE_CACHE, "tiny-cache", spec={"templateName": "tiny-latency", "templateScope": "Namespace"}
    )


def condition(live: Manifest, type_: str) -> tuple[str, str]:
    return next(((c["status"], c["reason"]) for c in live["status"]["conditions"] if c["type"] == type_), ("", ""))


async def test_weights_arrive_and_then_nothing_is_written_any_more(world: DownloadWorld) -> None:
    await make(world)
    claim = await world.bind()
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    job = await world.until(lambda: world.only(JOB))
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["aimd", "download"]
    for kind in (SERVICE_ACCOUNT, ROLE, ROLE_BINDING):
        assert (await world.only(kind))["metadata"]["name"] == job["metadata"]["name"]

    artifact = await world.until(
        lambda: world.only(AIM_ARTIFACT),
        lambda live: condition(live, "DownloadJobPodsReady") == ("False", "FailedScheduling"),
    )
    assert artifact["status"]["status"] == "Pending"
    name = artifact["metadata"]["name"]
    figures = {"percentage": 42, "displayPercentage": "42 %", "downloadedBytes": 5, "totalBytes": 12}
    await world.report(AIM_ARTIFACT, name, {"progress": figures, "download": {"protocol": "XET", "message": "x"}})
    await world.end_pod(0, {"reason": "Completed", "revision": "abc", "files": 3})

    artifact = await world.until_word(AIM_ARTIFACT, "Ready")
    assert condition(artifact, "DownloadComplete") == ("True", "Verified")
    assert artifact["status"]["progress"]["displayPercentage"] == "100 %"
    assert artifact["status"]["download"] == {"protocol": "XET", "message": "Complete"}
    assert artifact["status"]["observedGeneration"] == 1
    record = json.loads(
        (await world.only(PERSISTENT_VOLUME_CLAIM))["metadata"]["annotations"][DOWNLOAD_COMPLETE_ANNOTATION]
    )
    assert (record["revision"], record["files"]) == ("abc", 3)

    cache = await world.until_word(AIM_TEMPLATE_CACHE, "Ready")
    assert cache["status"]["artifacts"][name]["persistentVolumeClaim"] == claim["metadata"]["name"]
    assert (await world.until_word(AIM_MODEL, "Ready"))["status"]["sourceType"] == "Image"
    template = await world.until_word(AIM_SERVICE_TEMPLATE, "Ready")
    assert condition(template, "Discovered") == ("True", "InlineModelSources")

    await asyncio.sleep(2)
    before = world.writes()
    await asyncio.sleep(8)
    assert world.writes() == before
    assert len(before) < 30, sorted(before)


async def test_a_source_that_is_missing_fails_at_once_and_heals(world: DownloadWorld) -> None:
    await make(world)
    await world.bind()
    await world.end_pod(21, {"reason": "SourceNotFound", "detail": "acme/tiny does not exist"})
    artifact = await world.until_word(AIM_ARTIFACT, "Failed")
    artifact = await world.until(
        lambda: world.only(AIM_ARTIFACT), lambda live: condition(live, "DownloadJobReady") == ("False", "JobFailed")
    )
    assert condition(artifact, "Ready") == ("False", "InvalidSpec")
    assert condition(artifact, "DownloadJobPodsReady") == ("False", "SourceNotFound")
    assert artifact["status"]["progress"]["displayPercentage"] == "N/A"
    await world.until_word(AIM_TEMPLATE_CACHE, "Failed")
    await world.end_pod(0, {"reason": "Completed"})
    await world.until_word(AIM_ARTIFACT, "Ready")
    cache = await world.until_word(AIM_TEMPLATE_CACHE, "Ready")
    assert condition(cache, "ArtifactsReady") == ("True", "AllCachesReady")


@pytest.mark.slow
async def test_a_pod_that_goes_with_its_node_is_followed_by_another(world: DownloadWorld) -> None:
    await make(world)
    await world.bind()
    first = await world.until(world._living_pod)
    await world.client.delete(POD, key_of(first), reason="test", grace_period_seconds=0)
    second = await world.until(world._living_pod, lambda pod: pod["metadata"]["uid"] != first["metadata"]["uid"])
    # The scheduler has had its say about the pod when the artifact is Pending.
    await world.until_word(AIM_ARTIFACT, "Pending")
    assert metadata_of(second)["ownerReferences"][0]["uid"] == metadata_of(first)["ownerReferences"][0]["uid"]
    await world.end_pod(0, {"reason": "Completed"})
    await world.until_word(AIM_ARTIFACT, "Ready")


async def test_a_volume_that_turned_out_too_small_is_asked_to_grow(world: DownloadWorld) -> None:
    """The API server itself refuses this for a class that does not allow it."""
    growing = {"apiVersion": STORAGE_CLASS.api_version, "kind": STORAGE_CLASS.name, "metadata": {"name": "growing"}}
    allowed = {"provisioner": "example.com/outside", "allowVolumeExpansion": True}
    await apply_manifests(world.client, [{**growing, **allowed}])
    await world.create(AIM_ARTIFACT, "tiny", spec={**SOURCE, "storageClassName": "growing"})
    claim = await world.bind()
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    await world.until_word(AIM_ARTIFACT, "Pending")
    await world.until(
        lambda: world.only(PERSISTENT_VOLUME_CLAIM), lambda live: (live.get("status") or {}).get("phase") == "Bound"
    )
    await world.end_pod(22, {"reason": "StorageFull", "detail": "no space left on device", "sizeBytes": 5 * 2**30})
    claim = await world.until(
        lambda: world.only(PERSISTENT_VOLUME_CLAIM),
        lambda live: live["spec"]["resources"]["requests"]["storage"] == "6Gi",
    )
    await world.until(
        lambda: world.only(AIM_ARTIFACT), lambda live: condition(live, "CachePvcReady") == ("False", "PvcExpanding")
    )
    grown = {"capacity": {"storage": "6Gi"}}
    await world.report(PERSISTENT_VOLUME_CLAIM, claim["metadata"]["name"], grown)
    await world.end_pod(0, {"reason": "Completed"})
    artifact = await world.until_word(AIM_ARTIFACT, "Ready")
    assert artifact["status"]["allocatedSize"] == "6Gi"


async def test_the_weights_of_a_lost_volume_are_fetched_again_once_its_claim_is_deleted(world: DownloadWorld) -> None:
    await make(world)
    claim = await world.bind()
    await world.end_pod(0, {"reason": "Completed"})
    await world.until_word(AIM_ARTIFACT, "Ready")
    volume = Key("", f"volume-{world.namespace}")
    await world.client.delete(PERSISTENT_VOLUME, volume, reason="test")
    await world.client.patch(PERSISTENT_VOLUME, volume, {"metadata": {"finalizers": None}}, reason="test")
    artifact = await world.until(
        lambda: world.only(AIM_ARTIFACT), lambda live: condition(live, "CachePvcReady") == ("False", "PvcLost")
    )
    assert artifact["status"]["status"] == "Degraded"
    [shown] = [item["message"] for item in artifact["status"]["conditions"] if item["type"] == "CachePvcReady"]
    assert f"claim {key_of(claim).name} is lost: delete the claim" in shown

    await world.client.delete(PERSISTENT_VOLUME_CLAIM, key_of(claim), reason="test")
    await world.until(
        lambda: world.only(PERSISTENT_VOLUME_CLAIM), lambda live: live["metadata"]["uid"] != claim["metadata"]["uid"]
    )
    await world.bind()
    await world.end_pod(0, {"reason": "Completed"})
    await world.until_word(AIM_ARTIFACT, "Ready")
    await world.until_word(AIM_TEMPLATE_CACHE, "Ready")


async def test_a_download_waits_for_its_secret(world: DownloadWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are not watched: it asks again by name, here more often (ART-DWN-6)."""
    monkeypatch.setattr(artifact_download, "SECRET_POLL_SECONDS", 1.0)
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    await world.create(AIM_ARTIFACT, "tiny", spec={**SOURCE, "env": [token]})
    await world.bind()
    artifact = await world.until(
        lambda: world.only(AIM_ARTIFACT), lambda live: condition(live, "DownloadJobReady")[1] == "ReferenceNotFound"
    )
    assert any("hub" in item["message"] for item in artifact["status"]["conditions"])
    assert await world.client.list(JOB, namespace=world.namespace) == []
    await world.create(SECRET, "hub", stringData={"token": "secret"})
    await world.end_pod(0, {"reason": "Completed"})
    await world.until_word(AIM_ARTIFACT, "Ready")


async def test_a_cache_takes_its_unfinished_artifacts_along(world: DownloadWorld) -> None:
    await make(world)
    await world.until(lambda: world.only(AIM_ARTIFACT))
    cache = await world.only(AIM_TEMPLATE_CACHE)
    assert cache["metadata"]["finalizers"] == [ARTIFACTS_OF_CACHE_FINALIZER]
    await world.client.delete(AIM_TEMPLATE_CACHE, Key(world.namespace, "tiny-cache"), reason="test")
    for _ in range(200):
        left = [
            len(await world.client.list(kind, namespace=world.namespace)) for kind in (AIM_TEMPLATE_CACHE, AIM_ARTIFACT)
        ]
        if left == [0, 0]:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"left: {left}")


async def test_missing_references_are_named_and_heal(world: DownloadWorld) -> None:
    spec = {"templateName": "tiny-latency", "templateScope": "Namespace", "runtimeConfigName": "team"}
    await world.create(AIM_TEMPLATE_CACHE, "tiny-cache", spec=spec)
    cache = await world.until_word(AIM_TEMPLATE_CACHE, "Failed")
    assert condition(cache, "RuntimeConfigReady") == ("False", "ReferenceNotFound")
    assert condition(cache, "ServiceTemplateReady") == ("False", "ReferenceNotFound")
    # A claim that waits for its consumer is no trouble, unlike one for which there is no volume.
    storage_class = {"apiVersion": STORAGE_CLASS.api_version, "kind": STORAGE_CLASS.name, "metadata": {"name": "late"}}
    waiting = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    await apply_manifests(world.client, [{**storage_class, **waiting}])
    await world.create(AIM_RUNTIME_CONFIG, "team", spec={"storage": {"defaultStorageClassName": "late"}})
    await world.create(AIM_SERVICE_TEMPLATE, "tiny-latency", spec={"modelName": "tiny", "modelSources": [SOURCE]})
    template = await world.until_word(AIM_SERVICE_TEMPLATE, "Failed")
    assert condition(template, "ModelReady") == ("False", "ReferenceNotFound")
    off = {"extractMetadata": False, "createServiceTemplates": False}
    await world.create(AIM_MODEL, "tiny", spec={"image": "aim:1", "modelSources": [SOURCE], "discovery": off})
    await world.until_word(AIM_SERVICE_TEMPLATE, "Ready")
    references = ("RuntimeConfigReady", "ServiceTemplateReady")
    cache = await world.until(
        lambda: world.only(AIM_TEMPLATE_CACHE),
        lambda live: all(condition(live, type_)[0] == "True" for type_ in references),
    )
    assert cache["status"]["resolvedRuntimeConfig"]["name"] == "team"
    assert cache["status"]["resolvedTemplateKind"] == "AIMServiceTemplate"
