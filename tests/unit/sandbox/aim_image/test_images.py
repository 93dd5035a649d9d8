"""The images in the sandbox's registry: as real ones, and true to themselves."""

import json
from pathlib import Path

import pytest

from aimd.sandbox.aim_image.generations import Generation, generation_of
from aimd.sandbox.aim_image.images import (
    BASE,
    ELSEWHERE,
    IMAGES,
    LABELLED,
    MODEL,
    UNLABELLED,
    AimImage,
    image_of,
    programs,
)
from tests.aim_container import AimContainer

RECOMMENDED = "com.amd.aim.model.recommendedDeployments"
PROFILES = "/workspace/aim-runtime/profiles"
NAMES = [f"{item.repository}:{item.tag}" for item in IMAGES]


def container(item: AimImage, root: Path) -> AimContainer:
    made = AimContainer(root, item.generation)
    for path, content in item.program().content.files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return made


@pytest.mark.parametrize("item", IMAGES, ids=NAMES)
def test_an_image_carries_the_marks_of_its_generation(item: AimImage) -> None:
    assert generation_of(item.variables) == item.generation
    config = json.loads(item.image().config(("linux", "amd64")))
    assert dict(text.split("=", 1) for text in config["config"]["Env"]) == item.variables
    assert ("AIM_ID" in item.variables) == bool(item.aim_id)
    assert item.variables["AIM_ALLOW_GENERAL_PROFILE_FALLBACK"] == ("false" if item.aim_id else "true")


@pytest.mark.parametrize("item", IMAGES, ids=NAMES)
def test_profiles_are_in_layers_of_their_own(item: AimImage) -> None:
    image = item.image()
    config = json.loads(image.config(("linux", "amd64")))
    stored = [entry for entry in config["history"] if not entry.get("empty_layer")]
    assert len(stored) == len(config["rootfs"]["diff_ids"])
    layers = [layer for layer in image.layers if PROFILES in layer.created_by]
    assert len(layers) == (2 if item.aim_id else 1)
    files = {f"/{path}": content for layer in layers for path, content in layer.files.items()}
    assert files == {**item.general_profiles, **item.own_profiles}
    assert all(len(layer.content) < 64 * 1024 for layer in layers)


@pytest.mark.parametrize("item", IMAGES, ids=NAMES)
def test_its_runtime_takes_each_of_its_profiles(item: AimImage, tmp_path: Path) -> None:
    made = container(item, tmp_path)
    environment = item.variables if item.aim_id else {**item.variables, "AIM_MODEL_ID": "my/ft"}
    for path in {**item.general_profiles, **item.own_profiles}:
        stem = Path(path).stem
        name = f"general/{stem}" if "/general/" in path else stem
        ran = made.run("dry-run", "--format=json", **{**environment, "AIM_PROFILE_ID": name})
        assert [found["filename"] for found in ran.document] == [f"{stem}.yaml"], ran.log
        assert "Invalid profile" not in ran.log


@pytest.mark.parametrize("item", [item for item in IMAGES if RECOMMENDED in item.labels], ids=lambda item: item.tag)
def test_its_label_recommends_profiles_that_it_has(item: AimImage) -> None:
    text = item.labels[RECOMMENDED]
    assert text.startswith("[" if item.generation == Generation.V0_11 else "{")
    stems = {Path(path).stem for path in item.own_profiles}
    entries = json.loads(f"[{text.strip('[]')}]".replace("'", '"'))
    for entry in entries:
        gpu, count, metric = entry["gpuModel"].lower(), entry["gpuCount"], entry["metric"]
        name = entry.get("profileId") or f"vllm-{gpu}-{entry['precision']}-tp{count}-{metric}"
        assert name in stems


def test_there_is_an_image_of_each_kind() -> None:
    assert RECOMMENDED in LABELLED.labels
    assert RECOMMENDED not in UNLABELLED.labels
    assert BASE.labels.get("com.amd.aim.model.canonicalName") is None
    assert {item.generation for item in IMAGES if item.aim_id} == set(Generation)
    assert len({item.reference for item in IMAGES}) == len(IMAGES) == len(programs()) - len(ELSEWHERE)
    assert image_of(Generation.V0_12).aim_id == MODEL
