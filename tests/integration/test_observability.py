"""What the chart ships for Prometheus and Grafana asks for metrics that the real process has."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import promql_parser
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import chart_folder, install_operator_identity, render_chart
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.guides import ADD_A_CONDITION
from tests.integration.operator_process import eventually, free_port, ready, running
from tests.integration.stand_ins import install_own_crds

ROOT = Path(__file__).parents[2]
MONITORED = ("prometheus.rules.enable=true", "prometheus.dashboards.enable=true")
FROM_KUBELET = "kubelet_volume_stats_"
FROM_PROMETHEUS = {"job", "instance", "pod"}
"""Labels of the target."""


@pytest.fixture(scope="session")
def helm() -> Path:
    return locate_binaries(["helm"]).path("helm")


@pytest.fixture(scope="session")
def monitoring(helm: Path) -> dict[str, str]:
    """Every expression of the rules and dashboards by where it stands."""
    found: dict[str, str] = {}
    for manifest in render_chart(helm, "crd.enable=false", *MONITORED):
        if manifest["kind"] == "PrometheusRule":
            rules = [rule for group in manifest["spec"]["groups"] for rule in group["rules"]]
            found |= {f"alert {rule['alert']}": rule["expr"] for rule in rules}
        for text in manifest.get("data", {}).values():
            panels = json.loads(text)["panels"]
            targets = ((panel["title"], target) for panel in panels for target in panel.get("targets", ()))
            found |= {f"panel {title} {target['refId']}": target["expr"] for title, target in targets}
    return found


@pytest.fixture
async def client(api_server: Any) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        yield admin


@pytest.fixture
async def metrics(client: Client, api_server: Any, helm: Path, tmp_path: Path) -> dict[str, Metric]:
    """What the real process exposes about a cluster with the quickstart in it, by name of a family."""
    await install_own_crds(client)
    identity = await install_operator_identity(client, helm, api_server)
    await apply_manifests(client, read_manifests(ROOT / "examples" / "quickstart"))
    log, port = tmp_path / "log", free_port()
    flags = ("--leader-elect", f"--metrics-bind-address=127.0.0.1:{port}", "--metrics-secure=false")
    with running(identity.kubeconfig, log, *flags) as (_, url):
        await eventually(lambda: ready(url), log)

        async def counts_services() -> bool:
            return "aimd_service_status{" in await scrape(port)

        await eventually(counts_services, log)
        await anyio.sleep(1)
        return {family.name: family for family in text_string_to_metric_families(await scrape(port))}


async def scrape(port: int) -> str:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text


def parts_of(expression: Any) -> Iterator[Any]:
    """The expression and all within it."""
    yield expression
    inner = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    for part in (*inner, *(getattr(expression, "args", None) or ())):
        if part is not None:
            yield from parts_of(part)


def parse(text: str) -> Any:
    """The expression with Grafana's variables filled in; raises ValueError where it is none."""
    return promql_parser.parse(text.replace("$__rate_interval", "5m"))


def selectors(text: str) -> list[promql_parser.VectorSelector]:
    return [part for part in parts_of(parse(text)) if isinstance(part, promql_parser.VectorSelector)]


def family_of(series: str, families: Iterable[str]) -> str | None:
    """The family that exposes a series of this name."""
    ends = ("", "_total", "_bucket", "_sum", "_count")
    return next((name for name in families if series in {f"{name}{end}" for end in ends}), None)


async def test_every_expression_asks_for_what_the_process_exposes(
    metrics: dict[str, Metric], monitoring: dict[str, str]
) -> None:
    assert len(monitoring) > 40
    names = {name for text in monitoring.values() for selector in selectors(text) if (name := selector.name)}
    names = {name for name in names if not name.startswith(FROM_KUBELET)}
    assert {name for name in names if family_of(name, metrics) is None} == set()
    wrong = []
    for place, text in monitoring.items():
        for selector in selectors(text):
            if str(selector.name).startswith(FROM_KUBELET):
                continue
            family = metrics[str(family_of(str(selector.name), metrics))]
            has = {label for sample in family.samples for label in sample.labels} | FROM_PROMETHEUS
            asked = {matcher.name for matcher in selector.matchers.matchers}
            # A family that has no series yet has no labels either.
            if family.samples and not asked <= has:
                wrong.append((place, family.name, asked - has))
    assert wrong == []


def test_every_alert_has_a_runbook(helm: Path) -> None:
    rendered = render_chart(helm, "crd.enable=false", *MONITORED)
    rule = next(item for item in rendered if item["kind"] == "PrometheusRule")
    alerts = {item["alert"]: item for group in rule["spec"]["groups"] for item in group["rules"]}
    page = (ROOT / "docs" / "runbooks.md").read_text()
    headings = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert sorted(headings) == sorted(alerts), (
        f"docs/runbooks.md needs one section for each alert, named like it; {ADD_A_CONDITION}"
    )
    assert {name: item["annotations"]["runbook_url"] for name, item in alerts.items()} == {
        name: f"docs/runbooks.md#{name.lower()}" for name in alerts
    }
    assert {item["labels"]["severity"] for item in alerts.values()} == {"critical", "warning", "info"}


@pytest.mark.parametrize("board", sorted((chart_folder() / "dashboards").glob("*.json")), ids=lambda path: path.name)
def test_dashboards_are_whole(board: Path) -> None:
    panels = json.loads(board.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["targets"]
