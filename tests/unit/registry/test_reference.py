"""Names of images: Docker's defaults, and a sentence for whatever is none."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.reference import ImageReference, parse_reference

SHA = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ubuntu", ImageReference("docker.io", "library/ubuntu", "latest")),
        ("ubuntu:24.04", ImageReference("docker.io", "library/ubuntu", "24.04")),
        ("amdenterpriseai/aim-base:0.9", ImageReference("docker.io", "amdenterpriseai/aim-base", "0.9")),
        ("docker.io/ubuntu", ImageReference("docker.io", "library/ubuntu", "latest")),
        ("index.docker.io/library/ubuntu:1", ImageReference("docker.io", "library/ubuntu", "1")),
        ("ghcr.io/silogen/aim-dummy:0.1.10", ImageReference("ghcr.io", "silogen/aim-dummy", "0.1.10")),
        ("GHCR.io/silogen/x", ImageReference("ghcr.io", "silogen/x", "latest")),
        ("ghcr.io/x", ImageReference("ghcr.io", "x", "latest")),
        ("localhost/x:1", ImageReference("localhost", "x", "1")),
        ("localhost:5000/org/x", ImageReference("localhost:5000", "org/x", "latest")),
        ("[::1]:5000/x:1", ImageReference("[::1]:5000", "x", "1")),
        ("host:5000/org/name", ImageReference("host:5000", "org/name", "latest")),
        (f"ghcr.io/o/x@{SHA}", ImageReference("ghcr.io", "o/x", "", SHA)),
        (f"ghcr.io/o/x:1@{SHA}", ImageReference("ghcr.io", "o/x", "1", SHA)),
        ("a__b/c-d.e/f", ImageReference("docker.io", "a__b/c-d.e/f", "latest")),
    ],
)
def test_names(text: str, expected: ImageReference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ubuntu", "ubuntu ", "Ubuntu", "Org/name", "org//name", "/name", "org/name:", "org/name:-x",
        "org/name:a/b",
        "x@sha256:12", "x@md5:" + "a" * 32, f"x@{SHA}x", "https://ghcr.io/x", "a/b:1:2", "-a.b/x",
        "host:port/x", "ghcr.io/",
        "a\nb", "ünicode/x", "a" * 300,
        "o/" + "x" * 254, "x:" + "t" * 129, "x_", "x..y", "x@",
    ],
)  # fmt: skip
def test_what_is_no_name_says_so(text: str) -> None:
    failure = parse_reference(text)
    assert isinstance(failure, RegistryFailure)
    assert (failure.problem, failure.reason) == (Problem.REFERENCE, "ImageReferenceInvalid")
    assert "write for example" in failure.message
    assert not failure.transient


@given(st.text(max_size=80))
@example("@")
@example(":")
@example("[/")
def test_any_text_gives_a_name_or_a_failure_and_names_are_stable(text: str) -> None:
    parsed = parse_reference(text)
    if isinstance(parsed, ImageReference):
        assert parse_reference(str(parsed)) == parsed


_COMPONENT = st.from_regex(r"\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+){0,2}\Z")


@given(
    st.sampled_from(["docker.io", "ghcr.io", "localhost:5000", "10.0.0.1:80"]),
    st.lists(_COMPONENT, min_size=2, max_size=4).map("/".join),
    st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}\Z"),
)
def test_whole_names_are_taken_as_they_are(registry: str, repository: str, tag: str) -> None:
    assert parse_reference(f"{registry}/{repository}:{tag}") == ImageReference(registry, repository, tag)
