"""Rules and dashboards before a real Prometheus that scrapes a real operator with a service that runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import promql_parser
import pytest

from aimd.planning.kinds import AIM_CLUSTER_MODEL_SOURCE
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import render_chart
from tests.e2e.prometheus import Prometheus, locate_prometheus, serving
from tests.e2e.world import Operator, World, model, service, template
from tests.integration.operator_process import free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

JOB = "aim-engine-controller-manager-metrics-service"
WITHOUT_SERIES = {
    'aimd_apply_total{result=~"forbidden|invalid|quota|conflict"}': "nothing is refused",
    'aimd_object_condition{type="AuthValid"}': "no credentials are refused",
    'aimd_objects{kind="AIMArtifact",status="Failed"}': "no download fails",
    'aimd_service_status{status="Degraded"}': "no service is degraded",
    'aimd_service_status{status="Failed"}': "no service has failed",
    "aimd_service_gpu_missing{}": "the nodes have the GPU",
    "kubelet_volume_stats_capacity_bytes{}": "kubelet's metrics, which the sandbox has not",
    "kubelet_volume_stats_used_bytes{}": "kubelet's metrics, which the sandbox has not",
}
"""Selectors of alerts that give nothing while all is well, and why."""
WITHOUT_DATA = {"Lists and watches begun anew A"}
"""Panels that may be empty while all is well: nothing has to break."""
SOURCE = "unreachable-catalog"


def rendered() -> list[Any]:
    helm = locate_binaries(["helm"]).path("helm")
    return render_chart(helm, "crd.enable=false", "prometheus.rules.enable=true", "prometheus.dashboards.enable=true")


def rule_groups() -> dict[str, Any]:
    rule = next(item for item in rendered() if item["kind"] == "PrometheusRule")
    return {"groups": rule["spec"]["groups"]}


def alerts() -> dict[str, str]:
    return {rule["alert"]: rule["expr"] for group in rule_groups()["groups"] for rule in group["rules"]}


def panel_queries() -> dict[str, str]:
    """Each query of the dashboards by its panel, with Grafana's variables filled in."""
    texts = (text for item in rendered() if "dashboard" in item["metadata"]["name"] for text in item["data"].values())
    panels = (panel for text in texts for panel in json.loads(text)["panels"])
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$namespace", ".*")
        for panel in panels
        for target in panel.get("targets", ())
    }


def selectors(part: Any) -> list[str]:
    """The selectors of an expression, as they are written."""
    if isinstance(part, promql_parser.VectorSelector):
        return [str(part)]
    inner = [getattr(part, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    inner += getattr(part, "args", None) or ()
    return [text for each in inner if each is not None for text in selectors(each)]


def catalog() -> Manifest:
    """A model source whose registry nobody serves."""
    spec = {"registry": "127.0.0.1:1", "filters": [{"image": "acme/aim-*"}]}
    return {
        "apiVersion": AIM_CLUSTER_MODEL_SOURCE.api_version,
        "kind": AIM_CLUSTER_MODEL_SOURCE.name,
        "metadata": {"name": SOURCE},
        "spec": spec,
    }


@asynccontextmanager
async def watched(world: World, folder: Path) -> AsyncIterator[Prometheus]:
    """The operator with its metrics on, and a Prometheus that has seen a service come up."""
    target = f"127.0.0.1:{free_port()}"
    world.operator.stop()
    metering = Operator(world.operator.identity, folder / "aimd.log")
    metering.start(f"--metrics-bind-address={target}", "--metrics-secure=false")
    try:
        async with serving(folder, target, JOB, rule_groups()) as prometheus:
            await has(prometheus, "aimd_objects")
            await world.apply(model(world.namespace), template(world.namespace), service(world.namespace))
            await world.apply(catalog())
            await world.wait_running()
            await has(prometheus, "aimd_model_source_last_success_timestamp_seconds")
            await has(prometheus, 'aimd_service_status{status="Running"}')
            await asyncio.sleep(5)
            yield prometheus
    finally:
        await world.client.delete(AIM_CLUSTER_MODEL_SOURCE, Key("", SOURCE), reason="test")
        metering.stop()
        world.operator.start()


async def has(prometheus: Prometheus, expression: str) -> None:
    await wait_until(expression, lambda: prometheus.query(expression))


async def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps(rule_groups()))
    command = [str(locate_prometheus() / "promtool"), "check", "rules", str(rules)]
    done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert f"SUCCESS: {len(alerts())} rules found" in done.stdout.decode()


async def test_every_query_has_data_and_no_alert_fires_while_a_service_runs(world: World, tmp_path: Path) -> None:
    async with watched(world, tmp_path) as prometheus:
        assert {name for name, query in panel_queries().items() if not await prometheus.has_had(query)} <= WITHOUT_DATA
        asked = {text for expression in alerts().values() for text in selectors(promql_parser.parse(expression))}
        assert {text for text in asked if not await prometheus.has_had(text)} == set(WITHOUT_SERIES)
        groups = (await prometheus.get("rules"))["groups"]
        rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
        assert rules.keys() == alerts().keys()
        assert {rule["health"] for rule in rules.values()} == {"ok"}
        assert {name for name, rule in rules.items() if rule["state"] == "firing"} == set()
