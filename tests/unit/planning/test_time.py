"""Moments as Kubernetes writes them."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from aimd.planning.time import age_seconds, created_at, parse_timestamp, timestamp

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_moment_is_written_in_utc_and_whole_seconds() -> None:
    assert timestamp(NOON.replace(microsecond=999_999)) == "2026-01-01T12:00:00Z"
    assert timestamp(datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize("text", ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:00"])
def test_what_is_written_is_read(text: str) -> None:
    assert parse_timestamp(text) == NOON


@pytest.mark.parametrize("text", ["", "today", "2026-13-01T00:00:00Z"])
def test_malformed_text_names_no_moment(text: str) -> None:
    assert parse_timestamp(text) is None


def test_an_object_without_a_time_of_creation_is_infinitely_old() -> None:
    item = {"metadata": {"creationTimestamp": "2026-01-01T12:00:00Z"}}
    assert created_at(item) == NOON
    assert age_seconds(item, NOON + timedelta(seconds=5)) == 5
    assert created_at({}) is None
    assert age_seconds({}, NOON) == math.inf
