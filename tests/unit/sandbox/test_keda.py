"""What the KEDA stand-in makes of a ScaledObject, and how it answers the autoscaling controller."""

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from aimd.runtime.kinds import DEPLOYMENT, POD
from aimd.runtime.objects import Key, Manifest
from aimd.runtime.store import Cache, Store
from aimd.sandbox.addresses import AddressTable
from aimd.sandbox.keda import SCALED_OBJECT, ExternalMetrics, Trigger, autoscaler_of, triggers_of
from aimd.sandbox.local_server import serve_locally

METRIC = "vllm:num_requests_running"
QUERY = f'sum({METRIC}{{namespace="ns", deployment="chat-predictor"}})'
LABELS = {"app": "isvc.chat-predictor"}


def scaled_object(**trigger: Any) -> Manifest:
    metadata = {"metricQuery": QUERY, "targetValue": "2", "scalerAddress": "keda-otel-scaler.keda.svc:4318"}
    return {
        "metadata": {"namespace": "ns", "name": "chat-predictor", "uid": "u", "labels": {"team": "blue"}},
        "spec": {
            "scaleTargetRef": {"name": "chat-predictor"},
            "minReplicaCount": 1,
            "maxReplicaCount": 3,
            "triggers": [{"type": "external", "metadata": metadata, **trigger}],
        },
    }


def test_a_scaled_object_becomes_an_autoscaler() -> None:
    assert triggers_of(scaled_object()) == [Trigger(METRIC, Key("ns", "chat-predictor"), "2")]
    made = autoscaler_of(scaled_object())
    assert made["metadata"]["name"] == "keda-hpa-chat-predictor"
    assert made["metadata"]["labels"]["team"] == "blue"
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (1, 3)
    (metric,) = made["spec"]["metrics"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "2"}


@pytest.mark.parametrize("trigger", [{"type": "cpu"}, {"metadata": {"metricQuery": "rate(x[1m])"}}, {"metadata": {}}])
def test_other_triggers_are_not_understood(trigger: dict[str, Any]) -> None:
    assert triggers_of(scaled_object(**trigger)) == [None]
    assert autoscaler_of(scaled_object(**trigger))["spec"]["metrics"] == []


async def test_a_metric_is_the_sum_over_the_pods_that_answer() -> None:
    async def metrics(_: Request) -> PlainTextResponse:
        return PlainTextResponse(f'# TYPE {METRIC} gauge\n{METRIC}{{model_name="m"}} 2.5\n')

    cache, addresses = Cache(), AddressTable()
    for kind in (SCALED_OBJECT, DEPLOYMENT, POD):
        cache.add(Store(kind, {}))
    cache[SCALED_OBJECT].upsert(scaled_object())
    deployment = {"metadata": {"namespace": "ns", "name": "chat-predictor"}}
    cache[DEPLOYMENT].upsert({**deployment, "spec": {"selector": {"matchLabels": LABELS}}})
    async with serve_locally(Starlette(routes=[Route("/metrics", metrics)])) as port:
        for name, labels in (("a", LABELS), ("b", LABELS), ("silent", LABELS), ("foreign", {})):
            address = addresses.allocate()
            addresses.publish(address, 8000, port if name != "silent" else 1)
            metadata = {"labels": labels, "annotations": {"prometheus.kserve.io/port": "8000"}}
            pod = {"metadata": {"namespace": "ns", "name": name, **metadata}, "status": {"podIP": address}}
            cache[POD].upsert(pod)
        transport = httpx.ASGITransport(ExternalMetrics(cache, addresses).application())
        async with httpx.AsyncClient(transport=transport, base_url="http://metrics") as http:
            base = "/apis/external.metrics.k8s.io/v1beta1"
            assert (await http.get(base)).json()["resources"][0]["name"] == "externalmetrics"
            selector = {"labelSelector": "scaledobject.keda.sh/name=chat-predictor"}
            answer = (await http.get(f"{base}/namespaces/ns/s0-external", params=selector)).json()
            assert [item["value"] for item in answer["items"]] == ["5000m"]
            unknown = (await http.get(f"{base}/namespaces/other/s0-external", params=selector)).json()
            assert unknown["items"] == []
