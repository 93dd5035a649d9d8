"""Each alert in promtool's test of rules: it fires on what it is for, in time, and not on what only looks like it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import promql_parser
import pytest
import yaml

from tests.e2e.prometheus import locate_prometheus
from tests.e2e.test_prometheus import rule_groups, selectors

pytestmark = pytest.mark.slow

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "data" / "alerts.yaml").read_text())
MINUTES = 240
LOOK_EVERY = 5

Series: TypeAlias = Mapping[str, Any]


@cache
def rules() -> dict[str, Any]:
    """The alerting rules by name, as the chart renders them."""
    return {rule["alert"]: rule for group in rule_groups()["groups"] for rule in group["rules"]}


def minutes(duration: str) -> int:
    return int(duration[:-1]) * {"m": 1, "h": 60}[duration[-1]]


def scene(series: Series, expectations: Sequence[Any]) -> dict[str, Any]:
    """A test of promtool: these series over the healthy ones, and what is expected of them."""
    laid = {**CASES["healthy"], **series}
    inputs = [
        {"series": name, "values": values if isinstance(values, str) else f"{values}+0x{MINUTES}"}
        for name, values in laid.items()
        if values is not None
    ]
    return {"interval": "1m", "input_series": inputs, "alert_rule_test": list(expectations)}


def look(alert: str, minute: int, expected: Sequence[Any] = ()) -> dict[str, Any]:
    return {"alertname": alert, "eval_time": f"{minute}m", "exp_alerts": list(expected)}


def throughout(alert: str) -> list[Any]:
    return [look(alert, minute) for minute in range(0, MINUTES, LOOK_EVERY)]


def scenes(alert: str) -> Iterator[dict[str, Any]]:
    """One in which it fires, and those in which it must not."""
    case, rule = CASES["alerts"][alert], rules()[alert]
    annotations = {"summary": case["summary"], "runbook_url": rule["annotations"]["runbook_url"]}
    fires = [{"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": annotations} for labels in case["fires"]]
    at = minutes(case.get("at", rule["for"]))
    yield scene(case["sick"], [look(alert, at - 1), look(alert, at, fires)])
    yield scene({}, throughout(alert))
    for series in case.get("near", ()):
        yield scene(series, throughout(alert))


async def test_each_alert_has_a_case() -> None:
    assert CASES["alerts"].keys() == rules().keys()


@pytest.mark.parametrize("alert", CASES["alerts"])
async def test_no_alert_is_silent_for_want_of_series(alert: str) -> None:
    known = {str(name).partition("{")[0] for name in (*CASES["healthy"], *CASES["alerts"][alert]["sick"])}
    asked = {text.partition("{")[0] for text in selectors(promql_parser.parse(rules()[alert]["expr"]))}
    assert asked <= known


@pytest.mark.parametrize("alert", CASES["alerts"])
async def test_it_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(json.dumps(rule_groups()))  # JSON is YAML.
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": list(scenes(alert))}
    (tmp_path / "tests.yml").write_text(json.dumps(tests))
    command = [str(locate_prometheus() / "promtool"), "test", "rules", str(tmp_path / "tests.yml")]
    done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
