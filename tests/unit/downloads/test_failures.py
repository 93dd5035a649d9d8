"""Failures: reasons, exit codes and phrases that others rely on."""

import errno

import pytest

from aimd.downloads.failures import (
    Reason,
    disk_failure,
    gated_repository,
    missing_repository,
    missing_revision,
    refused,
)
from aimd.planning.pod_failures import DOWNLOADER_EXIT_CODES, PERMANENT_REASONS, classify_log


def test_disk_errors() -> None:
    for code in (errno.ENOSPC, errno.EDQUOT):
        assert disk_failure(OSError(code, "full"), "/cache").reason is Reason.NO_SPACE
    assert disk_failure(OSError(errno.EROFS, "read-only"), "/cache").reason is Reason.FAILED


def test_exit_codes_are_contract() -> None:
    """Prove ART-RUN-6."""
    codes = {reason.text: reason.exit_code for reason in Reason}
    assert codes == {
        "AuthError": 20,
        "SourceNotFound": 21,
        "StorageFull": 22,
        "DownloadStalled": 23,
        "VerificationFailed": 24,
        "NetworkError": 25,
        "InvalidSource": 26,
        "DownloadFailed": 1,
        "SimulatedFailure": 1,
    }


def test_planning_knows_the_same_exit_codes_and_permanent_reasons() -> None:
    """(ART-RUN-6)"""
    assert {reason.exit_code: reason.text for reason in Reason if reason.exit_code > 1} == DOWNLOADER_EXIT_CODES
    assert {reason.text for reason in Reason if not reason.transient} == PERMANENT_REASONS


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        (missing_repository("org/name").detail, "SourceNotFound"),
        (gated_repository("org/name").detail, "AuthError"),
        (disk_failure(OSError(errno.ENOSPC, "full"), "/cache").detail, "StorageFull"),
    ],
)
def test_log_classifiers_know_the_phrases(detail: str, reason: str) -> None:
    """(ART-RUN-8)"""
    found = classify_log(detail)
    assert found is not None
    assert found[0] == reason


def test_details_name_the_repository() -> None:
    assert "org/name has no revision v9" in missing_revision("org/name", "v9").detail
    assert "401 for org/name" in refused("org/name", 401).detail
