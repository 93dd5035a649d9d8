"""Stand-in for KEDA with its OpenTelemetry scaler: ScaledObjects scale by the metrics of their Deployment's pods.

Each ScaledObject gets the HorizontalPodAutoscaler that KEDA would create. The real autoscaling controller then requests
the value of each trigger through the aggregation layer of the API server (`external.metrics.k8s.io`). The value is the
sum of a metric over the running pods of the Deployment, scraped from them for each request.

Left out: triggers other than KServe's external ones, operations over time, scaling to zero, formulas, fallback,
pausing, ScaledJobs, the store of the collector and its sidecars.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.abc import TaskStatus
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import for_object, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, NAMESPACE, POD, SERVICE
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, Kind, Manifest, Result, key_of, labels_of, metadata_of, uid_of
from aimd.runtime.objects import Request as ReconcileRequest
from aimd.runtime.predicates import generation_changed
from aimd.runtime.status import StatusWriter
from aimd.runtime.store import Cache
from aimd.sandbox.addresses import AddressTable
from aimd.sandbox.local_server import serve_locally
from aimd.sandbox.status_conditions import condition, merged, timestamp

SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
API_SERVICE = Kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", namespaced=False)
NAMESPACE_NAME = "keda"
SERVER_NAME = "keda-operator-metrics-apiserver"
SERVING_NAME = f"{SERVER_NAME}.{NAMESPACE_NAME}.svc"
"""The name that the API server expects in the certificate of the metrics server."""

_FIELD_MANAGER = "aimd-sandbox-keda"
_GROUP, _VERSION = "external.metrics.k8s.io", "v1beta1"
_OWNER_LABEL = "scaledobject.keda.sh/name"
_PORT_ANNOTATION = "prometheus.kserve.io/port"
_QUERY = re.compile(
    r'sum\((?P<metric>[\w:]+)\{namespace="(?P<namespace>[^"]+)", deployment="(?P<deployment>[^"]+)"\}\)'
)


@dataclass(frozen=True)
class KedaSettings:
    """Settings of the KEDA stand-in.

    `addresses` is shared with the kubelet. `certificate` and `key` are those of the metrics server, `authority` is the
    certificate (PEM) of their issuer.
    """

    addresses: AddressTable
    certificate: Path
    key: Path
    authority: bytes


@dataclass(frozen=True, slots=True)
class Trigger:
    """A metric, summed over the pods of a Deployment, and its target value per pod."""

    metric: str
    deployment: Key
    target: str


async def run_keda(
    client: Client, settings: KedaSettings, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Run until cancelled; report as started once its API is registered and its caches are synced.

    Raises ApiError if the API cannot be registered.
    """
    manager = Manager(client, ManagerOptions(metric_prefix="aimd_sandbox_keda"))
    manager.add(ScaledObjectReconciler(client, manager.cache))
    metrics = ExternalMetrics(manager.cache, settings.addresses)
    served = serve_locally(metrics.application(), certificate=settings.certificate, key=settings.key)
    async with served as port, anyio.create_task_group() as tasks:
        await register(client, port, settings.authority)
        await tasks.start(manager.run)
        task_status.started()


async def register(client: Client, port: int, authority: bytes) -> None:
    """Register the metrics server, through a Service with an external name, which may be that of loopback."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE_NAME}}
    service = {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.name,
        "metadata": {"namespace": NAMESPACE_NAME, "name": SERVER_NAME},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    api_service = {
        "apiVersion": API_SERVICE.api_version,
        "kind": API_SERVICE.name,
        "metadata": {"name": f"{_VERSION}.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "version": _VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"namespace": NAMESPACE_NAME, "name": SERVER_NAME, "port": port},
            "caBundle": base64.b64encode(authority).decode(),
        },
    }
    for kind, manifest in ((NAMESPACE, namespace), (SERVICE, service), (API_SERVICE, api_service)):
        await client.apply(kind, manifest, field_manager=_FIELD_MANAGER, reason="setup")


def triggers_of(scaled_object: Manifest) -> list[Trigger | None]:
    """Return the triggers in their order, with None for each that is not supported."""
    found: list[Trigger | None] = []
    for trigger in scaled_object["spec"].get("triggers") or ():
        metadata = trigger.get("metadata") or {}
        query = _QUERY.fullmatch(str(metadata.get("metricQuery") or ""))
        if trigger.get("type") != "external" or query is None:
            found.append(None)
            continue
        deployment = Key(query["namespace"], query["deployment"])
        found.append(Trigger(query["metric"], deployment, str(metadata.get("targetValue") or "0")))
    return found


def autoscaler_of(scaled_object: Manifest) -> Manifest:
    """Return the HorizontalPodAutoscaler that KEDA creates for a ScaledObject."""
    key, spec = key_of(scaled_object), scaled_object["spec"]
    selector = {"matchLabels": {_OWNER_LABEL: key.name}}
    metrics = [
        {
            "type": "External",
            "external": {
                "metric": {"name": metric_name(position), "selector": selector},
                "target": {"type": "AverageValue", "averageValue": trigger.target},
            },
        }
        for position, trigger in enumerate(triggers_of(scaled_object))
        if trigger is not None
    ]
    target = {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.name, "name": spec["scaleTargetRef"]["name"]}
    advanced = ((spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}).get("behavior")
    owner = {
        "apiVersion": SCALED_OBJECT.api_version,
        "kind": SCALED_OBJECT.name,
        "name": key.name,
        "uid": uid_of(scaled_object),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": HORIZONTAL_POD_AUTOSCALER.api_version,
        "kind": HORIZONTAL_POD_AUTOSCALER.name,
        "metadata": {
            "namespace": key.namespace,
            "name": f"keda-hpa-{key.name}",
            "labels": {**labels_of(scaled_object), _OWNER_LABEL: key.name},
            "ownerReferences": [owner],
        },
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": spec.get("minReplicaCount") or 1,
            "maxReplicas": spec.get("maxReplicaCount") or 100,
            "metrics": metrics,
            **({"behavior": advanced} if advanced else {}),
        },
    }


def metric_name(position: int) -> str:
    """Return the name of a trigger's metric, by the position of the trigger."""
    return f"s{position}-external"


class ScaledObjectReconciler:
    """Reconciles the HorizontalPodAutoscaler of each ScaledObject."""

    name = "scaledobject"
    kind = SCALED_OBJECT
    workers = 2
    informers: Sequence[Informer] = (
        Informer(SCALED_OBJECT),
        Informer(HORIZONTAL_POD_AUTOSCALER),
        Informer(DEPLOYMENT),
        Informer(POD),
    )
    watches: Sequence[Watch] = (
        Watch(SCALED_OBJECT, for_object, generation_changed),
        Watch(HORIZONTAL_POD_AUTOSCALER, for_owner(SCALED_OBJECT), generation_changed),
    )

    def __init__(self, client: Client, cache: Cache) -> None:
        self._client = client
        self._cache = cache
        self._status = StatusWriter(client, cache, _FIELD_MANAGER)

    async def reconcile(self, request: ReconcileRequest) -> Result:
        """Apply the autoscaler and report it; without a supported trigger, create none."""
        live = self._cache[SCALED_OBJECT].get(request.key)
        if live is None or metadata_of(live).get("deletionTimestamp"):
            return Result()
        if not any(triggers_of(live)):
            text = "no trigger is of type external with a sum over the pods of a Deployment"
            await self._report(live, condition("Ready", "False", "ScaledObjectCheckFailed", text))
            return Result()
        autoscaler = autoscaler_of(live)
        await self._client.apply(
            HORIZONTAL_POD_AUTOSCALER, autoscaler, field_manager=_FIELD_MANAGER, reason="scaled-object"
        )
        await self._report(live, condition("Ready", "True", "ScaledObjectReady", "ScaledObject is ready for scaling"))
        return Result()

    async def _report(self, live: Manifest, ready: Manifest) -> None:
        previous = (live.get("status") or {}).get("conditions") or ()
        await self._status.write(SCALED_OBJECT, live, {"conditions": merged(previous, [ready], timestamp())})


class ExternalMetrics:
    """The part of the API `external.metrics.k8s.io` that the autoscaling controller uses."""

    def __init__(self, cache: Cache, addresses: AddressTable) -> None:
        self._cache = cache
        self._addresses = addresses

    def application(self) -> Starlette:
        """Return the ASGI application: discovery, and the values."""
        base = f"/apis/{_GROUP}/{_VERSION}"
        return Starlette(
            routes=[
                Route(base, self.resources),
                Route(base + "/namespaces/{namespace}/{metric}", self.value),
            ]
        )

    async def resources(self, _: Request) -> Response:
        """Answer with the discovery document of the group's version."""
        resource = {"name": "externalmetrics", "singularName": "", "namespaced": True, "verbs": ["get"]}
        resource["kind"] = "ExternalMetricValueList"
        version = f"{_GROUP}/{_VERSION}"
        return JSONResponse(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource]}
        )

    async def value(self, request: Request) -> Response:
        """Answer with the value of a trigger, by metric name and selector; with an empty list if no pod responds."""
        _, _, owner = request.query_params.get("labelSelector", "").partition("=")
        scaled_object = self._cache[SCALED_OBJECT].get(Key(request.path_params["namespace"], owner))
        triggers = dict(enumerate(triggers_of(scaled_object))) if scaled_object is not None else {}
        metric = request.path_params["metric"]
        trigger = next((item for position, item in triggers.items() if metric_name(position) == metric), None)
        values = await self._read(trigger) if trigger is not None else []
        item = {"metricName": metric, "metricLabels": {}, "timestamp": timestamp(), "value": _quantity(sum(values))}
        return JSONResponse(
            {
                "kind": "ExternalMetricValueList",
                "apiVersion": f"{_GROUP}/{_VERSION}",
                "metadata": {},
                "items": [item] if values else [],
            }
        )

    async def _read(self, trigger: Trigger) -> list[float]:
        """Return the metric of each pod that responds."""
        values: list[float] = []
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as http:
            for port in self._ports(trigger.deployment):
                try:
                    text = (await http.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text
                except httpx.HTTPError:
                    continue
                values += [sum(_samples(text, trigger.metric))]
        return values

    def _ports(self, deployment: Key) -> Iterable[int]:
        """Yield the loopback ports of the metrics of a Deployment's running pods."""
        live = self._cache[DEPLOYMENT].get(deployment)
        wanted: dict[str, Any] = live["spec"]["selector"].get("matchLabels") or {} if live is not None else {}
        for pod in self._cache[POD].list(deployment.namespace) if wanted else ():
            status, port = pod.get("status") or {}, (metadata_of(pod).get("annotations") or {}).get(_PORT_ANNOTATION)
            if port and status.get("podIP") and wanted.items() <= labels_of(pod).items():
                local = self._addresses.resolve(status["podIP"], int(port))
                if local is not None:
                    yield local


def _samples(text: str, metric: str) -> Iterable[float]:
    families = text_string_to_metric_families(text)
    return (sample.value for family in families for sample in family.samples if sample.name == metric)


def _quantity(value: float) -> str:
    return f"{round(value * 1000)}m"
