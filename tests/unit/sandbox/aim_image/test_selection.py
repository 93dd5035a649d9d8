"""Which profile the runtime takes, and what it says when there is none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.sandbox.aim_image.configuration import Configuration
from aimd.sandbox.aim_image.container_root import PROFILES
from aimd.sandbox.aim_image.generations import Generation
from aimd.sandbox.aim_image.hardware import Hardware, detect, visible_gpus
from aimd.sandbox.aim_image.profiles import Profile, Traits
from aimd.sandbox.aim_image.selection import ProfileNotFound, assess, choose, states
from tests.aim_container import AIM

ONE = Hardware("MI300X", 1)
CHOICES: dict[str, Any] = {
    "engine": "vllm",
    "device": "MI300X",
    "count": 1,
    "precision": "fp16",
    "metric": "latency",
    "type": "optimized",
    "manual_only": False,
}


def profile(name: str, folder: str = AIM, aim_id: str = AIM, priority: int = 2, **traits: Any) -> Profile:
    document = {"aim_id": aim_id, "model_id": aim_id, "engine_args": {}, "env_vars": {}}
    return Profile(f"{PROFILES}/{folder}/{name}.yaml", priority, Traits(**{**CHOICES, **traits}), document)


def asked(generation: Generation = Generation.V0_9, **values: Any) -> Configuration:
    return Configuration(generation, **{"aim_id": AIM, **values})


def refusal(profiles: list[Profile], configuration: Configuration, hardware: Hardware = ONE) -> str:
    with pytest.raises(ProfileNotFound) as error:
        choose(profiles, configuration, hardware)
    return str(error.value)


@pytest.mark.parametrize("generation", Generation)
def test_a_named_profile_is_taken_whatever_it_is_for(generation: Generation) -> None:
    unfit = profile("a", device="MI250X", count=8, metric="throughput", engine="bentoml", manual_only=True)
    assert choose([unfit], asked(generation, profile_id="a"), Hardware(None, 0)) is unfit
    assert refusal([unfit], asked(generation, profile_id="b")) == "Specified profile ID 'b' not found"


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize(
    ("traits", "values", "state"),
    [
        ({}, {}, "compatible"),
        ({"engine": "bentoml"}, {}, "engine_mismatch"),
        ({"metric": "throughput"}, {}, "metric_mismatch"),
        ({"metric": "throughput"}, {"metric": "throughput"}, "compatible"),
        ({"count": 2}, {}, "device"),
        ({"device": "MI250X"}, {}, "device"),
        ({"precision": "fp8"}, {"precision": "fp16"}, "precision_mismatch"),
        ({"precision": "fp8"}, {"precision": "auto"}, "compatible"),
    ],
)
def test_a_profile_must_match_in_everything(
    generation: Generation, traits: dict[str, Any], values: dict[str, Any], state: str
) -> None:
    expected = states(generation)[1] if state == "device" else state
    found = assess([profile("a", **traits)], asked(generation, **values), ONE)
    assert [name for name, some in found.items() if some] == [expected]


def test_only_general_profiles_are_for_any_model() -> None:
    others = [profile("a", aim_id="x/y"), profile("b", folder="general", priority=3)]
    found = assess(others, asked(aim_id=None, model_id="my/ft"), ONE)
    assert [item.id for item in found["model_mismatch"]] == ["a"]
    assert [item.id for item in found["compatible"]] == ["general/b"]


def test_the_order_is_folder_then_precision_then_type() -> None:
    profiles = [
        profile("general16", "general", priority=3, precision="int4"),
        profile("fp16", precision="fp16"),
        profile("fp8-preview", precision="fp8", type="preview"),
        profile("fp8", precision="fp8"),
        profile("custom", "custom/x", priority=1, precision="fp32"),
    ]
    ranked = [item.file_name for item in assess(profiles, asked(), ONE)["compatible"]]
    assert ranked == ["custom.yaml", "fp8.yaml", "fp8-preview.yaml", "fp16.yaml", "general16.yaml"]
    first = choose(profiles[1:4], asked(Generation.V0_8), ONE)
    assert first.id == "fp8-preview", "0.8 knows no order of types: the first file wins"


def test_what_must_be_asked_for() -> None:
    manual = profile("a", manual_only=True)
    general = profile("b", folder="general", priority=3)
    with_both = [manual, general]
    assert choose(with_both, asked(), ONE) is general
    assert (
        refusal(with_both, asked(general_fallback=False))
        == f"No compatible profile found for AIM {AIM}. Profile breakdown: no profiles found"
    )
    for generation in (Generation.V0_11, Generation.V0_12):
        unoptimized = profile("a", manual_only=True, type="unoptimized")
        text = refusal([unoptimized], asked(generation))
        assert text.startswith(f"Found 1 compatible profile(s) for AIM {AIM}, but they require explicit selection")
        assert text.endswith("AIM_PROFILE_ID values: a")
        assert choose([unoptimized], asked(generation, allow_unoptimized=True), ONE) is unoptimized
    assert "no profiles found" in refusal([], asked(aim_id=None, model_id="my/ft"))


def test_the_breakdown_counts_what_does_not_match() -> None:
    profiles = [profile("a", device="MI250X"), profile("b", count=8), profile("c", metric="throughput")]
    counted = "Profile breakdown: 2 {}, 1 metric_mismatch"
    assert refusal(profiles, asked()).endswith(counted.format("gpu_mismatch"))
    assert refusal(profiles, asked(Generation.V0_12)).endswith(counted.format("accelerator_mismatch"))


def test_0_12_does_not_choose_between_variants() -> None:
    plain, variant = profile("a"), profile("a-x", variant="x")
    text = refusal([plain, variant], asked(Generation.V0_12))
    assert text.startswith(f"No profile selected for AIM {AIM}: Multiple profiles match")
    assert text.endswith("Set AIM_PROFILE_ID to one of: a, a-x")
    assert choose([plain, profile("b")], asked(Generation.V0_12), ONE) is plain


@pytest.mark.parametrize("generation", Generation)
def test_the_hardware_is_what_the_environment_says_else_what_is_there(
    generation: Generation, caplog: pytest.LogCaptureFixture
) -> None:
    gpus = visible_gpus({"AIM_SANDBOX_GPUS": "74a1,74a1"})
    assert detect(asked(generation), gpus) == Hardware("MI300X", 2)
    assert detect(asked(generation, count=1), gpus) == Hardware("MI300X", 1)
    assert detect(asked(generation, device="MI350X", count=4), gpus) == Hardware("MI350X", 4)
    assert not caplog.records
    assert detect(asked(generation, device="MI350X"), gpus) == Hardware("MI350X", 1)
    assert "Defaulting to 1" in caplog.records[0].message
    assert detect(asked(generation, count=2), visible_gpus({})) == Hardware(None, 0)
    assert "No AMD GPUs detected" in caplog.records[1].message


def test_an_unknown_gpu_is_not_the_same_as_none() -> None:
    without = profile("a", device=None)
    for generation in (Generation.V0_8, Generation.V0_9):
        assert assess([without], asked(generation), detect(asked(generation), ("ffff",)))["compatible"] == []
    assert detect(asked(Generation.V0_11), ("ffff",)) == Hardware(None, 1)
    assert detect(asked(Generation.V0_11, on_cpu=True, device="MI300X"), ()) == Hardware("CPU", 0)


SOME = st.builds(
    profile,
    name=st.sampled_from("abcd"),
    priority=st.integers(1, 3),
    engine=st.sampled_from(["vllm", "bentoml"]),
    device=st.sampled_from(["MI300X", "MI350X"]),
    count=st.integers(1, 2),
    precision=st.sampled_from(["fp8", "fp16"]),
    metric=st.sampled_from(["latency", "throughput"]),
    type=st.sampled_from(["optimized", "preview", "unoptimized"]),
    manual_only=st.booleans(),
)


@given(st.lists(SOME, max_size=6), st.sampled_from(Generation))
def test_whatever_is_chosen_fits_and_is_the_best_that_fits(profiles: list[Profile], generation: Generation) -> None:
    configuration = asked(generation)
    fitting = [
        item
        for item in profiles
        if (item.traits.engine, item.traits.metric, item.traits.device, item.traits.count)
        == ("vllm", "latency", "MI300X", 1)
        and (item.traits.type != "unoptimized" if generation == Generation.V0_12 else not item.traits.manual_only)
    ]
    try:
        chosen = choose(profiles, configuration, ONE)
    except ProfileNotFound:
        assert not fitting
        return
    assert chosen in fitting
    best = min((item.priority, ("fp8", "fp16").index(item.traits.precision)) for item in fitting)
    assert (chosen.priority, ("fp8", "fp16").index(chosen.traits.precision)) == best
