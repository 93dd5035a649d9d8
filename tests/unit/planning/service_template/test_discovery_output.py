"""What images print."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.service_template.discovery_output import UnusableOutput, binary_quantity, read_output

PROFILE: dict[str, Any] = {
    "filename": "vllm-mi300x-fp8-tp1-latency.yaml",
    "profile": {
        "model": "m",
        "quantized_model": "",
        "metadata": {
            "engine": "vllm",
            "gpu": "MI300X",
            "gpu_count": 1,
            "metric": "latency",
            "precision": "fp8",
            "type": "optimized",
        },
        "engine_args": {
            "distributed_executor_backend": "mp",
            "gpu-memory-utilization": 0.95,
            "tensor-parallel-size": 1,
        },
        "env_vars": {"VLLM_USE_V1": "0"},
    },
    "models": [{"name": "HuggingFaceTB/SmolLM2-135M", "source": "hf://HuggingFaceTB/SmolLM2-135M", "size_gb": 0.5}],
}


def output(**changes: Any) -> str:
    return json.dumps([{**PROFILE, **changes}])


def with_metadata(**changes: Any) -> str:
    profile = PROFILE["profile"]
    return output(profile={**profile, "metadata": {**profile["metadata"], **changes}})


def test_a_profile() -> None:
    found = read_output(output())
    assert found.metadata == {
        "engine": "vllm",
        "gpu": "MI300X",
        "gpuCount": 1,
        "metric": "latency",
        "precision": "fp8",
        "type": "optimized",
    }
    assert found.engine_args["gpu-memory-utilization"] == 0.95
    assert found.engine_args["tensor-parallel-size"] == 1
    assert found.env_vars == {"VLLM_USE_V1": "0"}
    (source,) = found.sources
    assert source.manifest() == {
        "modelId": "HuggingFaceTB/SmolLM2-135M",
        "sourceUri": "hf://HuggingFaceTB/SmolLM2-135M",
        "size": "512Mi",
    }
    assert found.original == PROFILE
    assert found.remarks == ()


@pytest.mark.parametrize(
    "log",
    [
        "{}",
        "[INFO] starting\n{}",
        "{}\nbye",
        "warning: [x]\n{}\ndone [ok]\n",
        "[{{]\n{}",
        "first try [1, 2]\n{}\n[]",
        '[{{"unrelated": 1}}]\n{}',
    ],
)
def test_noise_around_the_array(log: str) -> None:
    """Prove TPL-OUT-1."""
    assert read_output(log.format(output())).gpu == "MI300X"


def test_further_profiles_are_passed_over() -> None:
    """Prove TPL-OUT-1."""
    other = {**PROFILE, "profile": {"metadata": {"gpu": "MI325X"}}}
    assert read_output(json.dumps([PROFILE, other])).gpu == "MI300X"


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("", "printed nothing"),
        ("  \n", "printed nothing"),
        ("Traceback: no such option", "no JSON array"),
        (output()[:-20], "no JSON array"),
        (json.dumps(PROFILE), "no array"),
        ("[]", "empty array"),
        ("[{}]", "no JSON array"),
        ("[1]", "no JSON array"),
        ("null", "no array"),
        (output().replace("0.95", "NaN"), "no JSON array"),
        (output().replace("0.95", "1e999"), "no JSON array"),
        (output(models=[{"name": "plain", "source": "hf://a/b"}]), "organization/name"),
        (output(models=[{"name": "a/b", "source": "gs://a/b"}]), "'gs://a/b' is not a valid source URI"),
        (output(models=[{"name": "a/b", "source": "hf://a/b", "size_gb": -1}]), "size_gb"),
        (output(models=[{"name": "a/b", "source": "hf://a/b", "size_gb": "big"}]), "size_gb"),
        (output(models={}), "no array"),
        (output(profile={"env_vars": {"A": 1}}), "env_vars"),
        (output(profile={"engine_args": []}), "engine_args"),
        (output(profile={"engine_args": {"a": "\ud800"}}), "no valid text"),
        (with_metadata(gpu_count=1.5), "gpu_count"),
        (with_metadata(gpu_count=-1), "gpu_count"),
        (with_metadata(gpu=1), "gpu of the profile"),
        ("[{" * 50_000, "no JSON array"),
    ],
)
def test_unusable_output_says_why(log: str, says: str) -> None:
    """Prove TPL-OUT-1."""
    with pytest.raises(UnusableOutput, match=says):
        read_output(log)


@pytest.mark.parametrize("models", [[], None])
def test_no_models_are_no_error(models: Any) -> None:
    assert read_output(output(models=models)).sources == ()


def test_empty_parts() -> None:
    found = read_output(output(profile={"metadata": {}, "engine_args": {}}))
    assert (found.engine_args, found.env_vars, found.metadata) == ({}, {}, {})


@pytest.mark.parametrize("type_", ["optimized", "general", "preview", "unoptimized"])
def test_types_are_carried_over(type_: str) -> None:
    assert read_output(with_metadata(type=type_)).metadata["type"] == type_


def test_words_outside_the_vocabulary_are_left_out_and_mentioned() -> None:
    """Prove TPL-OUT-2."""
    found = read_output(with_metadata(type="perfect", precision="fp9"))
    assert "type" not in found.metadata
    assert "precision" not in found.metadata
    assert ["perfect" in text or "fp9" in text for text in found.remarks] == [True, True]


@pytest.mark.parametrize(
    ("metadata", "gpu", "gpus", "cpus"),
    [
        ({"gpu": "MI300X", "gpu_count": 2}, "MI300X", 2, 0),
        ({"accelerator_model": "R9700", "accelerator_count": 1}, "R9700", 1, 0),
        ({"accelerator_model": "MI300X", "accelerator_count": 8, "accelerator_type": "gpu"}, "MI300X", 8, 0),
        ({"gpu": "MI300X", "gpu_count": 2, "accelerator_model": "MI325X", "accelerator_count": 4}, "MI300X", 2, 0),
        ({"gpu": "0x74a1", "gpu_count": 1}, "MI300X", 1, 0),
        ({"gpu": "mi325x", "gpu_count": 1}, "MI325X", 1, 0),
        ({"accelerator_model": "EPYC_9965", "accelerator_count": 188, "accelerator_type": "cpu"}, "", 0, 188),
        ({"accelerator_model": "EPYC_ZEN5", "accelerator_count": 124}, "", 0, 124),
        ({"gpu": "MI100", "gpu_count": 0}, "", 0, 0),
        ({"gpu": "NONE", "gpu_count": 0}, "", 0, 0),
        ({"gpu": "MI300X"}, "MI300X", 0, 0),
        ({}, "", 0, 0),
    ],
)
def test_hardware_of_older_and_newer_images(metadata: dict[str, Any], gpu: str, gpus: int, cpus: int) -> None:
    """Prove TPL-OUT-4."""
    found = read_output(output(profile={"metadata": metadata}))
    assert (found.gpu, found.gpu_count, found.cpus) == (gpu, gpus, cpus)
    assert found.remarks == ()


def test_words_are_read_in_any_case_and_the_model_is_kept() -> None:
    profile = {"aim_id": "Qwen/Qwen3-32B", "model_id": "Qwen/Qwen3-32B-FP8", "metadata": {"precision": "FP64"}}
    found = read_output(output(profile=profile))
    assert found.metadata == {"aimId": "Qwen/Qwen3-32B", "modelId": "Qwen/Qwen3-32B-FP8", "precision": "fp64"}


def test_weights_of_engines_that_bring_their_own_are_not_downloaded() -> None:
    """Prove TPL-OUT-5."""
    assert read_output(with_metadata(engine="bentoml")).sources == ()
    assert read_output(with_metadata(engine="vllm_omni")).sources != ()


RECORDED = Path(__file__).parents[3] / "data" / "aim-images" / "dryrun"


def recorded(generation: str, name: str) -> str:
    text = (RECORDED / generation / f"{name}.txt").read_text()
    return "\n".join(line for line in text.splitlines() if not line.startswith("# "))


@pytest.mark.parametrize("generation", ["0.8", "0.9"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("found-json", ("MI300X", "optimized", "Qwen/Qwen3-32B")),
        ("general-json", ("MI300X", "general", "my-org/ft")),
        ("profile-id-json", ("MI325X", "unoptimized", "Qwen/Qwen3-32B-FP8")),
    ],
)
def test_output_of_real_images(generation: str, name: str, expected: tuple[str, ...]) -> None:
    """Prove TPL-OUT-1."""
    found = read_output(recorded(generation, name))
    assert (found.gpu, found.metadata["type"], found.sources[0].model_id) == expected
    assert (found.gpu_count, found.remarks) == (1, ())


@pytest.mark.parametrize("generation", ["0.8", "0.9"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing-fits-json-warning", "no profile for this template: No compatible profile found for AIM Qwen/Qwen3"),
        ("no-gpu-json-warning", "no profile for this template: No compatible profile found for AIM Qwen/Qwen3-32B"),
        ("invalid-custom-json-warning", "no profile for this template: Invalid profile: 'mi300x' is not one of"),
        ("nothing-fits-json-critical", "empty array of profiles"),
    ],
)
def test_real_images_say_why_they_found_none(generation: str, name: str, says: str) -> None:
    """Prove TPL-DSC-14."""
    with pytest.raises(UnusableOutput, match=says):
        read_output(recorded(generation, name))


@given(st.data())
def test_log_lines_between_the_lines_of_the_output_do_no_harm(data: st.DataObject) -> None:
    """Prove TPL-OUT-1."""
    lines = json.dumps([PROFILE], indent=2).splitlines()
    record = "2026-01-01 00:00:00,000 - aim_runtime.gpu_detector - WARNING - No AMD GPUs detected [{"
    for position in data.draw(st.lists(st.integers(0, len(lines)), max_size=4)):
        lines.insert(position, record)
    assert read_output("\n".join(lines)).original == PROFILE


@pytest.mark.parametrize(
    ("gigabytes", "size"),
    [(0.5, "512Mi"), (16, "16Gi"), (16.0, "16Gi"), (16.06, str(int(16.06 * 2**30))), (0, ""), (2048, "2Ti")],
)
def test_sizes(gigabytes: float, size: str) -> None:
    source = {"name": "a/b", "source": "hf://a/b", "size_gb": gigabytes}
    assert read_output(output(models=[source])).sources[0].size == size


@given(st.integers(1, 2**60))
def test_a_binary_quantity_is_exact(size: int) -> None:
    units = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4}
    text = binary_quantity(size)
    unit = text[-2:]
    value = int(text[:-2]) * 1024 ** units[unit] if unit in units else int(text)
    assert value == size


@given(st.text(), st.text())
def test_any_text_around_is_either_read_or_refused(before: str, after: str) -> None:
    try:
        assert read_output(before + output() + after).gpu == "MI300X"
    except UnusableOutput:
        assert "[" in before or '"' in before


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON)
def test_whatever_a_profile_holds_is_read_or_refused(profile: Any) -> None:
    with suppress(UnusableOutput):
        read_output(json.dumps([{"profile": profile, "models": profile}]))
