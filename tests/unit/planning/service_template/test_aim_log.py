"""What the AIM runtime logs."""

from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.service_template.aim_log import missing_profile_causes, one_line, runtime_errors, without_records

FOLDER = "/workspace/aim-runtime/profiles/custom/a/b"


def record(level: str, message: str, logger: str = "aim_runtime.aim_runtime") -> str:
    return f"2026-01-01 00:00:00,000 - {logger} - {level} - {message}\n"


def test_causes_are_quoted_once_and_what_users_can_mend_comes_first() -> None:
    """Prove TPL-DSC-14."""
    log = (
        record("WARNING", "No AMD GPUs detected")
        + record("WARNING", f"✗ Invalid profile: {FOLDER}/p.yaml - Validation error: 'x' is not one of ['y']")
        + record("WARNING", f"✗ Invalid profile: {FOLDER}/..data/p.yaml - Validation error: 'x' is not one of ['y']")
        + record("WARNING", "No compatible profile found or error occurred: Specified profile ID 'p' not found")
        + "[]\n"
    )
    assert missing_profile_causes(log) == (
        "Invalid profile: 'x' is not one of ['y']",
        "Specified profile ID 'p' not found",
    )
    assert without_records(log) == "[]\n"


@pytest.mark.parametrize(
    "message",
    [
        "No compatible profile found for AIM a/b. Profile breakdown: 13 gpu_mismatch, 16 metric_mismatch",
        "Found 2 compatible profile(s) for AIM a/b, but they require explicit selection via AIM_PROFILE_ID: p, q",
        "No profile selected for AIM a/b: Multiple profiles match. Set AIM_PROFILE_ID to one of: p, q",
    ],
)
def test_each_known_cause_is_found_with_and_without_the_words_before_it(message: str) -> None:
    """Prove TPL-DSC-14."""
    wrapped = record("WARNING", f"No compatible profile found or error occurred: {message}")
    assert missing_profile_causes(wrapped + record("ERROR", f"Unexpected error: {message}")) == (message,)


def test_errors_are_quoted_and_warnings_are_not() -> None:
    """Prove TPL-DSC-15."""
    text = "Configuration error: Cannot set both AIM_ID and AIM_MODEL_ID. Only one should be set."
    log = record("WARNING", "No AMD GPUs detected") + record("ERROR", text, "entrypoint") * 2
    assert runtime_errors(log) == (text,)
    assert runtime_errors("Traceback (most recent call last):") == ()


def test_long_texts_are_cut_and_many_are_left_out() -> None:
    log = "".join(record("ERROR", f"{number} {'x' * 5000}") for number in range(50))
    assert [len(text) for text in runtime_errors(log)] == [301] * 4


@given(st.text(max_size=200), st.sampled_from(["WARNING", "ERROR"]))
def test_no_text_ever_fails(text: str, level: str) -> None:
    log = text + "\n" + record(level, text)
    for found in (*missing_profile_causes(log), *runtime_errors(log)):
        assert found.isprintable()
    assert len(without_records(log)) <= len(log)
    assert one_line(text, 10).isprintable()


@pytest.mark.parametrize(
    "unit",
    [
        "Invalid profile: ",
        " - ",
        "2026-01-01 00:00:00,000 - ",
        record("WARNING", "✗ Invalid profile: a - "),
        "- WARNING - ",
    ],
)
def test_the_time_for_a_long_log_is_bounded(unit: str) -> None:
    log = unit * (1024 * 1024 // len(unit))
    started = monotonic()
    missing_profile_causes(log)
    runtime_errors(log)
    without_records(log)
    assert monotonic() - started < 10
