"""What the configuration of an image says, whatever is in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.access import repository_target
from aimd.registry.failures import Problem, RegistryError
from aimd.registry.image_config import ImageConfig, env_of, labels_of, parse_config

TARGET = repository_target("r.io", "o/x", "1")


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"config": {"Labels": {"a": "b"}}}, {"a": "b"}),
        ({"config": {"Labels": None}}, {}),
        ({"config": {}}, {}),
        ({"config": []}, {}),
        ({}, {}),
    ],
)
def test_labels(config: dict[str, Any], labels: dict[str, str]) -> None:
    assert labels_of(config, TARGET) == labels


@pytest.mark.parametrize("labels", [[], "a", {"a": 1}, {"a": None}])
def test_labels_that_are_not_texts(labels: object) -> None:
    with pytest.raises(RegistryError, match=r"r\.io/o/x:1 has labels that are not strings") as raised:
        labels_of({"config": {"Labels": labels}}, TARGET)
    assert raised.value.failure.problem is Problem.CONTENT


@pytest.mark.parametrize(
    ("env", "variables"),
    [
        (["A=1", "B=x=y", "C="], {"A": "1", "B": "x=y", "C": ""}),
        (["A=1", "A=2"], {"A": "2"}),
        (["A", "=x", "", 5, None, ["B=1"], {"C": 1}, "D=1"], {"D": "1"}),
        (None, {}),
        ("A=1", {}),
        ({"A": "1"}, {}),
    ],
)
def test_environment(env: object, variables: dict[str, str]) -> None:
    """Prove REG-PRF-1."""
    assert env_of({"config": {"Env": env}}) == variables
    assert env_of({"config": env}) == env_of({}) == {}


def test_instructions_are_those_that_made_a_layer() -> None:
    """Prove REG-PRF-3."""
    history = [
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "RUN a", "empty_layer": False},
        {"created_by": None},
        {"comment": "x", "empty_layer": "yes"},
        {"created_by": "RUN b"},
    ]
    assert parse_config({"history": history}, TARGET).instructions == ("RUN a", "", "", "RUN b")
    others: list[Any] = [None, {}, "x", [None]]
    for other in others:
        assert parse_config({"history": other}, TARGET).instructions == ()


def test_digests_of_archives() -> None:
    digest = "sha256:" + "0" * 64
    assert parse_config({"rootfs": {"diff_ids": [digest, "x", None]}}, TARGET).diff_ids == (digest, "", "")
    others: list[Any] = [None, [], "x", {"diff_ids": None}, {"diff_ids": digest}]
    for other in others:
        assert parse_config({"rootfs": other}, TARGET).diff_ids == ()


@pytest.mark.parametrize(
    ("labels", "env", "is_aim"),
    [
        ({}, {}, False),
        ({"org.opencontainers.image.title": "x"}, {"PATH": "/bin", "MY_AIM_ID": "x"}, False),
        ({"com.amd.aim.title": "x"}, {}, True),
        ({"org.amd.silogen.title": "x"}, {}, True),
        ({}, {"AIM_BASE_IMAGE_REF": "x"}, True),
    ],
)
def test_marks_of_an_aim(labels: dict[str, str], env: dict[str, str], is_aim: bool) -> None:
    """Prove REG-PRF-2."""
    assert ImageConfig(labels, env).is_aim is is_aim


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
SETTINGS = JSON | st.fixed_dictionaries({}, optional={"Labels": st.dictionaries(st.text(), st.text()), "Env": JSON})
ENTRY = JSON | st.fixed_dictionaries({}, optional={"created_by": JSON, "empty_layer": JSON})
ROOTFS = JSON | st.fixed_dictionaries({"diff_ids": JSON})


@given(st.fixed_dictionaries({}, optional={"config": SETTINGS, "history": st.lists(ENTRY) | JSON, "rootfs": ROOTFS}))
def test_any_configuration(document: dict[str, Any]) -> None:
    """Prove REG-PRF-1."""
    try:
        config = parse_config(document, TARGET)
    except RegistryError:
        return
    texts = [*config.labels.values(), *config.env.values(), *config.instructions, *config.diff_ids]
    assert all(isinstance(text, str) for text in texts)
