"""Whatever ails a predictor, its route or its autoscaler is told, and never keeps the user's fix from rolling out.

Each trouble of a predictor and its route, and some more: break it, see the reason, repair it by an edit, see it run.
The test plays KServe, the kubelet and the gateway; the rows run side by side, each with a service of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from aimd.planning.kinds import AIM_RUNTIME_CONFIG, AIM_SERVICE, HTTP_ROUTE, INFERENCE_SERVICE
from aimd.planning.service import autoscaler
from aimd.runtime.errors import Invalid
from aimd.runtime.kinds import CUSTOM_RESOURCE_DEFINITION, EVENT, POD
from aimd.runtime.objects import Key, Kind, Manifest, key_of, uid_of
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.service_world import (
    READY,
    ServiceWorld,
    container_of,
    fill_cache,
    gateway,
    provide,
    service_world,
)
from tests.integration.stand_ins import install_crds

AT_ONCE = 12
FIXED = {"name": "FIXED", "value": "yes"}
FRAMEWORK = {"ConfigValid", "AuthValid", "DependenciesReachable"}


@pytest.fixture
async def world(api_server: ControlPlane) -> AsyncIterator[ServiceWorld]:
    async with service_world(api_server) as running, gateway(running):
        await provide(running)
        await running.create(AIM_RUNTIME_CONFIG, "bare", spec={"routing": {"enabled": True}})
        await running.create(AIM_SERVICE, "first", spec=SPEC)
        await fill_cache(running)
        yield running


SPEC: Manifest = {"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}}


def container(state: Manifest, **more: Any) -> Manifest:
    status = {"name": "kserve-container", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    return {"containerStatuses": [{**status, "state": state, **more}]}


def waits(reason: str, message: str = "", **more: Any) -> Manifest:
    """Status of a pod whose container cannot start."""
    return {"phase": "Pending", **container({"waiting": {"reason": reason, "message": message}}, **more)}


def ended(reason: str, exit_code: int = 1, message: str = "") -> Manifest:
    terminated = {"reason": reason, "exitCode": exit_code, "message": message}
    return {"phase": "Failed", **container({"terminated": terminated})}


def told(reason: str) -> Manifest:
    """Status of a pod that said in its termination message why it ended; its log would do as well."""
    return ended("Error", message=f'{{"reason": "{reason}", "detail": "in its own words"}}')


@dataclass(frozen=True)
class PodTrouble:
    """A pod's status, perhaps with an event about it; what the service says then, and the edit that helps."""

    reason: str
    word: str
    status: Manifest
    event: str = ""
    repair: Manifest = field(default_factory=dict)


OOM: Manifest = {"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes fit"}
SECRETS = {"imagePullSecrets": [{"name": "regcred"}]}
MEMORY = {"resources": {"limits": {"memory": "96Gi"}}}
PENDING: Manifest = {"phase": "Pending"}
POD_TROUBLES = (
    PodTrouble("ImagePullAuthFailure", "Failed", waits("ErrImagePull", "pull access denied"), repair=SECRETS),
    PodTrouble("ImageNotFound", "Failed", waits("ImagePullBackOff", "manifest unknown")),
    PodTrouble("ImagePullBackOff", "Degraded", waits("ImagePullBackOff", "i/o timeout")),
    PodTrouble("PodFailed", "Failed", ended("Error")),
    PodTrouble("PodOOMKilled", "Failed", ended("OOMKilled", 137), repair=MEMORY),
    PodTrouble("PodDeadlineExceeded", "Failed", {"phase": "Failed", "reason": "DeadlineExceeded"}),
    PodTrouble("PodEvicted", "Degraded", {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}),
    PodTrouble("SourceNotFound", "Failed", told("SourceNotFound")),
    PodTrouble("AuthError", "Failed", told("AuthError")),
    PodTrouble("StorageFull", "Failed", told("StorageFull")),
    PodTrouble("OOMKilled", "Failed", waits("CrashLoopBackOff", **OOM), repair=MEMORY),
    PodTrouble("CrashLoopBackOff", "Failed", waits("CrashLoopBackOff", "back-off 5m")),
    PodTrouble("CreateContainerConfigError", "Failed", waits("CreateContainerConfigError", 'secret "x" not found')),
    PodTrouble("CreateContainerError", "Failed", waits("CreateContainerError", "no command")),
    PodTrouble("RunContainerError", "Failed", waits("RunContainerError", "no such device")),
    PodTrouble("InvalidImageName", "Failed", waits("InvalidImageName", "cannot parse")),
    PodTrouble("FailedScheduling", "Pending", {**PENDING, "conditions": [UNSCHEDULABLE]}),
    PodTrouble("FailedMount", "Pending", PENDING, event="FailedMount"),
    PodTrouble("FailedAttachVolume", "Pending", PENDING, event="FailedAttachVolume"),
    PodTrouble("FailedCreatePodSandBox", "Pending", PENDING, event="FailedCreatePodSandBox"),
    PodTrouble("Pulling", "Starting", PENDING, event="Pulling"),
    PodTrouble("PodsPending", "Pending", PENDING),
    PodTrouble("PodsStarting", "Starting", {"phase": "Running"}),
    PodTrouble("PodsProgressing", "Starting", {"phase": "Unknown"}),
)


async def break_and_repair_pods(world: ServiceWorld, name: str, row: PodTrouble) -> None:
    inference_service = await create(world, name)
    pod = await make_pod(world, name, inference_service, row.status)
    if row.event:
        await tell(world, POD, pod, row.event)
    shown = (await until_reason(world, name, "InferenceServicePodsReady", row.reason, row.word))[
        "InferenceServicePodsReady"
    ]
    assert (shown["status"], bool(shown["message"])) == ("False", True)

    await world.edit(name, env=[FIXED], **row.repair)
    predictor = (await until_fixed(world, name))["spec"]["predictor"]
    assert predictor.get("imagePullSecrets", []) == row.repair.get("imagePullSecrets", [])
    if "resources" in row.repair:
        assert predictor["containers"][0]["resources"]["limits"]["memory"] == "96Gi"
    await world.client.delete(POD, key_of(pod), reason="test", grace_period_seconds=0)
    await serve(world, name, inference_service)
    await until_running(world, name)


async def break_and_repair_beside_a_good_pod(world: ServiceWorld, name: str, status: Manifest) -> None:
    """A bad new pod is a warning as long as an old one is Ready."""
    inference_service = await create(world, name)
    await serve(world, name, inference_service)
    await until_running(world, name)
    bad = await make_pod(world, name, inference_service, status)
    conditions = conditions_of(await world.until_word("Degraded", name=name))
    pods = conditions["InferenceServicePodsReady"]
    assert (pods["status"], pods["reason"]) == ("True", "PodsReady")
    assert "one of them has a problem" in pods["message"]
    assert not FRAMEWORK & set(conditions)
    await world.edit(name, env=[FIXED])
    await until_fixed(world, name)
    await world.client.delete(POD, key_of(bad), reason="test", grace_period_seconds=0)
    await until_running(world, name)


async def break_and_repair_kserve(world: ServiceWorld, name: str, reason: str) -> None:
    inference_service = await create(world, name)
    await tell(world, INFERENCE_SERVICE, inference_service, reason)
    await until_reason(world, name, "InferenceServiceReady", reason, "Failed")
    await world.edit(name, env=[FIXED])
    await until_fixed(world, name)
    await serve(world, name, inference_service)
    await until_running(world, name)


@dataclass(frozen=True)
class RouteTrouble:
    """A `spec.routing` that leads to trouble, the service's word before it serves and while it does, the repair."""

    reason: str
    starting: str
    serving: str
    routing: Manifest
    repair: Manifest
    config: str = "default"


OPEN = {"gatewayRef": {"name": "inference-gateway", "namespace": "gateways"}}
LABELED = {"pathTemplate": "/{.metadata.labels['team']}"}
ROUTE_TROUBLES = (
    RouteTrouble("GatewayNotConfigured", "Starting", "Degraded", {}, OPEN, config="bare"),
    RouteTrouble("PathTemplateInvalid", "Degraded", "Degraded", LABELED, {"pathTemplate": "/fine"}),
    RouteTrouble("InvalidSpec", "Degraded", "Degraded", {"requestTimeout": "1us"}, {"requestTimeout": "30s"}),
    RouteTrouble("NotAllowedByListeners", "Starting", "Degraded", {"gatewayRef": {"name": "closed"}}, OPEN),
    RouteTrouble("BackendNotFound", "Starting", "Degraded", {"gatewayRef": {"name": "blind"}}, OPEN),
    RouteTrouble("HTTPRoutePending", "Starting", "Starting", {"gatewayRef": {"name": "silent"}}, OPEN),
)


async def break_and_repair_route(world: ServiceWorld, name: str, row: RouteTrouble) -> None:
    """Broken from its birth, and again while it serves."""
    broken = {**dict.fromkeys(row.repair), **row.routing}
    repaired = {**dict.fromkeys(row.routing), **row.repair}
    inference_service = await create(world, name, routing=row.routing, runtimeConfigName=row.config)
    await until_reason(world, name, "HTTPRouteReady", row.reason, row.starting)
    await serve(world, name, inference_service)
    await until_reason(world, name, "HTTPRouteReady", row.reason, row.serving)
    await world.edit(name, env=[FIXED])
    await until_fixed(world, name)
    await world.edit(name, routing=repaired)
    await until_running(world, name)
    await world.edit(name, routing=broken)
    await until_reason(world, name, "HTTPRouteReady", row.reason, row.serving)
    await world.edit(name, routing=repaired)
    await until_running(world, name)


async def break_and_repair_autoscaler(world: ServiceWorld, name: str) -> None:
    """KEDA's kinds are there, and nobody acts on them."""
    inference_service = await create(world, name, minReplicas=1, maxReplicas=3)
    await until_reason(world, name, "HPAReady", "HPANotFound", "Starting")
    await serve(world, name, inference_service)
    conditions = await until_reason(world, name, "HPAReady", "AutoscalerNotInstalled", "Degraded")
    assert "Check that KEDA is running" in conditions["HPAReady"]["message"]
    await world.edit(name, env=[FIXED], minReplicas=None, maxReplicas=None)
    await until_fixed(world, name)
    await until_running(world, name)


Repair = Callable[[ServiceWorld, str], Awaitable[None]]


async def test_whatever_ails_a_service_is_told_and_repaired(
    world: ServiceWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows, a dozen at a time; fails with what went wrong in each."""
    monkeypatch.setattr(autoscaler, "GRACE", timedelta(seconds=2))
    rows: dict[str, Repair] = {
        **{f"pod-{row.reason}": partial(break_and_repair_pods, row=row) for row in POD_TROUBLES},
        "beside-crashing": partial(break_and_repair_beside_a_good_pod, status=waits("CrashLoopBackOff")),
        "beside-unpulled": partial(break_and_repair_beside_a_good_pod, status=waits("ErrImagePull", "denied")),
        "kserve-serverless": partial(break_and_repair_kserve, reason="ServerlessModeRejected"),
        "kserve-internal": partial(break_and_repair_kserve, reason="InternalError"),
        "keda-silent": break_and_repair_autoscaler,
        **{f"route-{row.reason}": partial(break_and_repair_route, row=row) for row in ROUTE_TROUBLES},
    }
    places = asyncio.Semaphore(AT_ONCE)

    async def run(name: str, repair: Repair) -> None:
        async with places:
            await repair(world, name.lower())

    outcomes = await asyncio.gather(*(run(*row) for row in rows.items()), return_exceptions=True)
    failed = {name: outcome for name, outcome in zip(rows, outcomes, strict=True) if outcome is not None}
    assert not failed, "\n".join(f"{name}: {outcome!r}" for name, outcome in failed.items())


POLICY = Kind(
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False
)
BINDING = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    namespaced=False,
)


@asynccontextmanager
async def routes_refused(world: ServiceWorld) -> AsyncIterator[None]:
    """No HTTPRoute can be made in the namespace, as where an administrator forbids it."""
    rule = {"apiGroups": [HTTP_ROUTE.group], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]}
    refusal = {"expression": "false", "message": "routes are made by the network team"}
    policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [refusal]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}}
    binding = {"policyName": world.namespace, "validationActions": ["Deny"], "matchResources": here}
    key = Key("", world.namespace)
    for kind, spec in ((POLICY, policy), (BINDING, binding)):
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": key.name}, "spec": spec}
        await world.client.create(kind, manifest, reason="test")
    try:
        yield
    finally:
        for kind in (BINDING, POLICY):
            await world.client.delete(kind, key, reason="test")


async def until_refused(world: ServiceWorld) -> None:
    """Policies take a moment to be enforced."""

    async def refused() -> Manifest:
        probe = {"apiVersion": HTTP_ROUTE.api_version, "kind": HTTP_ROUTE.name, "spec": {}}
        probe["metadata"] = {"name": uuid4().hex, "namespace": world.namespace}
        try:
            await world.client.create(HTTP_ROUTE, probe, reason="test")
        except Invalid as error:
            return {"message": str(error)}
        return {}

    await world.until(refused)


async def test_a_route_that_cannot_be_made_is_told_and_repaired(world: ServiceWorld) -> None:
    """What would be HTTPRouteCreating, held up by an administrator's policy; switching routing off helps."""
    async with routes_refused(world):
        await until_refused(world)
        inference_service = await create(world, "unrouted")
        conditions = await until_reason(world, "unrouted", "HTTPRouteReady", "InvalidSpec", "Failed")
        assert "made by the network team" in conditions["HTTPRouteReady"]["message"]
        await serve(world, "unrouted", inference_service)
        await world.edit("unrouted", env=[FIXED])
        await until_fixed(world, "unrouted")
        await world.edit("unrouted", routing={"enabled": False})
        await until_running(world, "unrouted")


async def test_a_cluster_without_the_gateway_api_is_told_and_repaired(world: ServiceWorld) -> None:
    """The row HTTPRouteFetchError: the kind goes while the service runs; without routing the service needs none."""
    inference_service = await create(world, "lost")
    await serve(world, "lost", inference_service)
    await until_running(world, "lost")
    name = f"{HTTP_ROUTE.plural}.{HTTP_ROUTE.group}"
    await world.client.delete(CUSTOM_RESOURCE_DEFINITION, Key("", name), reason="test")
    try:
        await until_reason(world, "lost", "HTTPRouteReady", "HTTPRouteFetchError", "Degraded")
        await world.edit("lost", env=[FIXED])
        await until_fixed(world, "lost")
        await world.edit("lost", routing={"enabled": False})
        await until_running(world, "lost")
    finally:
        await install_crds(world.client)
    await world.edit("lost", routing={"enabled": True})
    await until_running(world, "lost")


async def create(world: ServiceWorld, name: str, **spec: Any) -> Manifest:
    """A service whose InferenceService is there; gives that."""
    await world.create(AIM_SERVICE, name, spec={**SPEC, **spec})
    return await world.until(lambda: world.of_service(INFERENCE_SERVICE, name))


async def make_pod(world: ServiceWorld, name: str, inference_service: Manifest, status: Manifest) -> Manifest:
    labels = {"serving.kserve.io/inferenceservice": key_of(inference_service).name}
    # No scheduler of that name runs: what the test reports stays.
    spec = {"schedulerName": "test", "containers": [{"name": "kserve-container", "image": "registry/aim:1"}]}
    await world.create(POD, name, status=status, metadata={"labels": labels}, spec=spec)
    return await world.get(POD, name)


async def serve(world: ServiceWorld, name: str, inference_service: Manifest) -> None:
    """A Ready pod, and an InferenceService that says so."""
    await make_pod(world, f"{name}-ready", inference_service, {"phase": "Running", **READY})
    await world.report(INFERENCE_SERVICE, key_of(inference_service).name, READY)


async def tell(world: ServiceWorld, kind: Kind, about: Manifest, reason: str) -> None:
    """An event about an object, of now."""
    key = key_of(about)
    involved = {"kind": kind.name, "namespace": key.namespace, "name": key.name, "uid": uid_of(about)}
    await world.create(
        EVENT,
        f"{key.name}.{reason.lower()}",
        involvedObject=involved,
        type="Normal" if reason == "Pulling" else "Warning",
        reason=reason,
        message=f"{reason} of {key.name}",
        lastTimestamp=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def conditions_of(service: Manifest) -> dict[str, Manifest]:
    return {item["type"]: item for item in service["status"]["conditions"]}


async def until_reason(world: ServiceWorld, name: str, type_: str, reason: str, word: str) -> dict[str, Manifest]:
    def holds(live: Manifest) -> bool:
        shown = conditions_of(live).get(type_, {}).get("reason") if live.get("status") else None
        return (shown, (live.get("status") or {}).get("status")) == (reason, word)

    return conditions_of(await world.until(lambda: world.service(name), holds))


async def until_fixed(world: ServiceWorld, name: str) -> Manifest:
    """The InferenceService once the edit has reached it."""

    def holds(live: Manifest) -> bool:
        return FIXED in container_of(live)["env"]

    return await world.until(lambda: world.of_service(INFERENCE_SERVICE, name), holds)


async def until_running(world: ServiceWorld, name: str) -> None:
    """Running, and nothing is left of former trouble."""
    conditions = conditions_of(await world.until_word("Running", name=name))
    assert {type_ for type_, item in conditions.items() if item["status"] != "True"} == set()
