"""Logs: JSON lines with controller-runtime's keys, and the fields of the reconcile that logs."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import structlog

from aimd.runtime.logging import configure, log_context, set_level


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests log as structlog does by itself."""
    yield
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_begins_with_level_time_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    structlog.get_logger().info("caches synced", kind="Pod", objects=3)
    (line,) = lines(capsys)
    assert list(line) == ["level", "ts", "msg", "kind", "objects"]
    assert (line["level"], line["msg"], line["objects"]) == ("info", "caches synced", 3)


def test_lines_below_the_level_are_dropped_and_the_level_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning")
    log = structlog.get_logger()
    log.info("dropped")
    log.warning("written")
    set_level("DEBUG")
    log.debug("written, too")
    assert [line["msg"] for line in lines(capsys)] == ["written", "written, too"]


def test_fields_of_the_context_are_computed_only_for_lines_that_are_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info")
    computed = 0

    def fields() -> Mapping[str, Any]:
        nonlocal computed
        computed += 1
        return {"controller": "greeting", "name": "a"}

    log = structlog.get_logger()
    with log_context(fields):
        log.debug("dropped")
        assert computed == 0
        log.info("inside", name="own")
    log.info("outside")
    inside, outside = lines(capsys)
    assert (inside["controller"], inside["name"]) == ("greeting", "own")
    assert "controller" not in outside


def test_further_processors_see_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    def add(_logger: Any, _method: str, event: Any) -> Any:
        return {**event, "trace": f"of {event.get('name')}"}

    configure(further=(add,))
    with log_context(lambda: {"name": "a"}):
        structlog.get_logger().info("line")
    assert lines(capsys)[0]["trace"] == "of a"


def test_tracebacks_show_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (True, False):
        configure(json=as_json)
        try:
            secret = "hunter" + "2" * 3
            raise ValueError(len(secret))
        except ValueError:
            structlog.get_logger().exception("failed")
        text = capsys.readouterr().err
        assert "ValueError" in text
        assert "hunter222" not in text


def test_for_people_lines_are_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(json=False)
    structlog.get_logger().info("caches synced", kind="Pod")
    text = capsys.readouterr().err
    assert "caches synced" in text
    assert not text.startswith("{")
