"""Tokens: read again while they are fresh, renewed once however many requests are refused."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from aimd.runtime.client.credentials import TokenSource


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Reload:
    """Gives the tokens of a list, one for each call, after a while."""

    def __init__(self, *tokens: str | None) -> None:
        self.tokens = list(tokens)
        self.calls = 0

    async def __call__(self) -> str | None:
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        return self.tokens.pop(0)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_a_token_there_is_no_header() -> None:
    assert TokenSource(None, Reload()).header() == {}
    assert TokenSource(" x\n", Reload()).header() == bearer("x")


def test_a_token_file_is_read_again_every_minute(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("first\n")
    tokens = TokenSource("ignored", Reload(), file, clock)
    assert tokens.header() == bearer("first")
    file.write_text("second")
    clock.now += 59
    assert tokens.header() == bearer("first")
    clock.now += 1
    assert tokens.header() == bearer("second")


def test_a_token_file_that_is_gone_later_leaves_the_last_token(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", Clock()
    with pytest.raises(FileNotFoundError):
        TokenSource(None, Reload(), file, clock)
    file.write_text("first")
    tokens = TokenSource(None, Reload(), file, clock)
    file.unlink()
    clock.now += 120
    assert tokens.header() == bearer("first")


async def test_a_refused_token_file_is_read_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    tokens = TokenSource(None, Reload(), file, Clock())
    assert not await tokens.refresh(bearer("first")), "there is no other token to try"
    file.write_text("second")
    assert await tokens.refresh(bearer("first"))
    assert tokens.header() == bearer("second")


async def test_many_refused_requests_renew_the_token_once() -> None:
    reload = Reload("new")
    tokens = TokenSource("old", reload)
    renewed: list[bool] = []

    async def refused() -> None:
        renewed.append(await tokens.refresh(bearer("old")))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(refused)
    assert (renewed, reload.calls) == ([True] * 20, 1)
    assert tokens.header() == bearer("new")


async def test_a_token_that_stays_the_same_is_not_tried_again() -> None:
    assert not await TokenSource("old", Reload("old")).refresh(bearer("old"))
