"""One namespace does not keep others from discovering profiles: template controllers on the real API server."""

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from aimd.controllers.all import live_reads
from aimd.controllers.image_inspections import ImageInspections
from aimd.controllers.model_source.image_lists import ImageLists
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.registry_access import PullSecrets
from aimd.controllers.service_template.controller import service_template_controllers
from aimd.controllers.service_template.discovery_slots import DiscoverySlots
from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE_TEMPLATE
from aimd.planning.pod_rights import PodRights
from aimd.planning.service_template.discovery_job import JOB_LABELS
from aimd.registry.client import connect_registries
from aimd.registry.failures import Problem, RegistryFailure
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Key, Kind, Manifest, key_of
from aimd.runtime.store import Cache
from tests.integration.stand_ins import install_own_crds, make_namespace
from tests.integration.world import operating, served
from tests.waiting import wait_until

RESOURCE_QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas", True)
SLOTS = 10
NOISY = 20


class Unreachable:
    """Instead of registries: no image can be read, so its profile is discovered by a Job."""

    async def inspect(self, *_: Any) -> RegistryFailure:
        return RegistryFailure(Problem.NOT_FOUND, "ImageNotFound", "there is no such image")


class Cluster:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.run = uuid4().hex[:6]

    async def namespace(self, name: str) -> str:
        full = f"{name}-{self.run}"
        await make_namespace(self.client, full)
        await self.create(AIM_MODEL, full, "m", spec={"image": "registry.example.com/org/image:1"})
        return full

    async def create(self, kind: Kind, namespace: str, name: str, **fields: Any) -> Manifest:
        metadata = {"name": name, "namespace": namespace, **fields.pop("metadata", {})}
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}
        return await self.client.create(kind, manifest, reason="test")

    async def template(self, namespace: str, name: str = "t") -> None:
        await self.create(AIM_SERVICE_TEMPLATE, namespace, name, spec={"modelName": "m"})

    async def jobs(self) -> list[Manifest]:
        selector = ",".join(f"{name}={value}" for name, value in JOB_LABELS.items())
        found = await self.client.list(JOB, label_selector=selector)
        return [job for job in found if key_of(job).namespace.endswith(self.run)]

    async def jobs_of(self, namespace: str) -> list[Manifest]:
        return [job for job in await self.jobs() if key_of(job).namespace == namespace]

    async def end(self, jobs: Iterable[Manifest]) -> None:
        for job in jobs:
            with suppress(NotFound):
                await self.client.delete(JOB, key_of(job), reason="test")


@pytest.fixture
async def cluster(api_server: Any) -> AsyncIterator[Cluster]:
    async with (
        connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin,
        connect_registries() as registries,
    ):
        await install_own_crds(admin)
        await served(admin, AIM_MODEL, AIM_SERVICE_TEMPLATE)

        def build(client: Client, cache: Cache) -> Iterable[KindReconciler[Any, Any]]:
            secrets = PullSecrets(client, "aim-system")
            slots, inspections = DiscoverySlots(cache, SLOTS), ImageInspections(Unreachable(), secrets)
            reads = live_reads(client, cache, slots, inspections, ImageLists(registries, secrets))
            for definition in service_template_controllers(slots, inspections, PodRights("aim-system", "aim-system")):
                yield KindReconciler(definition, client, cache, reads)

        async with operating(api_server, f"fairness-{uuid4().hex[:6]}", build):
            cluster = Cluster(admin)
            yield cluster
            for template in await admin.list(AIM_SERVICE_TEMPLATE):
                await admin.delete(AIM_SERVICE_TEMPLATE, key_of(template), reason="test")
            await cluster.end(await cluster.jobs())


async def test_twenty_noisy_namespaces_do_not_hold_up_a_quiet_one(cluster: Cluster) -> None:
    """Prove TPL-DSC-17: the quiet one waits for those that have got nothing yet, not for all that others want."""
    noisy = [await cluster.namespace(f"noisy-{number}") for number in range(NOISY)]
    for name in noisy:
        for number in range(3):
            await cluster.template(name, f"t{number}")

    async def full(before: set[str]) -> list[Manifest]:
        return [job for job in await cluster.jobs() if job["metadata"]["uid"] not in before]

    first = await wait_until("all slots are taken", lambda: full(set()), lambda found: len(found) == SLOTS, 60)
    quiet = await cluster.namespace("quiet")
    await cluster.template(quiet)
    gone: set[str] = set()
    running, rounds = first, 0
    while not await cluster.jobs_of(quiet):
        rounds += 1
        assert rounds <= 3, "it waits for at most 20 namespaces that have got nothing yet"
        gone |= {str(job["metadata"]["uid"]) for job in running}
        await cluster.end(running)
        running = await wait_until("all are taken again", partial(full, gone), lambda found: len(found) == SLOTS, 60)


async def test_jobs_that_only_look_like_ours_take_no_slot(cluster: Cluster) -> None:
    """Prove TPL-DSC-17."""
    tenant = await cluster.namespace("tenant")
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    labels = {**JOB_LABELS, "aim.eai.amd.com/template": "t"}
    for number in range(SLOTS):
        spec = {"suspend": True, "template": {"spec": pod}}
        await cluster.create(JOB, tenant, f"forged-{number}", metadata={"labels": labels}, spec=spec)
    quiet = await cluster.namespace("quiet")
    await cluster.template(quiet)
    await wait_until("its Job", lambda: cluster.jobs_of(quiet), bool, 30)


async def test_a_job_whose_pods_are_refused_gives_its_slot_back(cluster: Cluster) -> None:
    """Prove TPL-DSC-18."""
    namespace = await cluster.namespace("quota")
    await cluster.create(RESOURCE_QUOTA, namespace, "none", spec={"hard": {"pods": "0"}})

    async def hard() -> Any:
        quota = await cluster.client.get(RESOURCE_QUOTA, Key(namespace, "none"))
        return (quota.get("status") or {}).get("hard")

    await wait_until("the quota holds", hard, bool, 30)
    await cluster.template(namespace)

    async def discovered() -> str:
        live = await cluster.client.get(AIM_SERVICE_TEMPLATE, Key(namespace, "t"))
        conditions = (live.get("status") or {}).get("conditions") or ()
        return next((str(item["message"]) for item in conditions if item["type"] == "Discovered"), "")

    await wait_until("the template says why", discovered, lambda text: "exceeded quota" in text, 60)
    await wait_until("the slot is free", lambda: cluster.jobs_of(namespace), lambda found: not found, 30)
