"""Which profiles of an image become templates."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import ImageProfile, RecommendedDeployment
from aimd.planning.image_inspection import ProfilesOfImage
from aimd.planning.model.image_profiles import (
    MOST_PROFILES,
    choose_profiles,
    described_profiles,
    profiles_condition,
)
from aimd.planning.profiles import ProfilesRead, read_profiles
from tests.aim_profiles import profile_text, published

DIGEST = "sha256:" + "0" * 64
ENV = {"AIM_ID": "acme/tiny"}


def image(files: dict[str, str], **env: str) -> ProfilesOfImage:
    return ProfilesOfImage(read_profiles(files, env or ENV), digest=DIGEST)


def tiny(**files: str) -> ProfilesOfImage:
    """Return an image of the model acme/tiny; names of files have underscores instead of dashes."""
    return image({f"acme/tiny/{name.replace('_', '-')}.yaml": text for name, text in files.items()})


def label(*entries: dict[str, Any]) -> list[RecommendedDeployment]:
    return [RecommendedDeployment.model_validate(entry) for entry in entries]


def entry(gpu: str = "MI300X", count: int = 1, **fields: Any) -> dict[str, Any]:
    return {"gpuModel": gpu, "gpuCount": count, "metric": "latency", **fields}


def ids(profiles: tuple[ImageProfile, ...]) -> list[str]:
    return [profile.profile_id for profile in profiles]


@pytest.mark.parametrize(
    ("generation", "aim_id", "expected"),
    [
        ("0.9", "Qwen/Qwen3-32B", ["vllm-mi300x-fp16-tp1-latency", "vllm-mi325x-fp8-tp1-latency"]),
        ("0.11/cpu", "Qwen/Qwen3-0.6B", ["vllm-cpu-bf16-tp1-latency"]),
        ("0.11x/instinct", "Qwen/Qwen3-32B", ["vllm-mi325x-fp8-tp1-latency"]),
        ("0.12/instinct", "monai/swinunetr", ["bentoml-mi300x-fp16-tp1-latency"]),
        ("0.12/epyc", "Qwen/Qwen3-8B", ["vllm-epyc_zen5-bf16-tp1-throughput"]),
    ],
)
def test_published_images_without_a_label(generation: str, aim_id: str, expected: list[str]) -> None:
    """Prove MDL-PRF-1 and MDL-PRF-3."""
    chosen = choose_profiles((), image(published(generation), AIM_ID=aim_id))
    assert (chosen.source, chosen.digest, ids(chosen.profiles)) == ("Registry", DIGEST, expected)
    assert profiles_condition(chosen).reason == "ReadFromRegistry"


def test_a_profile_for_cpus_has_cores() -> None:
    """Prove MDL-PRF-5."""
    (profile,) = choose_profiles((), image(published("0.12/epyc"), AIM_ID="Qwen/Qwen3-8B")).profiles
    assert (profile.gpu_model, profile.gpu_count) == ("", 0)
    assert (profile.cpu_model, profile.cpu_count) == ("EPYC_ZEN5", 124)
    assert (profile.metric, profile.precision, profile.type, profile.engine) == (
        "throughput",
        "bf16",
        "unoptimized",
        "vllm",
    )


def test_the_files_say_which_profiles_are_primary() -> None:
    """Prove MDL-PRF-3."""
    found = tiny(a=profile_text(primary=False), b=profile_text(precision="fp16", primary=True, type="unoptimized"))
    assert ids(choose_profiles((), found).profiles) == ["b"]


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"type": "unoptimized", "precision": "int4"}, {}),
        ({"manual_selection_only": True, "precision": "int4"}, {"type": "preview"}),
        ({"precision": "fp16"}, {"precision": "fp8"}),
        ({"precision": "fp4"}, {"precision": "int8", "gpu_count": 8}),
        ({"gpu_count": 2}, {"gpu_count": 1}),
    ],
)
def test_primary_profiles_are_computed_if_no_file_says(worse: dict[str, Any], better: dict[str, Any]) -> None:
    """Prove MDL-PRF-3."""
    found = tiny(
        a=profile_text(**worse),
        b=profile_text(**better),
        c=profile_text(metric="throughput"),
        d=profile_text(gpu="MI325X"),
    )
    assert ids(choose_profiles((), found).profiles) == ["b", "c", "d"]


def test_general_profiles_and_those_of_other_models_make_no_template() -> None:
    """Prove MDL-PRF-3."""
    found = image({"general/a.yaml": profile_text(), "acme/tiny/b.yaml": profile_text("acme/other")})
    chosen = choose_profiles((), found)
    assert (chosen.source, chosen.profiles) == ("None", ())
    assert chosen.message.startswith("No profile file of the image is for its model acme/tiny")


def test_a_base_image_makes_no_template() -> None:
    """Prove MDL-PRF-3 and MDL-PRF-4."""
    chosen = choose_profiles((), image(published("0.11/instinct"), AIM_ID=""))
    assert (chosen.source, chosen.profiles) == ("None", ())
    assert "base image" in chosen.message


def test_the_label_chooses_by_id() -> None:
    """Prove MDL-PRF-2."""
    found = tiny(a=profile_text(manual_selection_only=True, precision="fp4"), b=profile_text())
    chosen = choose_profiles(label(entry(profileId="a")), found)
    assert chosen.source == "Registry"
    (profile,) = chosen.profiles
    assert (profile.profile_id, profile.precision, profile.type) == ("a", "", "optimized")


def test_the_label_chooses_by_hardware_metric_and_precision() -> None:
    """Prove MDL-PRF-2."""
    found = tiny(
        a=profile_text(manual_selection_only=True),
        b=profile_text(),
        c=profile_text(precision="fp16"),
        d=profile_text(gpu_count=2),
        e=profile_text(gpu="MI325X"),
        f=profile_text(metric="throughput"),
    )
    chosen = choose_profiles(
        label(
            entry(precision="fp8"),
            entry(precision="fp16"),
            entry(count=2, precision="fp8"),
            entry("mi325x", precision="fp8"),
            {**entry(precision="fp8"), "metric": "throughput"},
        ),
        found,
    )
    assert ids(chosen.profiles) == ["b", "c", "d", "e", "f"]
    for left_open in ("", "auto"):
        assert ids(choose_profiles(label(entry(precision=left_open)), found).profiles) == ["b"]
    assert chosen.profiles[3].gpu_model == "mi325x"


def test_an_entry_without_a_file_asks_by_a_job() -> None:
    """Prove MDL-PRF-2."""
    found = tiny(a=profile_text())
    chosen = choose_profiles(label(entry(precision="fp8"), entry("MI210", precision="fp8")), found)
    assert (chosen.source, ids(chosen.profiles)) == ("Registry", ["a", ""])
    assert chosen.message.startswith("The image recommends 2 profiles; for 1 without a file")
    alone = choose_profiles(label(entry("MI210", precision="fp8")), found)
    assert (alone.source, ids(alone.profiles)) == ("Labels", [""])
    unknown = choose_profiles(label(entry(profileId="gone")), found)
    assert (unknown.source, ids(unknown.profiles)) == ("Labels", ["gone"])


def test_entries_that_differ_in_their_id_only_get_different_names() -> None:
    """Prove MDL-PRF-2: the first keeps the name that templates have today."""
    found = tiny(a=profile_text(precision="fp4"), b=profile_text(precision="fp8"))
    chosen = choose_profiles(label(entry(profileId="a"), entry(profileId="b")), found)
    assert [profile.precision for profile in chosen.profiles] == ["", "fp8"]


def test_a_label_for_cpus_is_no_gpu() -> None:
    """Prove MDL-PRF-5."""
    entries = label(entry("CPU", profileId="vllm-cpu-bf16-tp1-latency"), entry("NONE"), entry("epyc_9965", 64))
    found = image(published("0.11/cpu"), AIM_ID="Qwen/Qwen3-0.6B")
    for profiles in (choose_profiles(entries, found).profiles, described_profiles(entries)):
        assert [profile.gpu_count for profile in profiles] == [0, 0, 0]
        assert [profile.cpu_count for profile in profiles] == [1, 0, 64]
    by_properties = choose_profiles(label(entry("CPU", precision="bf16")), found).profiles
    assert ids(by_properties) == [""]  # This profile is for manual selection only.


@pytest.mark.parametrize(
    ("found", "source", "text"),
    [
        (ProfilesOfImage(), "Labels", "The profile files of the image do not exist"),
        (ProfilesOfImage(unreadable="its layers are squashed"), "Labels", "because its layers are squashed"),
        (ProfilesOfImage(ProfilesRead()), "Labels", "base image"),
    ],
)
def test_only_the_label(found: ProfilesOfImage, source: str, text: str) -> None:
    """Prove MDL-PRF-2 and MDL-PRF-4."""
    chosen = choose_profiles(label(entry(precision="fp8")), found)
    assert (chosen.source, ids(chosen.profiles)) == (source, [""])
    assert text in chosen.message
    assert profiles_condition(chosen).reason == "RecommendedByLabels"


def test_an_image_that_recommends_nothing() -> None:
    """Prove MDL-PRF-4."""
    chosen = choose_profiles((), ProfilesOfImage(unreadable="its layers are squashed", digest=DIGEST))
    shown = profiles_condition(chosen)
    assert (shown.type, shown.status, shown.reason) == ("ImageProfilesRead", "False", "NothingRecommended")
    assert shown.message == (
        "The profile files of the image cannot be read, because its layers are squashed, and no label recommends any. "
        "Describe templates in spec.customTemplates, each with hardware and profile.metric"
    )


def test_files_that_were_left_out_are_named() -> None:
    """Prove MDL-PRF-4."""
    chosen = choose_profiles((), tiny(a=profile_text(), b="x"))
    left_out = "acme/tiny/b.yaml: the file has no fields"
    assert chosen.message == f"The image recommends 1 profile; left out: {left_out}"


def test_the_number_of_templates_is_bounded() -> None:
    """Prove MDL-PRF-3."""
    found = tiny(**{f"p{number:03}": profile_text(primary=True) for number in range(MOST_PROFILES + 1)})
    chosen = choose_profiles((), found)
    assert len(chosen.profiles) == MOST_PROFILES
    assert "only the first 256" in chosen.message


FILES = st.dictionaries(
    st.sampled_from(["acme/tiny/a", "acme/tiny/b", "acme/tiny/c", "general/a", "custom/x/d"]).map("{}.yaml".format),
    st.builds(
        profile_text,
        st.sampled_from(["acme/tiny", "acme/other"]),
        gpu=st.sampled_from(["MI300X", "MI325X", "CPU"]),
        gpu_count=st.integers(0, 4),
        accelerator_type=st.sampled_from(["gpu", "cpu", None]),
        metric=st.sampled_from(["latency", "throughput"]),
        precision=st.sampled_from(["fp4", "fp8", "bf16"]),
        type=st.sampled_from(["optimized", "preview", "unoptimized", "general"]),
        manual_selection_only=st.sampled_from([True, False, None]),
        primary=st.sampled_from([True, False, None]),
    ),
)
ENTRIES = st.lists(
    st.builds(
        RecommendedDeployment,
        gpu_model=st.sampled_from(["MI300X", "mi325x", "CPU", "NONE", ""]),
        gpu_count=st.integers(0, 4),
        metric=st.sampled_from(["latency", "throughput", ""]),
        precision=st.sampled_from(["fp4", "fp8", ""]),
        profile_id=st.sampled_from(["a", "b", "x", "", "custom/acme/tiny/d"]),
    ),
    max_size=4,
)


@given(ENTRIES, FILES, st.sampled_from(["", "acme/tiny"]))
def test_whatever_an_image_says(entries: list[RecommendedDeployment], files: dict[str, str], aim_id: str) -> None:
    """Prove MDL-PRF-1, MDL-PRF-2, MDL-PRF-3 and MDL-PRF-5."""
    found = image(files, AIM_ID=aim_id)
    chosen = choose_profiles(entries, found)
    assert found.read is not None
    assert len(chosen.profiles) == len(entries) if entries else True
    assert bool(chosen.profiles) == (chosen.source != "None")
    for profile in chosen.profiles:
        assert not (profile.gpu_count and profile.cpu_count)
        assert not profile.gpu_model.upper().startswith(("CPU", "NONE"))
        file = found.read.by_id(profile.profile_id)
        if profile.engine:
            assert file is not None
            assert (file.aim_id, file.is_general) == (aim_id, False)
            assert profile.cpu_count == 0 or profile.cpu_count == file.cpu_count
    if not entries and aim_id:
        own = [file for file in found.read.profiles if file.aim_id == aim_id and not file.is_general]
        assert bool(own) == bool(chosen.profiles)
