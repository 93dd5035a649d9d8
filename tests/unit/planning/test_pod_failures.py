"""Why a pod failed: report, termination reason, exit code, log."""

import json
from typing import Any

import pytest

from aimd.api.service import ServiceCondition
from aimd.planning.pod_failures import (
    DOWNLOADER_EXIT_CODES,
    Report,
    classify_log,
    needs_log,
    parse_report,
    pod_failure,
    report_of,
)
from aimd.planning.pods import probe_pods
from aimd.runtime.objects import Category
from tests.unit.planning.pod_makers import ended, pod


@pytest.mark.parametrize(("code", "reason"), sorted(DOWNLOADER_EXIT_CODES.items()))
def test_exit_codes_of_the_downloader(code: int, reason: str) -> None:
    failed = pod("Failed", container=ended(code))
    assert pod_failure(failed).reason == probe_pods([failed]).reason == reason
    assert probe_pods([failed]).component(ServiceCondition.INFERENCE_SERVICE_PODS_READY).effective_reason == reason
    assert not needs_log(failed)
    assert pod_failure(failed, exit_codes={}).reason == "PodFailed"
    assert needs_log(failed, {})


def test_the_termination_message_comes_first() -> None:
    """Prove OBJ-POD-4."""
    report = json.dumps({"reason": "SourceNotFound", "detail": "no repository org/none", "protocol": "HTTP"})
    failed = pod("Failed", container=ended(1, message=report))
    failure = pod_failure(failed, log="no space left on device", exit_codes={})
    assert (failure.category, failure.reason) == (Category.INVALID_SPEC, "SourceNotFound")
    assert "no repository org/none" in failure.message
    assert not needs_log(failed, {})


def test_a_reason_without_a_meaning_here_is_quoted() -> None:
    report = json.dumps({"reason": "SimulatedFailure", "detail": "a switch is set"})
    failure = pod_failure(pod("Failed", container=ended(1, message=report)))
    assert failure.reason == "PodFailed"
    assert failure.message.endswith(": a switch is set")


@pytest.mark.parametrize("message", ["{", "[]", '{"reason": "Strange"}', '{"reason": 5}', "text"])
def test_other_termination_messages_are_only_quoted(message: str) -> None:
    assert pod_failure(pod("Failed", container=ended(1, message=message))).reason == "PodFailed"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("Repository Not Found for url: https://x", "SourceNotFound"),
        ("ERROR: S3 error: 404 (NoSuchBucket)", "SourceNotFound"),
        ("Cannot access gated repo for url", "AuthError"),
        ("SignatureDoesNotMatch", "AuthError"),
        ("OSError: No space left on device", "StorageFull"),
        ("Traceback\nValueError: x", None),
        ('forbidden: User "x" cannot patch resource\nNo space left on device', "StorageFull"),
        ('clusterrole "y" not found', None),
    ],
)
def test_log_text_of_foreign_images(log: str, reason: str | None) -> None:
    """Prove OBJ-POD-4."""
    found = classify_log(log)
    assert (found[0] if found else None) == reason


@pytest.mark.parametrize(
    ("container", "reason", "category"),
    [
        (ended(137, "OOMKilled"), "PodOOMKilled", Category.RESOURCE_EXHAUSTION),
        (ended(1, "DeadlineExceeded"), "PodDeadlineExceeded", Category.INVALID_SPEC),
        (ended(2), "PodFailed", Category.INVALID_SPEC),
    ],
)
def test_termination_reasons(container: dict[str, Any], reason: str, category: Category) -> None:
    failure = pod_failure(pod("Failed", container=container))
    assert (failure.reason, failure.category) == (reason, category)


def test_an_eviction_has_no_container() -> None:
    evicted = pod("Failed")
    evicted["status"] |= {"reason": "Evicted", "message": "The node was low on memory"}
    failure = pod_failure(evicted)
    assert (failure.reason, failure.category) == ("PodEvicted", Category.INFRASTRUCTURE)
    assert not needs_log(evicted, {})


def test_the_report_of_the_downloader_is_typed() -> None:
    message = json.dumps({"reason": "StorageFull", "sizeBytes": 5, "revision": "abc", "files": 3})
    full = Report("StorageFull", size_bytes=5, revision="abc", files=3)
    assert report_of(pod("Failed", container=ended(22, message=message))) == full
    assert report_of(None) == report_of(pod("Running")) == Report()


@pytest.mark.parametrize("size", ["5", True, None, 5.5])
def test_a_size_that_is_not_a_whole_number_is_none(size: object) -> None:
    assert parse_report(json.dumps({"sizeBytes": size})).size_bytes is None


def test_a_report_of_any_depth_is_a_report_or_none() -> None:
    """Prove OBJ-TEN-1."""
    assert parse_report('{"a":' * 5000 + "1" + "}" * 5000) == Report()
