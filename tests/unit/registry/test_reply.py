"""A response: its limits, and what is read from it."""

import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from aimd.registry.failures import Problem, RegistryError
from aimd.registry.reply import MOST_VALUES, Reply, parse_json, read_reply


def response(status: int = 200, body: bytes = b"", method: str = "GET", **headers: str) -> httpx.Response:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10):
            yield body[start : start + 10]

    request = httpx.Request(method, "https://r.io/v2/")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, content=pieces(), request=request)


def reply(body: object = "", media_type: str = "") -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(400, {"content-type": media_type}, content, "https://r.io:5000/v2/")


async def test_a_body_is_read_up_to_its_limit() -> None:
    """Prove REG-NET-3."""
    assert (await read_reply(response(body=b"x" * 100), 100)).body == b"x" * 100
    for too_long in (response(body=b"x" * 101), response(body=b"x", content_length="101")):
        with pytest.raises(RegistryError, match="limit of 100 bytes") as raised:
            await read_reply(too_long, 100)
        assert raised.value.failure.problem is Problem.CONTENT


async def test_the_body_of_an_error_is_cut_off() -> None:
    assert len((await read_reply(response(500, body=b"x" * 100_000), 10)).body) == 64 * 1024


async def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(RegistryError, match="gzip"):
        await read_reply(response(body=b"x", content_encoding="gzip"), 100)


@pytest.mark.parametrize(
    ("body", "error", "shown"),
    [
        ({"errors": [{"code": "DENIED", "message": "no\naccess"}]}, ("DENIED", "no\naccess"), ' ("no access")'),
        ({"errors": [{"code": "DENIED"}]}, ("DENIED", ""), ' ("DENIED")'),
        ({"errors": [{"code": 1, "message": []}]}, ("", ""), ""),
        ({"errors": []}, ("", ""), ""),
        ([], ("", ""), ""),
        (b"<html>", ("", ""), ""),
        (b"[" * 100_000, ("", ""), ""),
    ],
)
def test_the_error_in_a_body(body: object, error: tuple[str, str], shown: str) -> None:
    assert (reply(body).first_error, reply(body).quoted_error) == (error, shown)


def test_what_a_reply_says_of_itself() -> None:
    found = reply(media_type="Application/JSON; charset=utf-8")
    assert (found.media_type, found.host) == ("application/json", "r.io")


def test_a_body_that_is_not_json() -> None:
    assert parse_json(reply({"a": 1}), "a token") == {"a": 1}
    for body in (b"<html>", b"\xff", b"[" * 100_000):
        with pytest.raises(RegistryError, match=r"r\.io sent text/html instead of a token as JSON") as raised:
            parse_json(reply(body, "text/html"), "a token")
        assert raised.value.failure.problem is Problem.CONTENT


@pytest.mark.parametrize("value", ["[]", "{}", "1", '""', '{"a":1}', "[[[]]]"])
def test_a_body_of_many_values_does_not_block_others(value: str) -> None:
    """Prove REG-NET-3."""
    values = (8 << 20) // (len(value) + 1)
    started = time.thread_time()
    with pytest.raises(RegistryError, match="sent JSON with more than 300000 values instead of a token"):
        parse_json(reply(f"[{','.join([value] * values)}]".encode()), "a token")
    assert time.thread_time() - started < 0.25
    fewer = f"[{','.join([value] * (MOST_VALUES // 5))}]".encode()
    assert parse_json(reply(fewer), "a token")
