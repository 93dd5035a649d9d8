"""Which layers are read."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.image_config import ImageConfig
from aimd.registry.layers import LAYER_LIMIT, MOST_LAYERS, SMALL_LAYER, Layer, Selection, select_layers

ORG = "/workspace/aim-runtime/profiles/Qwen/Qwen3-32B/"
INSTRUCTIONS = [
    f"COPY assets/instinct/Qwen/Qwen3-32B/profiles {ORG} # buildkit",
    f"/bin/sh -c #(nop) COPY dir:3b1a in {ORG} ",
    "COPY assets/${ACCELERATOR_FAMILY}/profiles /workspace/aim-runtime/profiles/${ORG}/${MODEL}/",
    f"COPY profiles {ORG}",
    "|2 ORG=Qwen MODEL=Qwen3-32B /bin/sh -c rm -r /workspace/aim-runtime/profiles/general # buildkit",
]
AIM = {"AIM_ID": "Qwen/Qwen3-32B"}
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(number: int) -> str:
    return f"sha256:{number:064}"


def described(number: int, size: object = 1000, **fields: Any) -> dict[str, Any]:
    return {"digest": digest(number), "size": size, "mediaType": GZIP, **fields}


def manifest(*layers: object) -> dict[str, Any]:
    return {"layers": list(layers)}


def config(*instructions: str, env: dict[str, str] | None = None, diff_ids: Sequence[str] = ()) -> ImageConfig:
    return ImageConfig({}, AIM if env is None else env, instructions, tuple(diff_ids))


def chosen(selection: Selection) -> list[int]:
    assert selection.unreadable == ""
    return [int(layer.digest[7:]) for layer in selection.layers]


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_the_history_of_any_builder_names_the_layers(instruction: str) -> None:
    """Prove REG-PRF-3."""
    general = "COPY profiles/general /workspace/aim-runtime/profiles/general # buildkit"
    history = config("ADD rootfs.tar /", general, "RUN pip install x", instruction, "RUN true", diff_ids=["d"] * 5)
    layers = [described(0, 10**10), described(1), described(2, 10**9), described(3), described(4)]
    selection = select_layers(manifest(*layers), history)
    assert chosen(selection) == [1, 3]
    assert selection.by_history
    assert selection.layers[0] == Layer(digest(1), 1000, GZIP, diff_id="d")


def test_an_ordinary_image_costs_no_layer() -> None:
    """Prove REG-PRF-2."""
    for instructions in ((), ("COPY x /",)):
        assert chosen(select_layers(manifest(described(1)), config(*instructions, env={"PATH": "/bin"}))) == []
    marked = ImageConfig({"com.amd.aim.model.canonicalName": "x"}, {})
    assert chosen(select_layers(manifest(described(1)), marked)) == [1]
    derived = config(INSTRUCTIONS[0], env={})
    assert chosen(select_layers(manifest(described(1)), derived)) == [1]


@pytest.mark.parametrize(
    "instructions", [(), ("COPY profiles /workspace/",) * 3, INSTRUCTIONS[:1], INSTRUCTIONS[:1] * 4]
)
def test_without_a_history_the_last_small_layers_are_searched(instructions: Sequence[str]) -> None:
    """Prove REG-PRF-3."""
    layers = [described(0, SMALL_LAYER), described(1, SMALL_LAYER + 1), described(2, 0)]
    selection = select_layers(manifest(*layers), config(*instructions))
    assert chosen(selection) == [0, 2]
    assert not selection.by_history


def test_a_search_is_bounded() -> None:
    """Prove REG-PRF-3."""
    tiny = [described(number, 1) for number in range(100)]
    assert chosen(select_layers(manifest(*tiny), config())) == list(range(100 - MOST_LAYERS, 100))
    small = [described(number, SMALL_LAYER) for number in range(100)]
    assert chosen(select_layers(manifest(*small), config())) == list(range(84, 100))
    odd = [
        described(0, None),
        described(1, -1),
        described(2, True),
        described(3, "5"),
        described(4, urls=["https://x"]),
        {"digest": "sha256:short", "size": 1},
        {"size": 1},
        None,
        5,
        described(9),
    ]
    assert chosen(select_layers(manifest(*odd), config())) == [9]


@pytest.mark.parametrize("layers", [None, {}, "x", [], [None]])
def test_a_manifest_without_layers(layers: object) -> None:
    assert select_layers({"layers": layers}, config()) == Selection()
    assert select_layers({}, config()) == Selection()


@pytest.mark.parametrize(
    ("fields", "unreadable"),
    [
        ({"size": LAYER_LIMIT + 1}, "its layer sha256:000000000000 has 1048577 bytes, and layers with profile files"),
        ({"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd"}, "000 is compressed with zstd, which aimd does"),
        ({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"}, "has the media type 'application/"),
        ({"digest": "md5:1"}, "its manifest has no digest for a layer with profile files"),
    ],
)
def test_layers_that_cannot_be_read(fields: dict[str, Any], unreadable: str) -> None:
    """Prove REG-PRF-4."""
    selection = select_layers(manifest({**described(1), **fields}), config(INSTRUCTIONS[0]))
    assert unreadable in selection.unreadable
    assert selection.layers == ()
    many = select_layers(manifest(*[described(1)] * 33), config(*[INSTRUCTIONS[0]] * 33))
    assert many.unreadable == "33 of its layers concern the folder, and 32 are the limit"


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "",
    ],
)
def test_media_types_of_layers(media_type: str) -> None:
    """Prove REG-PRF-3."""
    for size in (1000, None):
        selection = select_layers(manifest(described(1, size, mediaType=media_type)), config(INSTRUCTIONS[0]))
        assert chosen(selection) == [1]
        assert selection.layers[0].limit == (size or LAYER_LIMIT)


def test_foreign_layers_are_never_read() -> None:
    """Prove REG-PRF-3."""
    layers = manifest(described(1, urls=["https://evil.example.com"]), described(2))
    selection = select_layers(layers, config(*INSTRUCTIONS[:2]))
    assert chosen(selection) == [2]
    assert not selection.by_history


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
DESCRIPTOR = st.fixed_dictionaries({}, optional=dict.fromkeys(("digest", "size", "mediaType", "urls"), JSON)) | JSON


@given(st.lists(DESCRIPTOR, max_size=5), st.lists(st.sampled_from([*INSTRUCTIONS, "x"]), max_size=5))
def test_any_manifest(layers: list[Any], instructions: list[str]) -> None:
    selection = select_layers({"layers": layers}, config(*instructions))
    assert len(selection.layers) <= len(layers)
