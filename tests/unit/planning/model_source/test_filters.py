"""Filters of catalog sources, what they match, and which images become models."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.model_source.filters import (
    CatalogImage,
    FilterInvalid,
    ImageFilter,
    Imports,
    Strategy,
    constraint_warning,
    matches_pattern,
    matching,
    newest_first,
    parse_filter,
    plan_imports,
)

SHA = "sha256:" + "ab" * 32


def wanted(text: str, **options: Any) -> ImageFilter:
    found = parse_filter(text, **options)
    assert isinstance(found, ImageFilter), found
    return found


@pytest.mark.parametrize(
    ("text", "registry", "pattern", "tag", "strategy"),
    [
        ("amdenterpriseai/aim-*", "docker.io", "amdenterpriseai/aim-*", "", Strategy.CATALOG),
        ("ghcr.io/silogen/aim-*", "ghcr.io", "silogen/aim-*", "", Strategy.CATALOG),
        ("localhost:5000/org/*", "localhost:5000", "org/*", "", Strategy.CATALOG),
        ("org/aim-*:0.8.4", "docker.io", "org/aim-*", "0.8.4", Strategy.CATALOG),
        ("*/aim-x", "docker.io", "*/aim-x", "", Strategy.CATALOG),
        ("org/name", "docker.io", "org/name", "", Strategy.TAGS),
        ("host:5000/org/name", "host:5000", "org/name", "", Strategy.TAGS),
        ("ubuntu", "docker.io", "library/ubuntu", "", Strategy.TAGS),
        ("docker.io/library/ubuntu:latest", "docker.io", "library/ubuntu", "latest", Strategy.STATIC),
        ("ghcr.io/org/name:0.8.1-rc1", "ghcr.io", "org/name", "0.8.1-rc1", Strategy.STATIC),
        ("host:5000/org/name:1", "host:5000", "org/name", "1", Strategy.STATIC),
    ],
)
def test_filters(text: str, registry: str, pattern: str, tag: str, strategy: Strategy) -> None:
    """Prove SRC-FLT-2."""
    found = wanted(text)
    assert (found.registry, found.pattern, found.tag, found.strategy) == (registry, pattern, tag, strategy)


@pytest.mark.parametrize(
    ("source", "text", "registry", "pattern"),
    [
        ("ghcr.io", "org/name", "ghcr.io", "org/name"),
        ("ghcr.io", "name", "ghcr.io", "name"),
        ("ghcr.io", "name:1", "ghcr.io", "name"),
        ("ghcr.io", "org/*", "ghcr.io", "org/*"),
        ("ghcr.io", "quay.io/org/*", "quay.io", "org/*"),
        ("https://hub.docker.com/", "org/*", "docker.io", "org/*"),
        ("index.docker.io", "name", "docker.io", "library/name"),
        ("", "org/*", "docker.io", "org/*"),
    ],
)
def test_the_source_names_the_registry_for_filters_without(source: str, text: str, registry: str, pattern: str) -> None:
    """Prove SRC-FLT-2."""
    found = wanted(text, source_registry=source)
    assert (found.registry, found.pattern) == (registry, pattern)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Org/name",
        "org/name:",
        "a b",
        f"org/x@{SHA}",
        f"org/*@{SHA}",
        "org/aim-*:0.8.*",
        "*.io/x",
        "org/*:",
        "ghcr.io/",
    ],
)
def test_filters_that_cannot_be_used_say_why(text: str) -> None:
    """Prove SRC-FLT-3."""
    found = parse_filter(text)
    assert isinstance(found, FilterInvalid)
    assert found.message.startswith("Filter ")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("org/aim-*", "org/aim-x", True), ("org/aim-*", "org/aim-", True), ("org/aim-*", "org/other", False),
        ("*/aim-x", "a/b/aim-x", True), ("*/aim-x", "aim-x", False), ("org/*-x", "org/a/b-x", True),
        ("*/aim-*", "org/aim-1", True), ("*", "", True), ("*", "any/thing", True), ("org/x", "org/x", True),
        ("org/x", "org/xy", False), ("a*a", "a", False), ("a*a", "aa", True), ("a*b*c", "abbc", True),
        ("a*b*c", "acb", False),
        ("org/AIM-*", "org/aim-x", False), ("org/[a]*", "org/ax", False), ("**", "x", True), ("a.*", "axb", False),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    """Prove SRC-FLT-2."""
    assert matches_pattern(pattern, text) is expected


@given(st.lists(st.text("ab/", max_size=4), min_size=1, max_size=5), st.data())
def test_a_pattern_matches_whatever_its_wildcards_stand_for(parts: list[str], data: st.DataObject) -> None:
    fillers = [data.draw(st.text("abc/", max_size=4)) for _ in parts[1:]]
    text = parts[0] + "".join(filler + part for filler, part in zip(fillers, parts[1:], strict=True))
    assert matches_pattern("*".join(parts), text)


@pytest.mark.timeout(5)
def test_a_pattern_of_wildcards_takes_no_time() -> None:
    assert not matches_pattern("a*" * 255 + "b", "a" * 255)


def images(text: str, listed: dict[str, list[str]], **options: object) -> list[str]:
    return [image.uri for image in matching(wanted(text, **options), listed)]


def test_what_a_filter_wants() -> None:
    """Prove SRC-FLT-1."""
    listed = {"org/aim-a": ["0.8.0", "latest", "0.9.0", "0.10.0-rc1"], "org/aim-base": ["0.9.0"], "org/b": ["1.0.0"]}
    assert images("org/aim-*", listed, exclude=["org/aim-base"], versions=[">=0.8.1"]) == [
        "org/aim-a:0.10.0-rc1", "org/aim-a:0.9.0",
    ]  # fmt: skip
    assert images("org/aim-*:0.9.0", listed, versions=["<0.1.0"]) == ["org/aim-a:0.9.0", "org/aim-base:0.9.0"]
    assert images("org/b", listed, source_versions=[">=2.0.0"]) == []
    assert images("org/b", listed, versions=[">=0.8.0"], source_versions=[">=2.0.0"]) == ["org/b:1.0.0"]
    assert "org/aim-a:latest" in images("org/aim-a", listed)
    assert images("ghcr.io/org/name:0.8.1-rc1", {"org/name": ["0.8.2"]}) == ["ghcr.io/org/name:0.8.1-rc1"]
    assert images("org/name:1", {}, exclude=["org/name"]) == []


def test_the_order_is_stable_and_the_newest_of_each_repository_come_first() -> None:
    """Prove SRC-IMP-2."""
    listed = {"o/b": ["1.0.0", "2.0.0"], "o/a": ["latest", "0.9.0", "0.10.0"]}
    expected = ["o/a:0.10.0", "o/b:2.0.0", "o/a:0.9.0", "o/b:1.0.0", "o/a:latest"]
    assert images("o/*", listed) == expected
    assert images("o/*", {name: listed[name][::-1] for name in reversed(listed)}) == expected
    assert newest_first(["b", "1.0.0-rc1", "v1.0.0", "a", "1.0.0-rc1"]) == ["v1.0.0", "1.0.0-rc1", "a", "b"]


def test_invalid_constraints_never_widen_a_filter() -> None:
    """Prove SRC-FLT-5."""
    broken = parse_filter("org/*", versions=["banana"])
    assert isinstance(broken, FilterInvalid)
    assert "'banana'" in broken.message
    mixed = wanted("org/*", versions=["banana", ">=1.0.0"])
    assert "ignores 'banana'" in constraint_warning(mixed)
    assert [image.tag for image in matching(mixed, {"org/x": ["0.9.0", "1.0.0"]})] == ["1.0.0"]
    assert constraint_warning(wanted("org/*")) == ""
    assert wanted("org/x:1", versions=["banana"]).strategy is Strategy.STATIC  # with a tag they are not used


@pytest.mark.parametrize(
    ("image", "name", "uri"),
    [
        (
            CatalogImage("ghcr.io", "silogen/aim-llama", "1.0.0"),
            "silogen-aim-llama-1-0-0-201bdd",
            "ghcr.io/silogen/aim-llama:1.0.0",
        ),
        (
            CatalogImage("docker.io", "amdenterpriseai/aim-qwen-qwen3-32b", "0.8.5"),
            "amdenterpriseai-aim-qwen-qwen3-32b-0-8-5-72f726",
            "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5",
        ),
        (
            CatalogImage("ghcr.io", "silogen/aim-mistralai-mistral-small-3.2-24b-instruct-2506", "0.8.5"),
            "silogen-aim-mistralai-mistral-small-3-2-24b-instru-0-8-5-c6da71",
            "ghcr.io/silogen/aim-mistralai-mistral-small-3.2-24b-instruct-2506:0.8.5",
        ),
    ],
)
def test_names_of_models(image: CatalogImage, name: str, uri: str) -> None:
    """Prove SRC-IMP-4."""
    assert (image.model_name, image.uri) == (name, uri)


def some(*tags: str) -> list[CatalogImage]:
    return [CatalogImage("docker.io", "o/x", tag) for tag in tags]


def test_imports_stop_at_the_limit_and_count_each_image_once() -> None:
    """Prove SRC-IMP-2."""
    own = {"o/x:8", "o/x:9"}
    assert plan_imports([some("1", "2", "3")], own, (), 4) == Imports(tuple(some("1", "2")), 3, 4, over_limit=1)
    assert plan_imports([some("1", "2"), some("2", "1")], (), (), 2) == Imports(tuple(some("1", "2")), 2, 2)
    assert plan_imports([some("1", "8")], own, (), 2) == Imports((), 2, 2, over_limit=1)
    assert plan_imports([some("8", "9")], own, (), 1) == Imports((), 2, 2)
    assert plan_imports([], (), (), 5) == Imports()


def test_a_model_that_somebody_else_made_counts_as_existing() -> None:
    """Prove SRC-IMP-3."""
    assert plan_imports([some("1", "2")], (), {"o/x:1", "other:1"}, 5) == Imports(tuple(some("2")), 2, 2)


_IMAGES = st.lists(st.integers(0, 9).map(lambda number: some(str(number))[0]), max_size=12)
_URIS = st.frozensets(st.integers(0, 9).map(lambda number: f"o/x:{number}"))


@given(st.lists(_IMAGES, max_size=3), _URIS, _URIS, st.integers(1, 12))
def test_what_holds_for_all_imports(
    found: list[list[CatalogImage]], own: frozenset[str], others: frozenset[str], most: int
) -> None:
    plan = plan_imports(found, own, others, most)
    new = {image.uri for image in plan.new}
    available = {image.uri for images in found for image in images}
    assert new <= available - own - others
    assert len(new) == len(plan.new)
    assert not new or plan.discovered <= most
    assert plan.available == len(available)
    assert plan.over_limit == len(available - own - others - new)
    again = plan_imports(found, own | new, others, most)
    assert again.new == ()  # what was imported is not imported again
    assert (again.discovered, again.limit_reached) == (plan.discovered, plan.limit_reached)


@given(st.text("a.*/:@-LH0x", max_size=14), st.lists(st.text(max_size=5), max_size=2), st.text("a.:/", max_size=6))
def test_no_filter_raises(text: str, versions: list[str], registry: str) -> None:
    found = parse_filter(text, versions=versions, source_registry=registry)
    if isinstance(found, ImageFilter):
        matching(found, {"a": ["1.0.0"]})
