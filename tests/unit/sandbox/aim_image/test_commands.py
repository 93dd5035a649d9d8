"""What the program of an image prints, and how it ends."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimd.sandbox import model_server
from aimd.sandbox.aim_image.container_root import ENGINES
from aimd.sandbox.aim_image.generations import Generation
from tests.aim_container import AIM, AimContainer, document, later_document

ID = {"AIM_ID": AIM}
MI300X = {"AIM_GPU_MODEL": "MI300X", "AIM_GPU_COUNT": "1"}
WARNING = {"AIM_LOG_LEVEL": "WARNING", "AIM_LOG_LEVEL_ROOT": "WARNING"}
CRITICAL = {"AIM_LOG_LEVEL": "CRITICAL", "AIM_LOG_LEVEL_ROOT": "CRITICAL"}
JSON = ("dry-run", "--format=json")


def container(root: Path, generation: Generation = Generation.V0_9) -> AimContainer:
    made = AimContainer(root, generation)
    later = generation >= Generation.V0_12
    profile = (later_document if later else document)(env_vars={"A": "1"}, engine_args={"max-model-len": 8})
    made.add(f"{AIM}/vllm-mi300x-fp16-tp1-latency.yaml", profile)
    if not generation.by_schema:
        made.add(f"../../..{ENGINES}", "vllm: {launch: python -m vllm.server, model_arg: --model}")
    return made


@pytest.mark.parametrize("generation", [Generation.V0_8, Generation.V0_9])
def test_a_dry_run_in_json_of_0_8_and_0_9(generation: Generation, tmp_path: Path) -> None:
    ran = container(tmp_path, generation).run(*JSON, **ID, **MI300X, **WARNING)
    assert (ran.code, ran.log) == (0, "")
    (found,) = ran.document
    assert found == {
        "filename": "vllm-mi300x-fp16-tp1-latency.yaml",
        "profile": document(env_vars={"A": "1"}, engine_args={"max-model-len": 8}),
        "models": [{"name": AIM, "source": f"hf://{AIM}", "size_gb": None}],
    }


@pytest.mark.parametrize("generation", [Generation.V0_11, Generation.V0_12])
def test_a_dry_run_of_later_ones_has_path_and_script(generation: Generation, tmp_path: Path) -> None:
    made = container(tmp_path, generation)
    asked = {"AIM_ACCELERATOR_MODEL": "MI300X", "AIM_ACCELERATOR_COUNT": "1"}
    (found,) = made.run(*JSON, **ID, **asked, **CRITICAL).document
    assert list(found) == ["filename", "path", "profile", "models", "script"]
    assert found["path"] == f"/workspace/aim-runtime/profiles/{AIM}/vllm-mi300x-fp16-tp1-latency.yaml"
    assert found["script"].endswith(
        f"exec python -m vllm.server --model {AIM} --max-model-len 8 --port 8000 --served-model-name {AIM}\n"
    )
    ran = made.run("dry-run", **ID, **asked, **CRITICAL)
    assert yaml.safe_load(ran.output) == [found]


@pytest.mark.parametrize("generation", Generation)
def test_a_dry_run_in_json_without_a_profile_is_an_empty_array(generation: Generation, tmp_path: Path) -> None:
    made = container(tmp_path, generation)
    silent = made.run(*JSON, **ID, **CRITICAL)
    assert (silent.code, silent.output, silent.log) == (0, "[]\n", "")
    told = made.run(*JSON, **ID, **WARNING)
    assert (told.code, told.output) == (0, "[]\n")
    device = "gpu" if generation.by_schema else "accelerator"
    assert "No AMD GPUs detected" in told.log
    assert (
        "aim_runtime.aim_runtime - WARNING - No compatible profile found or error occurred: No compatible profile "
        f"found for AIM {AIM}. Profile breakdown: 1 {device}_mismatch"
    ) in told.log


def test_general_profiles_serve_any_model(tmp_path: Path) -> None:
    made = AimContainer(tmp_path)
    made.add("general/a.yaml", {name: document()[name] for name in ("metadata", "engine_args", "env_vars")})
    (found,) = made.run(*JSON, AIM_MODEL_ID="hf://my/ft", **MI300X).document
    assert found["models"] == [{"name": "my/ft", "source": "hf://my/ft", "size_gb": None}]


def test_a_dry_run_for_people_in_0_9(tmp_path: Path) -> None:
    ran = container(tmp_path).run("dry-run", **ID, **MI300X)
    assert ran.code == 0
    assert f"Path: /workspace/aim-runtime/profiles/{AIM}/vllm-mi300x-fp16-tp1-latency.yaml\n" in ran.output
    assert "GENERATED SCRIPT" in ran.output
    assert "export A=1\n" in ran.output
    failed = container(tmp_path).run("dry-run", **ID)
    assert (failed.code, failed.output) == (1, "")
    assert "__main__ - ERROR - Unexpected error: No compatible profile found" in failed.log


@pytest.mark.parametrize("command", [JSON, ("serve",), (), ("list-profiles",), ("dry-run",)])
def test_both_ids_are_a_configuration_error_of_every_command(command: tuple[str, ...], tmp_path: Path) -> None:
    ran = container(tmp_path).run(*command, **ID, AIM_MODEL_ID="c/d", **CRITICAL)
    assert (ran.code, ran.output) == (1, "")
    assert ran.log.endswith(
        "__main__ - ERROR - Configuration error: Cannot set both AIM_ID and AIM_MODEL_ID. Only one should be set.\n"
    )


def test_a_warning_about_the_environment_is_printed_whatever_the_level_until_0_9(tmp_path: Path) -> None:
    wrong = {"AIM_GPU_MODEL": "Instinct-MI300X", **CRITICAL}
    first = container(tmp_path / "1").run(*JSON, **ID, **wrong)
    assert first.log.startswith("AIM_GPU_MODEL must be one of")
    assert container(tmp_path / "2", Generation.V0_11).run(*JSON, **ID, **wrong).log == ""


@pytest.mark.parametrize("arguments", [("train",), ("dry-run", "--format=xml"), ("list-profiles", "--format=json")])
def test_an_unknown_command_or_option_is_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert container(tmp_path).run(*arguments, **ID).code == 2


def test_weights_are_not_downloaded_in_the_container(tmp_path: Path) -> None:
    assert container(tmp_path).run("download-to-cache", **ID).code == 1
    ran = AimContainer(tmp_path / "s3")
    ran.add(f"{AIM}/a.yaml", document(model_id="s3://bucket/x"))
    refused = ran.run("serve", **ID, **MI300X)
    assert refused.code == 1
    assert "Auto-download failed for S3 model s3://bucket/x" in refused.log


def test_without_its_weights_the_engine_fails_and_not_the_runtime(tmp_path: Path) -> None:
    made = container(tmp_path)
    ran = made.run("serve", **ID, **MI300X)
    assert ran.code == 1
    assert f"Command: python -m vllm.entrypoints.openai.api_server --model {AIM} " in ran.log
    assert f"OSError: cannot load the configuration of '{AIM}': it is no local directory" in ran.log
    folder = made.cache(AIM, "model.safetensors")
    assert f"'/workspace/model-cache/{AIM}' has no config.json" in made.run(**ID, **MI300X).log
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("")
    assert "cannot find any model weights" in made.run(**ID, **MI300X).log


def test_the_engine_gets_the_weights_the_names_and_the_variables_of_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def start(served: model_server.Served, folder: Path | None, port: int) -> int:
        started.append((served, folder, port, os.environ["A"]))
        return 0

    monkeypatch.setattr(model_server, "serve_engine", start)
    made = container(tmp_path)
    made.cache("x/y", "config.json")
    made.add("custom/b.yaml", document(model_id="x/y", env_vars={"A": "profile"}))
    ran = made.run("--listen", "8000=4711", **ID, gpus=("74a1",), A="container")
    assert (ran.code, ran.output) == (0, "")
    served = model_server.Served(("x/y", AIM), "/workspace/model-cache/x/y", f"custom/{AIM}/b")
    assert started == [(served, tmp_path / "workspace/model-cache/x/y", 4711, "profile")]
    made.run("--listen", "8000=4711", **ID, **MI300X, AIM_PORT="8080")
    assert started[1][2] == 0, "nobody reaches a port that the pod does not publish"


@pytest.mark.parametrize("generation", Generation)
def test_a_list_of_profiles(generation: Generation, tmp_path: Path) -> None:
    made = container(tmp_path, generation)
    made.add("general/b.yaml", "broken")
    table = made.run("list-profiles", **ID, **WARNING).output
    name = "gpu_mismatch" if generation.by_schema else "accelerator_mismatch"
    row = next(line for line in table.splitlines() if "vllm-mi300x" in line)
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("vllm-mi300x-fp16-tp1-latency", "MI300X", "fp16", "vllm", "1", "latency", "optimized", "2", "No", name)
    ]
    text = made.run("list-profiles", "--format", "text", "--skip-compatibility-check", **ID).output
    assert "Total profiles discovered: 1\n\nMI300X (1 profiles):" in text
    only = made.run("list-profiles", "--state", "compatible", "--format", "text", **ID).output
    assert "Total profiles analyzed: 0" in only
    if not generation.by_schema:
        (found,) = made.run("list-profiles", "--format", "json", **ID).document
        assert list(found) == ["profile_id", "compatibility", "profile"]
        assert found["compatibility"] == name


def test_an_image_without_profiles_says_so(tmp_path: Path) -> None:
    made = AimContainer(tmp_path)
    assert "No profiles found." in made.run("list-profiles", **ID).output
    assert made.run("list-profiles", "--skip-compatibility-check", **ID).output == "No profiles found.\n"
    assert "No valid profiles found in registry" in made.run(*JSON, **ID, **WARNING).log


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just("MI300X"), st.just("vllm"))
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
NEARLY = st.builds(
    lambda name, value: {**document(), name: value},
    st.sampled_from(["aim_id", "model_id", "metadata", "engine_args", "env_vars"]),
    ANYTHING,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=ANYTHING | NEARLY, generation=st.sampled_from(Generation))
def test_whatever_a_file_has_the_runtime_ends_well(
    content: Any, generation: Generation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = container(tmp_path_factory.mktemp("container"), generation)
    made.add("custom/x.yaml", content)
    ran = made.run(*JSON, **ID, **MI300X, AIM_PROFILE_ID="vllm-mi300x-fp16-tp1-latency")
    assert ran.code == 0
    assert [item["filename"] for item in ran.document] == ["vllm-mi300x-fp16-tp1-latency.yaml"]
