"""Profile files of images: published ones of all generations, and whatever else a file may hold."""

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.profiles import MOST_FILES, Profile, ProfilesRead, read_profiles
from tests.aim_profiles import profile_text, published

PATH = "acme/tiny/vllm-mi300x-fp8-tp1-latency.yaml"
ENV = {"AIM_ID": "acme/tiny"}


def read(text: str, path: str = PATH, **env: str) -> ProfilesRead:
    return read_profiles({path: text}, ENV | env)


def only(text: str, path: str = PATH) -> Profile:
    found = read(text, path)
    assert found.rejected == ()
    return found.profiles[0]


def rejection(text: str, path: str = PATH) -> str:
    found = read(text, path)
    assert found.profiles == ()
    return found.rejected[0]


def edited(**changes: Any) -> str:
    """Return a file with changed fields at the top; None leaves one out."""
    document = {**yaml.safe_load(profile_text()), **changes}
    return str(yaml.safe_dump({name: value for name, value in document.items() if value is not None}))


@pytest.mark.parametrize(
    ("generation", "aim_id", "expected"),
    [
        ("0.8", "Qwen/Qwen3-32B", {"vllm-mi300x-fp16-tp1-latency", "general/vllm-mi300x-fp16-tp1-latency"}),
        (
            "0.9",
            "Qwen/Qwen3-32B",
            {
                "vllm-mi300x-fp16-tp1-latency",
                "vllm-mi325x-fp8-tp1-latency",
                "general/vllm-mi325x-fp16-tp8-throughput",
            },
        ),
        (
            "0.9",
            "openai/gpt-oss-20b",
            {"vllm-mi300x-mxfp4-tp1-latency", "general/vllm-mi325x-fp16-tp8-throughput"},
        ),
        ("0.10/instinct", "Qwen/Qwen3-32B", {"vllm-mi300x-fp16-tp2-throughput"}),
        ("0.10/epyc", "", {"general/vllm-epyc9965-fp16-1cpu-latency"}),
        ("0.11/instinct", "Qwen/Qwen3-32B", {"vllm-mi300x-fp8-tp1-latency"}),
        ("0.11/cpu", "Qwen/Qwen3-0.6B", {"vllm-cpu-bf16-tp1-latency"}),
        ("0.11/cpu", "example/echo-model", {"bentoml-cpu-fp32-tp1-latency"}),
        ("0.11x/instinct", "Qwen/Qwen3-32B", {"vllm-mi325x-fp8-tp1-latency"}),
        ("0.11x/radeon", "zai-org/GLM-4.7-Flash", {"vllm-r9700-bf16-tp4-latency"}),
        ("0.12/instinct", "Qwen/Qwen3-32B", {"vllm-mi300x-fp8-tp1-latency"}),
        ("0.12/instinct", "monai/swinunetr", {"bentoml-mi300x-fp16-tp1-latency"}),
        ("0.12/epyc", "Qwen/Qwen3-8B", {"vllm-epyc_zen5-bf16-tp1-throughput"}),
    ],
)
def test_published_files_of_all_generations(generation: str, aim_id: str, expected: set[str]) -> None:
    """OBJ-PRO-1, OBJ-PRO-2."""
    found = read_profiles(published(generation), {"AIM_ID": aim_id} if aim_id else {})
    assert {profile.id for profile in found.profiles} >= expected
    assert found.rejected == ()
    assert found.aim_id == aim_id


def test_the_content_of_a_published_file() -> None:
    found = read_profiles(published("0.12/instinct"), {"AIM_ID": "Qwen/Qwen3-32B"}).profiles[0]
    assert (found.aim_id, found.model_id, found.engine) == ("Qwen/Qwen3-32B", "Qwen/Qwen3-32B-FP8", "vllm")
    assert (found.accelerator, found.device, found.gpu_count, found.cpu_count) == ("gpu", "MI300X", 1, 0)
    assert (found.metric, found.precision, found.type) == ("latency", "fp8", "optimized")
    assert (found.manual_only, found.primary, found.is_general) == (False, True, False)
    assert found.engine_args["async-scheduling"] is None
    assert found.engine_args["gpu-memory-utilization"] == 0.9
    assert found.env_vars["VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS"] == "900"
    assert found.document["metadata"]["features"] == ["adapters"]


def test_the_precision_is_in_the_file_not_in_its_name() -> None:
    """OBJ-PRO-2."""
    found = read_profiles(published("0.9"), {"AIM_ID": "openai/gpt-oss-20b"}).by_id("vllm-mi300x-mxfp4-tp1-latency")
    assert found is not None
    assert found.precision == "fp4"
    assert found.primary is None


def test_profiles_for_cpus_count_cores() -> None:
    """OBJ-PRO-3."""
    epyc = read_profiles(published("0.11x/epyc"), {"AIM_ID": "Qwen/Qwen3-8B"}).profiles[0]
    assert (epyc.accelerator, epyc.device, epyc.gpu_count, epyc.cpu_count) == ("cpu", "EPYC_9965", 0, 188)
    pretending = read_profiles(published("0.10/epyc"), {}).profiles[0]
    assert (pretending.accelerator, pretending.device, pretending.gpu_count) == ("cpu", "", 0)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, ("gpu", "MI300X", 1)),
        ({"gpu": "mi300x"}, ("gpu", "MI300X", 1)),
        ({"gpu": "0x74a5"}, ("gpu", "MI325X", 1)),
        ({"gpu": None, "accelerator_model": "W7900"}, ("gpu", "W7900", 1)),
        ({"accelerator_model": "MI325X", "accelerator_count": 8}, ("gpu", "MI300X", 1)),
        ({"accelerator_type": None}, ("gpu", "MI300X", 1)),
        ({"gpu": "NONE", "gpu_count": 2}, ("cpu", "", 0)),
        ({"gpu": None, "accelerator_model": None, "gpu_count": 2}, ("gpu", "", 2)),
        ({"gpu": "NONE", "gpu_count": 0}, ("cpu", "", 0)),
        ({"accelerator_type": "cpu", "accelerator_model": "EPYC_4", "accelerator_count": 64}, ("cpu", "EPYC_4", 64)),
        ({"accelerator_type": "CPU", "gpu": "CPU", "accelerator_model": None}, ("cpu", "CPU", 1)),
        ({"accelerator_type": None, "gpu": "CPU"}, ("cpu", "CPU", 1)),
        ({"accelerator_type": None, "gpu": "epyc_9965"}, ("cpu", "EPYC_9965", 1)),
    ],
)  # fmt: skip
def test_both_families_of_keys(metadata: dict[str, Any], expected: tuple[str, str, int]) -> None:
    """OBJ-PRO-3."""
    found = only(profile_text(**metadata))
    assert (found.accelerator, found.device, found.count) == expected


def test_words_in_any_case() -> None:
    found = only(profile_text(metric="Latency", precision="FP8", type="Optimized"))
    assert (found.metric, found.precision, found.type) == ("latency", "fp8", "optimized")


@pytest.mark.parametrize(
    ("metadata", "manual"),
    [
        ({"manual_selection_only": True}, True),
        ({"manual_selection_only": False, "type": "unoptimized"}, False),
        ({"manual_selection_only": None, "type": "unoptimized"}, True),
        ({"manual_selection_only": None, "type": "preview"}, False),
    ],
)
def test_the_type_says_what_is_manual_only_where_the_key_is_gone(metadata: dict[str, Any], manual: bool) -> None:
    assert only(profile_text(**metadata)).manual_only is manual


@pytest.mark.parametrize(
    ("path", "profile_id"),
    [
        ("acme/tiny/a.yaml", "a"),
        ("acme/tiny/more/a.yaml", "a"),
        ("general/a.yaml", "general/a"),
        ("custom/x/y/a.yaml", "custom/acme/tiny/a"),
        ("custom/general/a.yaml", "custom/general/a"),
        ("acme/other/a.yaml", None),
        ("a.yaml", None),
        ("acme/tiny/a.yml", None),
    ],
)
def test_the_id_of_a_file(path: str, profile_id: str | None) -> None:
    """OBJ-PRO-2."""
    assert [profile.id for profile in read(profile_text(), path).profiles] == ([profile_id] if profile_id else [])


def test_the_first_of_two_files_with_the_same_id_counts() -> None:
    """OBJ-PRO-2."""
    files = {"acme/tiny/a.yaml": profile_text(), "acme/tiny/more/a.yaml": profile_text(precision="fp16")}
    found = read_profiles(files, ENV)
    assert [profile.precision for profile in found.profiles] == ["fp8"]
    assert found.rejected == ("acme/tiny/more/a.yaml: acme/tiny/a.yaml has the same id",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file has no fields"),
        ("- a", "the file has no fields"),
        ("a: [", "the file is not YAML"),
        (edited(metadata=None), "metadata is missing"),
        (edited(metadata="x"), "metadata is no object"),
        (edited(engine_args=None), "engine_args is missing"),
        (edited(env_vars={"A": 1}), "env_vars.A is no text"),
        (edited(aim_id=None), "aim_id is missing"),
        (edited(model_id="a/b/c"), "model_id is not organization/name"),
        (profile_text(gpu_count=None, accelerator_count=None), "metadata.gpu_count is missing"),
        (profile_text(gpu_count=-1), "metadata.gpu_count is no whole number"),
        (profile_text(gpu_count=True), "metadata.gpu_count is no whole number"),
        (profile_text(accelerator_type="tpu"), "metadata.accelerator_type tpu is neither gpu nor cpu"),
        (profile_text(gpu=3), "metadata.gpu is no text"),
        (profile_text(gpu="%%"), "the accelerator %% is no name of a model"),
        (profile_text(precision="auto"), "metadata.precision auto is none of"),
        (profile_text(metric=None), "metadata.metric is missing"),
        (profile_text(type="fast"), "metadata.type fast is none of optimized, general, preview, unoptimized"),
        (profile_text(engine=None), "metadata.engine is missing"),
        (profile_text(primary="yes"), "metadata.primary is neither true nor false"),
        ("a: !!python/object:os.system {}", "the file has tags"),
        ("a: !!binary aGk=", "the file has tags"),
        ("a: .nan", "values that JSON does not have"),
        ("a: 1" + "0" * 30, "a number is too large"),
        ("1: a", "a key is no text"),
        ("a: &a [*a]", "too many values, levels or aliases"),
        ("a: &a [x]\nb: [" + "*a, " * 9 + "]", "too many values, levels or aliases"),
        ("[" * 100, "too many values, levels or aliases"),
        ("a: " + "x" * 5000, "a value is too long"),
        ("#" * 40_000, "the file is longer than"),
    ],
)
def test_files_that_cannot_be_used_are_named(text: str, problem: str) -> None:
    """OBJ-PRO-1."""
    assert problem in rejection(text)
    assert rejection(text).startswith(f"{PATH}: ")


def test_a_general_profile_needs_no_model() -> None:
    found = only(edited(aim_id=None, model_id=None), "general/a.yaml")
    assert (found.aim_id, found.model_id, found.is_general) == ("", "", True)


def test_a_date_stays_a_text() -> None:
    assert only(edited(env_vars={"A": "x"}) + "made: 2026-01-01\n").document["made"] == "2026-01-01"


def test_only_a_few_rejections_are_named() -> None:
    found = read_profiles({f"acme/tiny/{number:02}.yaml": "" for number in range(20)}, ENV)
    assert len(found.rejected) == 9
    assert found.rejected[-1] == "12 more files"


def test_the_number_of_files_is_bounded() -> None:
    """OBJ-PRO-1."""
    found = read_profiles({f"acme/tiny/{number:04}.yaml": profile_text() for number in range(MOST_FILES + 2)}, ENV)
    assert len(found.profiles) == MOST_FILES
    assert "more than 512 profiles" in found.rejected[0]


@pytest.mark.parametrize(
    "text",
    ["a: " + ":".join(["1"] * 2000), "[" + "a," * 16_000 + "]", "? " * 16_000, "a: &a [x,x]\n" * 2000, "{" * 32_000],
)
def test_hostile_files_are_cheap(text: str) -> None:
    """OBJ-PRO-1."""
    before = time.process_time()
    read_profiles({f"acme/tiny/{number}.yaml": text for number in range(20)}, ENV)
    assert time.process_time() - before < 3


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=80), max_size=4), st.dictionaries(st.text(), st.text()))
def test_any_text_is_read(files: dict[str, str], env: dict[str, str]) -> None:
    """OBJ-PRO-1."""
    found = read_profiles({**files, **{f"general/{name}.yaml": text for name, text in files.items()}}, env)
    assert found.profiles == ()


@given(
    st.sampled_from(
        ["aim_id", "model_id", "metadata", "engine_args", "env_vars", "gpu", "gpu_count", "metric", "primary", "type"]
    ),
    VALUES,
)
def test_any_value_gives_a_valid_profile_or_a_remark(name: str, value: Any) -> None:
    """OBJ-PRO-1."""
    document = yaml.safe_load(profile_text())
    (document if name in document else document["metadata"])[name] = value
    found = read(yaml.safe_dump(document, allow_unicode=True))
    assert len(found.profiles) + len(found.rejected) == 1
    for profile in found.profiles:
        assert profile.id == "vllm-mi300x-fp8-tp1-latency"
        assert profile.gpu_count == 0 or profile.cpu_count == 0
        assert all(isinstance(item, str) for item in profile.env_vars.values())
        json.dumps(profile.document, allow_nan=False).encode()
