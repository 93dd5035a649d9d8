"""The profile files that are found, their ids, and the warnings about others."""

from pathlib import Path

import pytest

from aimd.sandbox.aim_image.configuration import Configuration
from aimd.sandbox.aim_image.container_root import ContainerRoot, container_root
from aimd.sandbox.aim_image.generations import Generation
from aimd.sandbox.aim_image.profiles import Profile, load_profiles
from aimd.sandbox.kubelet.files import write_entries
from tests.aim_container import AIM, AimContainer, document, later_document


def load(container: AimContainer, aim_id: str = AIM) -> dict[str, Profile]:
    configuration = Configuration(container.generation, aim_id=aim_id)
    return {profile.id: profile for profile in load_profiles(configuration, ContainerRoot(str(container.root)))}


def test_an_id_is_folder_and_file_name_and_never_metadata(tmp_path: Path) -> None:
    container = AimContainer(tmp_path)
    container.add(f"{AIM}/vllm-mi300x-mxfp4-tp1-latency.yaml", document(precision="fp4"))
    container.add(f"{AIM}/deeper/b.yaml", document())
    container.add("general/c.yaml", document())
    container.add("custom/a/b/d.yaml", document(aim_id="x/y"))
    container.add("custom/general/e.yaml", document())
    container.add("other/model/f.yaml", document())
    container.add(f"{AIM}/g.yml", document())
    assert {name: profile.priority for name, profile in load(container).items()} == {
        "custom/x/y/d": 1,
        "custom/general/e": 1,
        "vllm-mi300x-mxfp4-tp1-latency": 2,
        "b": 2,
        "general/c": 3,
    }
    general = load(container)["general/c"]
    assert (general.aim_id, general.model_id) == ("", "")


def test_of_one_id_the_first_counts(tmp_path: Path) -> None:
    container = AimContainer(tmp_path)
    container.add(f"{AIM}/1/a.yaml", document(precision="fp8"))
    container.add(f"{AIM}/2/a.yaml", document(precision="fp16"))
    assert load(container)["a"].traits.precision == "fp8"


def test_an_image_for_any_model_has_general_profiles_only(tmp_path: Path) -> None:
    container = AimContainer(tmp_path)
    container.add(f"{AIM}/a.yaml", document())
    container.add("general/b.yaml", document())
    assert list(load(container, "")) == list(load(container, "no-slash")) == ["general/b"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (document(gpu="mi300x"), "✗ Invalid profile: {path} - Validation error: 'mi300x' is not one of"),
        ("", "✗ Invalid profile: {path} - Validation error: None is not of type 'object'"),
        ("a: [", "Failed to process profile file {path}: while parsing a flow"),
        (document(env_vars={5: "x"}), "Failed to process profile file {path}: expected string or bytes-like"),
    ],
)
def test_a_bad_file_is_left_out_with_a_warning(
    content: object, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    container = AimContainer(tmp_path)
    container.add(f"{AIM}/bad.yaml", content)
    container.add(f"{AIM}/good.yaml", document())
    assert list(load(container)) == ["good"]
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.message.startswith(says.format(path=f"/workspace/aim-runtime/profiles/{AIM}/bad.yaml"))


def test_later_generations_name_their_faults_otherwise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    container = AimContainer(tmp_path, Generation.V0_12)
    container.add(f"{AIM}/list.yaml", "- a")
    container.add(f"{AIM}/bad.yaml", later_document(accelerator_count=0))
    assert load(container) == {}
    texts = [record.message for record in caplog.records if "Invalid profile" in record.message]
    assert "1 validation error for ModelProfileData" in texts[0]
    assert "must contain a top-level mapping" in texts[1]


def test_a_mounted_profile_is_found_once_and_a_bad_one_is_named_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a cluster: the file of a ConfigMap is there under its name, and in the folder that `..data` leads to."""
    container = AimContainer(tmp_path / "root")
    for name, gpu in (("good", "MI300X"), ("bad", "mi300x")):
        volume = tmp_path / name
        volume.mkdir()
        text = Path(tmp_path / f"{name}.txt")
        container.add(f"../../../{text.name}", document(gpu=gpu))
        write_entries(volume, {"p.yaml": (tmp_path / "root" / text.name).read_bytes()})
        mount = tmp_path / "root/workspace/aim-runtime/profiles/custom" / name / "model"
        mount.parent.mkdir(parents=True)
        mount.symlink_to(volume)
    assert list(load(container)) == [f"custom/{AIM}/p"]
    assert sum("Invalid profile" in record.message for record in caplog.records) == 2


def test_paths_of_the_container_and_on_disk() -> None:
    root = container_root({"AIM_SANDBOX_ROOT": "/sandbox/main/"})
    assert (
        root.on_disk("/workspace/x") == root.on_disk("/sandbox/main/workspace/x") == Path("/sandbox/main/workspace/x")
    )
    assert root.shown("no file /sandbox/main/workspace/x") == "no file /workspace/x"
    assert container_root({}).on_disk("/workspace/x") == Path("/workspace/x")
