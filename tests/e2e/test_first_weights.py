"""How long a service by image takes until its weights are being fetched, while a node would still pull the image.

The pull takes a few seconds, or as many as `AIMD_PULL_SECONDS` says: `make test-slow` need not wait ten minutes to see
that one way does not depend on it.
"""

import os
import time
from dataclasses import dataclass

import pytest

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import JOB, POD
from aimd.runtime.objects import Kind, Manifest
from aimd.sandbox.aim_image.images import HOST, LABELLED, UNLABELLED
from aimd.sandbox.cluster import SandboxSettings, sandbox_cluster
from aimd.sandbox.manifests import apply_manifests
from tests.e2e.world import namespace_manifest
from tests.waiting import wait_until

PULL_SECONDS = float(os.environ.get("AIMD_PULL_SECONDS", "30"))
LONGEST = 20.0
"""Seconds that a decision without a pod may take on a busy machine."""
BY_IMAGE: Manifest = {"model": {"image": UNLABELLED.reference}}
BY_JOB: Manifest = {"model": {"name": "asked"}, "template": {"name": "asked"}}


@dataclass(frozen=True)
class Cluster:
    """A namespace of the sandbox, seen by its user."""

    client: Client
    namespace: str

    async def apply(self, kind: Kind, name: str, spec: Manifest) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        await apply_manifests(self.client, [kind.manifest(metadata, spec=spec)])

    async def fetching(self) -> list[Manifest]:
        """The pods that download weights and run, or have ended well."""
        pods = await self.client.list(POD, namespace=self.namespace)
        return [pod for pod in pods if downloads(pod) and pod["status"].get("phase") in ("Running", "Succeeded")]

    async def seconds_until_weights_are_fetched(self) -> float:
        began = time.monotonic()
        await wait_until("a download", self.fetching, bool, 2 * PULL_SECONDS + 180)
        return time.monotonic() - began


def downloads(pod: Manifest) -> bool:
    return any(container["name"] == "model-download" for container in pod["spec"]["containers"])


@pytest.mark.slow
async def test_the_weights_are_fetched_before_the_image_is_there() -> None:
    settings = SandboxSettings(nodes=1, pull_seconds={f"{HOST}/*": PULL_SECONDS}, operator=True)
    async with (
        sandbox_cluster(settings) as sandbox,
        connect(ClientOptions(kubeconfig=sandbox.kubeconfig, user_agent="first-weights")) as client,
    ):
        from_registry, from_job = await both_ways(client)
    print(f"\nweights are fetched {from_registry:.1f} s after a service by image, {from_job:.1f} s by a discovery Job")
    print(f"while pulling the image takes {PULL_SECONDS:.0f} s")
    assert from_registry < LONGEST
    assert from_job > PULL_SECONDS


async def both_ways(client: Client) -> tuple[float, float]:
    """The seconds for a service by image, and for one whose template asks by a discovery Job."""
    by_image, by_job = Cluster(client, "by-image"), Cluster(client, "by-job")
    await apply_manifests(client, [namespace_manifest(item.namespace) for item in (by_image, by_job)])
    await by_image.apply(AIM_SERVICE, "chat", BY_IMAGE)
    from_registry = await by_image.seconds_until_weights_are_fetched()

    off = {"extractMetadata": False, "createServiceTemplates": False}
    await by_job.apply(AIM_MODEL, "asked", {"image": LABELLED.reference, "discovery": off})
    hardware = {"gpu": {"model": "MI300X", "requests": 1}}
    template = {"modelName": "asked", "metric": "latency", "hardware": hardware}
    await by_job.apply(AIM_SERVICE_TEMPLATE, "asked", template)
    await by_job.apply(AIM_SERVICE, "chat", BY_JOB)
    from_job = await by_job.seconds_until_weights_are_fetched()

    jobs = await client.list(JOB, namespace=by_image.namespace)
    assert not [item for item in jobs if item["metadata"]["name"].startswith("discover-")]
    return from_registry, from_job
