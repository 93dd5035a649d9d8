"""Targets of requests. tests/faults has requests with several credentials."""

from aimd.registry.access import Target, repository_target


def test_a_target_names_the_image_and_the_scope_of_its_repository() -> None:
    digest = "sha256:" + "a" * 64
    scope = "repository:o/x:pull"
    assert repository_target("r.io", "o/x") == Target("r.io", "o/x", "r.io/o/x", scope)
    assert repository_target("r.io", "o/x", "1").what == "r.io/o/x:1"
    assert repository_target("r.io", "o/x", digest).what == f"r.io/o/x@{digest}"
