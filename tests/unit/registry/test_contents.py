"""Contents of images are kept by digest, within a budget of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.contents import BUDGET, METADATA_LIMIT, UNSETTLED_LIFE, Content, Contents
from aimd.registry.profile_files import NO_PROFILES, ProfileFiles


def content(text: str = "", *, files: int = 0, settled: bool = True) -> Content:
    profiles = ProfileFiles({str(number): text for number in range(files)}) if files else NO_PROFILES
    return Content({"a": text}, {}, profiles, settled=settled)


def test_a_content_is_found_by_each_of_its_digests_and_by_its_owner_only() -> None:
    """Prove REG-CRD-4."""
    contents, found = Contents(), content()
    contents.put("u", ["index", "manifest"], found)
    contents.put("u", ["other"], found)
    assert [contents.find("u", digest) for digest in ("index", "manifest", "other")] == [found] * 3
    assert contents.find("u", "nothing", "other") is found
    assert contents.find("", "index", "manifest", "other") is None


def test_a_digest_means_its_last_content() -> None:
    contents, first, second = Contents(), content("1"), content("2")
    contents.put("", ["a"], first)
    contents.put("", ["a"], second)
    assert contents.find("", "a") is second
    assert len(contents._kept) == 1


def test_the_least_recently_used_go_when_the_budget_is_used_up() -> None:
    """Prove REG-PRF-6."""
    contents = Contents(budget=20_000)
    for number in range(10):
        contents.put("", [str(number)], content("x" * 1000, files=2))
        assert contents.size <= 20_000
        assert contents.find("", "0") is not None  # used all the time
    assert contents.find("", "9") is not None
    assert contents.find("", "1") is None
    assert contents.find("", "2") is None


def test_many_digests_of_one_content_count_too() -> None:
    """Prove REG-PRF-6."""
    contents, found = Contents(budget=50_000), content()
    for number in range(1000):
        contents.put("", [str(number)], found)
    assert contents.size <= 50_000
    assert len(contents._by_key) < 100


def test_a_content_with_endless_labels_is_not_kept() -> None:
    """Prove REG-PRF-6."""
    contents = Contents()
    contents.put("", ["a"], content("x" * METADATA_LIMIT))
    assert contents.find("", "a") is None
    assert contents.size == 0


def test_a_content_that_may_be_another_one_is_kept_for_a_minute() -> None:
    now = [0.0]
    contents = Contents(clock=lambda: now[0])
    contents.put("", ["a", "b"], content(settled=False))
    now[0] = UNSETTLED_LIFE - 1
    assert contents.find("", "a") is not None
    now[0] = UNSETTLED_LIFE
    assert contents.find("", "a") is None
    assert contents.find("", "b") is None
    assert contents.size == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 4000)), max_size=60))
def test_the_books_are_right(steps: list[tuple[str, int, int]]) -> None:
    """Prove REG-PRF-6."""
    contents = Contents(budget=12_000)
    known: dict[int, Content] = {}
    for digest, which, length in steps:
        found = known.setdefault(which, content("x" * length))
        contents.put("", [digest, f"{digest}{which}"], found)
        assert contents.size <= 12_000
        assert contents.size == sum(kept.size for kept in contents._kept.values())
        assert set(contents._by_key) == {key for kept in contents._kept.values() for key in kept.keys}
        assert all(kept.keys for kept in contents._kept.values())


def test_the_budget() -> None:
    assert BUDGET == 64 << 20
