"""Who may read a page, and with which certificate; over TLS in tests/integration/test_secure_metrics.py."""

import os
import ssl
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
import structlog

from aimd.runtime import serving
from aimd.runtime.client import Client
from aimd.runtime.errors import Unavailable
from aimd.runtime.kinds import SUBJECT_ACCESS_REVIEW, TOKEN_REVIEW
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.serving import ServingCertificate, TokenAccess, _make_self_signed


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Reviews:
    """Answers reviews: `users` by token, and who of them may read."""

    def __init__(self) -> None:
        self.users: dict[str, Manifest] = {"t1": {"username": "reader", "groups": ["g"]}, "t2": {"username": "other"}}
        self.allowed = {"reader"}
        self.asked: list[Kind] = []
        self.specs: list[Manifest] = []
        self.down = False

    async def ask(self, kind: Kind, question: Manifest) -> Manifest:
        self.asked.append(kind)
        self.specs.append(question["spec"])
        if self.down:
            raise Unavailable("down", status=503)
        if kind == TOKEN_REVIEW:
            user = self.users.get(question["spec"]["token"])
            return {"status": {"authenticated": user is not None, "user": user}}
        return {"status": {"allowed": question["spec"].get("user") in self.allowed}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reviews() -> Reviews:
    return Reviews()


@pytest.fixture
def access(reviews: Reviews, clock: Clock) -> TokenAccess:
    return TokenAccess(cast(Client, reviews), clock)


async def test_a_caller_needs_a_valid_token_and_the_right(access: TokenAccess, reviews: Reviews) -> None:
    """Prove OPS-MET-1."""
    assert await access.status("", "/metrics") == 401
    assert await access.status("unknown", "/metrics") == 401
    assert await access.status("t2", "/metrics") == 403
    assert await access.status("t1", "/metrics") == 200
    assert reviews.specs[-1] == {
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"}, "user": "reader", "groups": ["g"],
    }  # fmt: skip


async def test_answers_are_cached_admissions_for_longer_than_refusals(
    access: TokenAccess, reviews: Reviews, clock: Clock
) -> None:
    for _ in range(10):
        await access.status("t1", "/metrics")
        await access.status("t2", "/metrics")
    assert [reviews.asked.count(kind) for kind in (TOKEN_REVIEW, SUBJECT_ACCESS_REVIEW)] == [2, 2]
    clock.now += 31
    await access.status("t1", "/metrics")
    await access.status("t2", "/metrics")
    assert [reviews.asked.count(kind) for kind in (TOKEN_REVIEW, SUBJECT_ACCESS_REVIEW)] == [3, 3]
    clock.now += 30
    await access.status("t1", "/metrics")
    assert [reviews.asked.count(kind) for kind in (TOKEN_REVIEW, SUBJECT_ACCESS_REVIEW)] == [4, 4]


async def test_a_check_that_fails_admits_no_one(access: TokenAccess, reviews: Reviews) -> None:
    reviews.down = True
    with structlog.testing.capture_logs() as lines:
        assert await access.status("t1", "/metrics") == 500
    assert [line["event"] for line in lines] == ["authorization check failed"]
    reviews.down = False
    assert await access.status("t1", "/metrics") == 200, "a failure is not cached"


@pytest.mark.parametrize("valid", [False, True])
async def test_one_caller_with_many_tokens_flushes_nothing_of_others(
    access: TokenAccess, reviews: Reviews, monkeypatch: pytest.MonkeyPatch, valid: bool
) -> None:
    """Prove OPS-MET-4: with tokens that nobody knows, and with valid ones that may not read."""
    monkeypatch.setattr(serving, "_REMEMBERED", 10)
    assert await access.status("t1", "/metrics") == 200
    for number in range(100):
        reviews.users |= {f"token-{number}": {"username": f"other-{number}"}} if valid else {}
        assert await access.status(f"token-{number}", "/metrics") == (403 if valid else 401)
    asked = len(reviews.asked)
    assert await access.status("t1", "/metrics") == 200
    assert len(reviews.asked) == asked
    assert len(access._refused) <= 10


async def test_a_right_that_is_gone_is_noticed(access: TokenAccess, reviews: Reviews, clock: Clock) -> None:
    assert await access.status("t1", "/metrics") == 200
    reviews.allowed.clear()
    clock.now += 61
    assert await access.status("t1", "/metrics") == 403
    assert await access.status("t1", "/metrics") == 403
    reviews.allowed.add("reader")
    clock.now += 31
    assert await access.status("t1", "/metrics") == 200


async def test_checks_do_not_take_the_requests_of_reconciles(access: TokenAccess, reviews: Reviews) -> None:
    """Prove OPS-MET-4: two at a time, and one for all who wait with the same token."""
    running, most = 0, 0
    answer = reviews.ask

    async def slow(kind: Kind, question: Manifest) -> Manifest:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await anyio.sleep(0.001)
        running -= 1
        return await answer(kind, question)

    reviews.ask = slow  # type: ignore[method-assign]
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(access.status, f"token-{number}", "/metrics")
            group.start_soon(access.status, "t1", "/metrics")
    assert most == 2
    assert [spec.get("token") for spec in reviews.specs].count("t1") <= 2


def pair(folder: Path) -> None:
    _make_self_signed(folder / "tls.crt", folder / "tls.key")


def test_without_a_folder_a_certificate_is_made() -> None:
    assert ServingCertificate().context().minimum_version == ssl.TLSVersion.TLSv1_2


def test_files_that_cannot_be_used_are_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ServingCertificate(str(tmp_path)).context()
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text("nonsense")
    with pytest.raises(ssl.SSLError):
        ServingCertificate(str(tmp_path)).context()


def test_changed_files_are_used_and_bad_ones_are_not(tmp_path: Path) -> None:
    def refreshed() -> list[Any]:
        with structlog.testing.capture_logs() as lines:
            certificate.refresh()
        return [line["event"] for line in lines]

    pair(tmp_path)
    certificate = ServingCertificate(str(tmp_path))
    certificate.context()
    assert refreshed() == []
    pair(tmp_path)
    os.utime(tmp_path / "tls.crt", ns=(1, 1))
    assert refreshed() == ["serving certificate renewed"]
    (tmp_path / "tls.crt").write_text("nonsense")
    assert refreshed() == ["serving certificate not renewed"]
    assert refreshed() == ["serving certificate not renewed"], "until the files are good again"
    pair(tmp_path)
    assert refreshed() == ["serving certificate renewed"]
