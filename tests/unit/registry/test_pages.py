"""Paginated lists: they end, and stay on their host."""

import pytest

from aimd.registry.failures import Problem, RegistryError, failure
from aimd.registry.pages import MOST_PAGES, Page, accepted_texts, collect, listing_error, next_path, path_below
from aimd.registry.reply import Reply


@pytest.mark.parametrize(
    ("base", "url", "path"),
    [
        ("https://r.io", "/v2/_catalog?last=a&n=2", "/v2/_catalog?last=a&n=2"),
        ("https://r.io", "https://evil.io/v2/_catalog?n=2", "/v2/_catalog?n=2"),
        ("https://m.io/proxy", "/proxy/v2/x", "/v2/x"),
    ],
)
def test_the_next_page_is_on_the_same_host(base: str, url: str, path: str) -> None:
    assert path_below(base, url) == path


async def test_pages_end() -> None:
    pages = {"/1": Page(("a", "b"), "/2"), "/2": Page(("b", "c"), "/1")}

    async def circle(path: str) -> Page:
        return pages[path]

    entries = await collect("tags of x", "/1", circle)
    assert entries.names == ("a", "b", "c")
    assert entries.failure is not None
    assert "does not end after 2 pages" in entries.failure.message

    async def endless(path: str) -> Page:
        return Page((path,), f"{path}1")

    entries = await collect("tags of x", "/", endless)
    assert len(entries.names) == MOST_PAGES
    assert entries.failure is not None

    async def broken(path: str) -> Page:
        if path == "/1":
            return Page(("a",), "/2")
        raise RegistryError(failure(Problem.NETWORK, "cut"))

    entries = await collect("tags of x", "/1", broken)
    assert (entries.names, entries.failure) == (("a",), failure(Problem.NETWORK, "cut"))
    with pytest.raises(RegistryError):
        await collect("tags of x", "/3", broken)


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ('</v2/_catalog?last=a&n=2>; rel="next"', "/v2/_catalog?last=a&n=2"),
        ("<https://evil.io/v2/x?n=1>; rel=next", "/v2/x?n=1"),
        ('</v2/a>; rel="prev", </v2/b>; rel="next"', "/v2/b"),
        ('</v2/a>; rel="prev"', ""),
        ("", ""),
    ],
)
def test_the_link_of_the_next_page(link: str, path: str) -> None:
    assert next_path(Reply(200, {"link": link}, b"", "https://r.io/v2/"), "https://r.io") == path


def test_an_untrusted_list_is_filtered() -> None:
    assert accepted_texts(["a", 1, "b", None, "c"], lambda text: text != "b") == ("a", "c")
    assert accepted_texts({"a": 1}, lambda _: True) == ()


@pytest.mark.parametrize(
    ("status", "problem"), [(401, Problem.AUTH), (403, Problem.AUTH), (404, Problem.NOT_FOUND), (500, Problem.CONTENT)]
)
def test_what_the_status_of_a_listing_means(status: int, problem: Problem) -> None:
    error = listing_error(Reply(status, {}, b"", "https://hub.io/x"), "the repositories of org", "docker.io")
    assert error.failure.problem is problem
    assert f"hub.io returned {status} for the repositories of org" in error.failure.message
