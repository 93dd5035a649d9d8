"""Label values and inheritance."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.labels import child_labels, label_value, made_by, made_for, matches, name_label


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Qwen/Qwen3-32B", "qwen_qwen3-32b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama_llama-3.1-8b-instruct"),
        ("  _.weird..Name_-  ", "weird..name"),
        ("MI300X", "mi300x"),
        ("///", ""),
    ],
)
def test_label_value(text: str, expected: str) -> None:
    """Prove OBJ-LBL-3."""
    assert label_value(text) == expected


@given(st.text(max_size=200))
def test_label_values_are_valid(text: str) -> None:
    value = label_value(text)
    assert len(value) <= 63
    assert value == "" or re.fullmatch(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", value)


def test_long_names_stay_distinct_as_labels() -> None:
    """Prove OBJ-LBL-3."""
    first, second = name_label("a" * 80 + "1"), name_label("a" * 80 + "2")
    assert first != second
    assert len(first) == 63


@pytest.mark.parametrize(
    ("glob", "key", "expected"),
    [
        ("team-*", "team-alpha", True),
        ("team-*", "team/alpha", False),
        ("*-team", "my-team", True),
        ("my-*-label", "my-own-label", True),
        ("team-?", "team-a", True),
        ("team-?", "team-ab", False),
        ("org.mycompany/*", "org.mycompany/x", True),
        ("org.mycompany/*", "orgxmycompany/x", False),
        ("[ab]x", "ax", True),
        ("*", "a/b", False),
        ("[", "[", False),
    ],
)
def test_label_patterns_are_shell_globs_that_stop_at_a_slash(glob: str, key: str, expected: bool) -> None:
    """Prove OBJ-LBL-4."""
    assert matches(key, glob) is expected


def test_child_labels_own_win_and_identity_is_not_inherited() -> None:
    """Prove OBJ-LBL-1 and OBJ-LBL-2."""
    parent = {
        "aim.eai.amd.com/service.name": "imposter",
        "aim.eai.amd.com/project": "x",
        "team-alpha": "yes",
        "env": "prod",
        "app.kubernetes.io/managed-by": "helm",
    }
    own = {"app.kubernetes.io/managed-by": "aim-engine", "aim.eai.amd.com/project": "own"}
    assert child_labels("service", parent, "chat", own, ["team-*"]) == {
        "aim.eai.amd.com/project": "own",
        "aim.eai.amd.com/service.name": "chat",
        "app.kubernetes.io/managed-by": "aim-engine",
        "team-alpha": "yes",
    }


def test_a_services_labels_reach_grandchildren() -> None:
    cache_labels = {"aim.eai.amd.com/service": "chat", "aim.eai.amd.com/service.name": "chat"}
    labels = child_labels("template-cache", cache_labels, "cache", {})
    assert labels == {
        "aim.eai.amd.com/service": "chat",
        "aim.eai.amd.com/service.name": "chat",
        "aim.eai.amd.com/template-cache.name": "cache",
        "app.kubernetes.io/managed-by": "aim-template-cache-controller",
    }


def test_the_marks_of_a_child_are_the_labels_it_gets() -> None:
    """Prove OBJ-OWN-1 and OBJ-OWN-2."""
    name = "a-long-name-of-a-service-" + "x" * 60
    made = child_labels("service", {}, name, {})
    assert all(made[key] in values for key, values in made_for("service", name).items())
    assert set(made_by("service")) < set(made_for("service", name))
    assert made_for("service", "a") != made_for("service", "a.b")
