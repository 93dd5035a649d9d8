"""The command line of the engine: arguments, their precedence, the weights, and the names of the model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aimd.sandbox.aim_image.configuration import Configuration
from aimd.sandbox.aim_image.container_root import PROFILES, ContainerRoot
from aimd.sandbox.aim_image.engine_command import (
    ArgumentsInvalid,
    engine_command,
    read_launch,
    script,
    served_names,
    weights_path,
)
from aimd.sandbox.aim_image.generations import Generation
from aimd.sandbox.aim_image.profiles import Profile, Traits
from tests.aim_container import AIM

TRAITS = Traits("vllm", "MI300X", 1, "fp16", "latency", "optimized", manual_only=False)
LAUNCH = ["python", "-m", "vllm.entrypoints.openai.api_server", "--model"]


def profile(engine_args: dict[str, Any], model_id: str = AIM, *, general: bool = False) -> Profile:
    path = f"{PROFILES}/{'general' if general else AIM}/a.yaml"
    return Profile(path, 2, TRAITS, {"aim_id": AIM, "model_id": model_id, "engine_args": engine_args, "env_vars": {}})


def command(some: Profile, root: Path, generation: Generation = Generation.V0_9, **values: Any) -> list[str]:
    configuration = Configuration(generation, **{"aim_id": AIM, **values})
    place = ContainerRoot(str(root))
    launch = replace(read_launch(Configuration(Generation.V0_9), place), model_flag="--model")
    return engine_command(some, configuration, launch, place)


def test_arguments_are_flags(tmp_path: Path) -> None:
    given = {"a": None, "b": True, "c": False, "d": [1, "x"], "e": {"level": 3}, "max-model-len": 8192}
    assert command(profile(given), tmp_path) == [
        *LAUNCH,
        AIM,
        *("--a", "--b", "--d", "1", "x", "--e", '{"level": 3}', "--max-model-len", "8192"),
        *("--port", "8000", "--served-model-name", AIM),
    ]


def test_the_environment_beats_the_profile_and_the_runtime_beats_both(tmp_path: Path) -> None:
    wanted = {"max-model-len": 4096, "enforce-eager": None, "swap-space": 1, "port": 1, "served-model-name": "z"}
    line = command(profile({"max-model-len": 8192, "seed": 1}), tmp_path, engine_args=wanted, port=8080)
    assert line[5:] == [
        *("--max-model-len", "4096", "--seed", "1", "--enforce-eager", "--swap-space", "1"),
        *("--port", "8080", "--served-model-name", AIM),
    ]


def test_two_spellings_of_a_flag_are_two_flags_until_0_12(tmp_path: Path) -> None:
    def of(generation: Generation) -> list[str]:
        some = profile({"max-model-len": 1})
        return command(some, tmp_path, generation, engine_args={"max_model_len": 2})[5:-4]

    assert of(Generation.V0_9) == ["--max-model-len", "1", "--max_model_len", "2"]
    assert of(Generation.V0_11) == ["--max-model-len", "1", "--max-model-len", "2"]
    assert of(Generation.V0_12) == ["--max-model-len", "2"]


def test_wrong_arguments_end_0_8_and_0_9(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = {"max-model-len": "4096"}
    with pytest.raises(ArgumentsInvalid) as error:
        command(profile({}), tmp_path, engine_args=wanted)
    assert str(error.value).splitlines() == [
        "Engine arguments validation failed: '4096' is not of type 'integer', 'null'",
        "Path: deque(['engine_args', 'max-model-len'])",
        "Invalid value: 4096",
    ]
    assert [record.message for record in caplog.records][1] == "Path: engine_args -> max-model-len"
    assert "4096" in command(profile({}), tmp_path, Generation.V0_11, engine_args=wanted)


@pytest.mark.parametrize(
    ("model", "folder", "path"),
    [
        ("a/b", "a/b", "/workspace/model-cache/a/b"),
        ("a/b", "a/c", "a/b"),
        ("a/b/c", "a/b/c", "a/b/c"),
        ("b", "b", "b"),
    ],
)
def test_only_ids_with_one_slash_are_looked_up(model: str, folder: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "workspace/model-cache" / folder).mkdir(parents=True)
    configuration = Configuration(Generation.V0_9, aim_id=AIM)
    assert weights_path(model, configuration, ContainerRoot(str(tmp_path))) == path


def test_the_weights_are_those_of_the_profile_then_of_the_model_then_of_the_aim() -> None:
    def names(some: Profile, **values: Any) -> list[str]:
        return served_names(some, Configuration(Generation.V0_9, **values))

    assert names(profile({}, "x/y"), aim_id=AIM) == ["x/y", AIM]
    assert names(profile({}, general=True), aim_id="", model_id="my/ft") == ["my/ft"]
    assert names(profile({}, general=True), aim_id=AIM) == [AIM]


def test_later_images_list_their_engines(tmp_path: Path) -> None:
    root = ContainerRoot(str(tmp_path))
    later = Configuration(Generation.V0_11, aim_id=AIM)
    with pytest.raises(ValueError, match=r"YAML file does not exist: /workspace/aim-runtime/config/engines\.yaml"):
        read_launch(later, root)
    (tmp_path / "workspace/aim-runtime/config").mkdir(parents=True)
    (tmp_path / "workspace/aim-runtime/config/engines.yaml").write_text("bentoml: {launch: python -m bentoml serve}")
    with pytest.raises(ValueError, match="No configuration for engine 'vllm' in"):
        read_launch(later, root)
    assert read_launch(replace(later, engine="bentoml"), root).launch == ("python", "-m", "bentoml", "serve")


def test_a_script_quotes() -> None:
    text = script(["exec me", "x"], {"A": "two words"})
    assert "export A='two words'\n" in text
    assert text.endswith("exec 'exec me' x\n")
    assert "export" not in script(["x"], {})
