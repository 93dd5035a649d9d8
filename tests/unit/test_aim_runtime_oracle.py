"""The oracle of AIM containers on published profiles; elsewhere it is compared with the runtimes themselves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.aim_runtime_oracle import (
    GENERATIONS,
    PROFILES,
    Accelerators,
    Container,
    Image,
    Refusal,
    Start,
    loaded,
    start,
)

PUBLISHED = Path(__file__).parents[1] / "data" / "aim-images" / "profiles"
QWEN = "Qwen/Qwen3-32B"
GPU = {"AIM_GPU_MODEL": "MI300X", "AIM_GPU_COUNT": "1"}
OLDER, NEWER = GENERATIONS[:3], GENERATIONS[3:]


def published(generation: str, family: str = "") -> dict[str, str]:
    root = PUBLISHED / generation / family
    return {str(path.relative_to(root)): path.read_text("utf-8") for path in root.rglob("*.yaml")}


def profile(aim_id: str = QWEN, model_id: str = QWEN, **metadata: Any) -> str:
    """A profile that every generation loads."""
    known = {
        "engine": "vllm",
        "gpu": "MI300X",
        "gpu_count": 1,
        "metric": "latency",
        "precision": "fp8",
        "type": "optimized",
        "manual_selection_only": False,
    }
    values = {**known, **metadata}
    newer = {"accelerator_model": values["gpu"], "accelerator_count": values["gpu_count"], "accelerator_type": "gpu"}
    document = {"metadata": {**newer, **values}, "engine_args": {}, "env_vars": {}}
    return yaml.safe_dump(document if not aim_id else {"aim_id": aim_id, "model_id": model_id, **document})


def image(generation: str, files: dict[str, str], **env: str) -> Image:
    return Image(generation, files, {"AIM_ID": QWEN, "AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "false", **env})


def started(image: Image, container: Container) -> Start:
    result = start(image, container)
    assert isinstance(result, Start), result
    return result


def refused(image: Image, container: Container) -> str:
    result = start(image, container)
    assert isinstance(result, Refusal), result
    return result.text


@pytest.mark.parametrize(
    ("generation", "family", "aim_id", "count"),
    [
        ("0.8", "", QWEN, 2),
        ("0.9", "", QWEN, 4),
        ("0.10", "instinct", QWEN, 1),
        ("0.11", "instinct", QWEN, 2),
        ("0.11x", "instinct", QWEN, 1),
        ("0.11x", "epyc", "Qwen/Qwen3-8B", 1),
        ("0.11x", "radeon", "zai-org/GLM-4.7-Flash", 2),
        ("0.12", "instinct", QWEN, 1),
        ("0.12", "epyc", "Qwen/Qwen3-8B", 1),
    ],
)
def test_published_profiles_load_in_their_generation(generation: str, family: str, aim_id: str, count: int) -> None:
    found = loaded(image(generation, published(generation, family), AIM_ID=aim_id), Container())
    assert len(found) == count


@pytest.mark.parametrize(
    ("of", "family", "aim_id", "last"),
    [
        ("0.11", "cpu", "Qwen/Qwen3-0.6B", "0.10"),
        ("0.11x", "epyc", "Qwen/Qwen3-8B", "0.10"),
        ("0.12", "instinct", QWEN, "0.11x"),
    ],
)
def test_profiles_of_later_generations_do_not_load_before(of: str, family: str, aim_id: str, last: str) -> None:
    earlier = GENERATIONS[: GENERATIONS.index(last) + 1]
    images = [image(name, published(of, family), AIM_ID=aim_id) for name in earlier]
    assert [found for found in images if loaded(found, Container())] == []


def test_a_profile_with_both_families_of_keys_loads_everywhere() -> None:
    files = {f"{QWEN}/vllm-mi300x-fp8-tp1-latency.yaml": profile()}
    for generation in GENERATIONS:
        assert started(image(generation, files), Container(GPU)).profile.id == "vllm-mi300x-fp8-tp1-latency"


def test_preview_is_unknown_to_the_first_generation() -> None:
    files = {f"{QWEN}/a.yaml": profile(type="preview")}
    assert [name for name in GENERATIONS if not loaded(image(name, files), Container())] == ["0.8"]


def test_names_of_gpus_are_exact_before_0_10() -> None:
    files = {f"{QWEN}/a.yaml": profile(gpu="mi300x")}
    assert [name for name in GENERATIONS if not loaded(image(name, files), Container())] == ["0.8", "0.9"]
    files = {f"{QWEN}/a.yaml": profile(gpu="AMD Instinct MI300X")}
    assert [name for name in GENERATIONS if loaded(image(name, files), Container())] == []


@pytest.mark.parametrize("change", [{"precision": "auto"}, {"gpu": ""}, {"metric": "speed"}, {"type": "best"}])
def test_what_no_generation_loads(change: dict[str, Any]) -> None:
    files = {f"{QWEN}/a.yaml": profile(**change)}
    assert [name for name in GENERATIONS if loaded(image(name, files), Container())] == []


def test_the_dry_runs_of_published_runtimes() -> None:
    files = published("0.9")
    assert started(image("0.9", files), Container(GPU)).profile.path == f"{QWEN}/vllm-mi300x-fp16-tp1-latency.yaml"
    own = Image("0.9", published("0.8"), {"AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "true"})
    general = started(own, Container({**GPU, "AIM_MODEL_ID": "my-org/ft"}))
    assert (general.profile.id, general.model) == ("general/vllm-mi300x-fp16-tp1-latency", "hf://my-org/ft")
    assert "No compatible profile found" in refused(image("0.9", files), Container(GPU | {"AIM_METRIC": "throughput"}))
    assert "No compatible profile found" in refused(image("0.9", files), Container())


def test_an_id_is_taken_whatever_the_hardware_and_must_exist() -> None:
    files = {f"{QWEN}/a.yaml": profile(manual_selection_only=True, gpu_count=8), "general/a.yaml": profile("")}
    for generation in GENERATIONS:
        for wanted in ("a", "general/a"):
            result = started(image(generation, files), Container({"AIM_PROFILE_ID": wanted}))
            assert result.profile.id == wanted
        missing = Container({"AIM_PROFILE_ID": "vllm-mi300x-fp8-tp8-latency"})
        assert "not found" in refused(image(generation, files), missing)


def test_manual_profiles_are_never_chosen_and_general_ones_as_the_image_says() -> None:
    files = {
        f"{QWEN}/a.yaml": profile(manual_selection_only=True, type="unoptimized"),
        "general/b.yaml": profile("", type="general"),
    }
    for generation in GENERATIONS:
        plain = image(generation, files)
        assert "No compatible profile" in refused(plain, Container(GPU))
        assert started(plain, Container(GPU | {"AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "true"})).profile.general
    unoptimized = Container(GPU | {"AIM_ALLOW_UNOPTIMIZED": "true"})
    assert "No compatible profile" in refused(image("0.9", files), unoptimized)
    assert started(image("0.10", files), unoptimized).profile.id == "a"


def test_the_order_of_the_choice() -> None:
    files = {
        f"{QWEN}/fp16.yaml": profile(precision="fp16"),
        f"{QWEN}/fp8.yaml": profile(type="preview"),
        f"{QWEN}/fp8-optimized.yaml": profile(),
        f"custom/{QWEN}/fp32.yaml": profile(precision="fp32"),
        "general/fp4.yaml": profile("", precision="fp4"),
    }
    container = Container(GPU | {"AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "true"})
    order = []
    while files:
        result = start(image("0.9", files), container)
        assert isinstance(result, Start)
        order.append(result.profile.path)
        del files[result.profile.path]
    assert order == [
        f"custom/{QWEN}/fp32.yaml",
        f"{QWEN}/fp8-optimized.yaml",
        f"{QWEN}/fp8.yaml",
        f"{QWEN}/fp16.yaml",
        "general/fp4.yaml",
    ]


def test_a_tie_names_its_rivals_and_variants_are_an_error_in_the_last_generation() -> None:
    files = {f"{QWEN}/a.yaml": profile(), f"{QWEN}/b.yaml": profile(variant="long")}
    assert [rival.id for rival in started(image("0.9", files), Container(GPU)).rivals] == ["b"]
    assert "differ only by variant" in refused(image("0.12", files), Container(GPU))


def test_ids_exclude_each_other_and_empty_ones_count_as_unset() -> None:
    files = {"general/a.yaml": profile("", type="general")}
    for generation in GENERATIONS:
        both = Container(GPU | {"AIM_MODEL_ID": "my-org/ft"})
        assert "Cannot set both" in refused(image(generation, files), both)
        assert "is required" in refused(image(generation, files), Container(GPU | {"AIM_ID": ""}))
        own = {"AIM_MODEL_ID": "my-org/ft", "AIM_ID": "", "AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "true"}
        assert started(image(generation, files), Container(GPU | own)).model == "hf://my-org/ft"


def test_the_folder_of_the_profile_s_model_counts() -> None:
    files = {f"{QWEN}/a.yaml": profile(model_id=f"{QWEN}-FP8")}
    cache = {"AIM_CACHE_PATH": "/workspace/model-cache"}
    mounted = {"/workspace/model-cache/Qwen/Qwen3-32B": "other", "/workspace/model-cache/Qwen/Qwen3-32B-FP8": "weights"}
    for generation in GENERATIONS:
        found = started(image(generation, files), Container(GPU | cache, weights=mounted))
        assert (found.model, found.holds) == ("/workspace/model-cache/Qwen/Qwen3-32B-FP8", "weights")
        assert found.served_names == (f"{QWEN}-FP8", QWEN)
        assert started(image(generation, files), Container(GPU | cache)).model == f"hf://{QWEN}-FP8"


def test_an_id_with_other_than_one_slash_has_no_folder() -> None:
    files = {f"{QWEN}/a.yaml": profile(model_id="a/b/c")}
    mounted = {"/workspace/model-cache/a/b/c": "weights"}
    assert started(image("0.9", files), Container(GPU, weights=mounted)).model == "hf://a/b/c"


def test_a_mounted_profile_hides_the_image_s_and_is_named_by_its_own_aim_id() -> None:
    files = {f"custom/{QWEN}/old.yaml": profile()}
    mounts = {f"{PROFILES}/custom/{QWEN}": {"mine.yaml": profile("acme/base", "acme/base")}}
    for generation in GENERATIONS:
        container = Container({"AIM_PROFILE_ID": "custom/acme/base/mine"}, files=mounts)
        assert [item.id for item in loaded(image(generation, files), container)] == ["custom/acme/base/mine"]
        assert started(image(generation, files), container).model == "hf://acme/base"


def test_engines_other_than_vllm_have_to_be_asked_for() -> None:
    files = published("0.12", "instinct")
    bento = replace(image("0.12", files, AIM_ID="monai/swinunetr"), engines=frozenset({"bentoml"}))
    wanted = {"AIM_PROFILE_ID": "bentoml-mi300x-fp16-tp1-latency"}
    assert "No configuration for engine 'vllm'" in refused(bento, Container(wanted))
    assert started(bento, Container({**wanted, "AIM_ENGINE": "bentoml"})).model == ""


def test_a_cpu_image_looks_at_the_cpu() -> None:
    files = published("0.12", "epyc")
    epyc = image("0.12", files, AIM_ID="Qwen/Qwen3-8B", AIM_ACCELERATOR_TYPE="cpu")
    container = Container({"AIM_METRIC": "throughput", **GPU}, accelerators=Accelerators(cpu="EPYC_ZEN5"))
    assert "No compatible profile" in refused(epyc, container), "unoptimized ones have to be named"
    named = Container({"AIM_PROFILE_ID": "vllm-epyc_zen5-bf16-tp1-throughput"})
    assert started(epyc, named).profile.count == 124


@pytest.mark.parametrize("generation", NEWER)
def test_newer_names_of_the_accelerator_are_preferred(generation: str) -> None:
    files = {f"{QWEN}/a.yaml": profile(gpu="MI325X", gpu_count=2)}
    env = {**GPU, "AIM_ACCELERATOR_MODEL": "mi325x", "AIM_ACCELERATOR_COUNT": "2"}
    assert started(image(generation, files), Container(env)).profile.id == "a"
    assert "No compatible" in refused(image("0.10", files), Container(env))


@pytest.mark.parametrize("generation", OLDER)
def test_an_unknown_gpu_name_is_ignored_and_the_visible_gpus_count(generation: str) -> None:
    files = {f"{QWEN}/a.yaml": profile(gpu_count=2)}
    seen = Container({"AIM_GPU_MODEL": "Instinct-MI300X"}, accelerators=Accelerators("MI300X", 2))
    assert started(image(generation, files), seen).profile.id == "a"


def test_arguments_and_variables() -> None:
    text = yaml.safe_dump(
        {**yaml.safe_load(profile()), "engine_args": {"max-model-len": 1, "dtype": "auto"}, "env_vars": {"A": "1"}}
    )
    given = {"AIM_ENGINE_ARGS": json.dumps({"max_model_len": 2, "dtype": "half"}), "A": "0", **GPU}
    older = started(image("0.11", {f"{QWEN}/a.yaml": text}), Container(given))
    assert older.engine_args == {"max-model-len": 1, "max_model_len": 2, "dtype": "half"}, "the flag comes twice"
    assert older.env["A"] == "1", "a profile's variables are the strongest"
    newest = started(image("0.12", {f"{QWEN}/a.yaml": text}), Container(given))
    assert newest.engine_args == {"max-model-len": 2, "dtype": "half"}
    wrong = Container({**GPU, "AIM_ENGINE_ARGS": '{"max-model-len": "many"}'})
    assert "Engine arguments validation failed" in refused(image("0.9", {f"{QWEN}/a.yaml": text}), wrong)
    ignored = Container({**GPU, "AIM_ENGINE_ARGS": "[1]"})
    assert started(image("0.9", {f"{QWEN}/a.yaml": text}), ignored).engine_args["max-model-len"] == 1
