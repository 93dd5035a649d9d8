"""Unary calls: GETs of a small object per second of CPU, through our client and through its alternatives.

The server is another process, so CPU time is that of the client alone; on a core of its own, a client makes as many
calls per second. The floors send the same request with the same library and decode the response.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import httpx
import orjson

from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.objects import Key
from bench.figures import Figure, Figures, at_least
from bench.fresh import in_fresh_process
from bench.meters import Cost, kubeconfig, metered
from bench.server import serving

NAME = "unary"
CONCURRENCIES = (1, 5, 20, 50)
LEAST_OF_AIOHTTP = at_least(0.3)

_OBJECTS = 100
_WARM_UP = 100
_PATH = "/api/v1/namespaces/team-00/configmaps/settings-"

Get = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second of the client's CPU, and per second of wall time."""

    per_cpu_second: float
    per_second: float


def run(calls: int = 4000, rounds: int = 3, concurrencies: tuple[int, ...] = CONCURRENCIES) -> Figures:
    """Measure every subject at every concurrency, `rounds` times alternately; the best round counts."""
    figures = []
    with serving(configmaps=_OBJECTS) as url:
        for concurrency in concurrencies:
            rates = {
                name: [in_fresh_process(subject, url, concurrency, calls) for _ in range(rounds)]
                for name, subject in SUBJECTS.items()
            }
            best = {name: max(tried, key=lambda rate: rate.per_cpu_second) for name, tried in rates.items()}
            figures += _figures(concurrency, best)
    return Figures(NAME, tuple(figures))


def _figures(concurrency: int, best: dict[str, Rate]) -> list[Figure]:
    floor = best["aiohttp"]
    figures = [
        Figure(
            f"{NAME}/{name}/{concurrency}",
            f"GETs through {name}, {concurrency} concurrent",
            rate.per_cpu_second,
            "calls/s of CPU",
            "aiohttp",
            floor.per_cpu_second,
            (LEAST_OF_AIOHTTP,) if name == "Client" else (),
        )
        for name, rate in best.items()
        if name != "aiohttp"
    ]
    client = best["Client"]
    wall = Figure(
        f"{NAME}/Client/{concurrency}/wall",
        f"GETs through Client, {concurrency} concurrent, wall time",
        client.per_second,
        "calls/s",
        "aiohttp",
        floor.per_second,
        (LEAST_OF_AIOHTTP,),
    )
    return [*figures, wall]


async def through_client(url: str, concurrency: int, calls: int) -> Rate:
    """Measure our client."""
    with kubeconfig(url) as path:
        async with connect(ClientOptions(kubeconfig=path, max_concurrent_requests=64)) as client:

            async def get(number: int) -> None:
                await client.get(CONFIG_MAP, Key("team-00", f"settings-{number:05d}"))

            return await _rate(get, concurrency, calls)


async def through_aiohttp(url: str, concurrency: int, calls: int) -> Rate:
    """Measure the floor: a session of aiohttp."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=64)) as session:

        async def get(number: int) -> None:
            async with session.get(f"{url}{_PATH}{number:05d}") as response:
                orjson.loads(await response.read())

        return await _rate(get, concurrency, calls)


async def through_httpx(url: str, concurrency: int, calls: int) -> Rate:
    """Measure httpx with its own transport."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(limits=limits, timeout=30, trust_env=False) as session:
        return await _rate(_httpx_get(session, url), concurrency, calls)


async def through_httpx_aiohttp(url: str, concurrency: int, calls: int) -> Rate:
    """Measure httpx with aiohttp as its transport."""
    from httpx_aiohttp import AiohttpTransport

    transport = AiohttpTransport(limits=httpx.Limits(max_connections=64, max_keepalive_connections=64))
    async with httpx.AsyncClient(transport=transport, timeout=30, trust_env=False) as session:
        return await _rate(_httpx_get(session, url), concurrency, calls)


SUBJECTS: dict[str, Callable[[str, int, int], Awaitable[Rate]]] = {
    "aiohttp": through_aiohttp,
    "Client": through_client,
    "httpx": through_httpx,
    "httpx over httpx-aiohttp": through_httpx_aiohttp,
}


def _httpx_get(session: httpx.AsyncClient, url: str) -> Get:
    async def get(number: int) -> None:
        response = await session.get(f"{url}{_PATH}{number:05d}")
        orjson.loads(response.content)

    return get


async def _rate(get: Get, concurrency: int, calls: int) -> Rate:
    await _repeat(get, concurrency, _WARM_UP)
    cost = await _repeat(get, concurrency, calls)
    return Rate(calls / cost.cpu, calls / cost.wall)


async def _repeat(get: Get, concurrency: int, calls: int) -> Cost:
    numbers = itertools.count()

    async def worker() -> None:
        while (number := next(numbers)) < calls:
            await get(number % _OBJECTS)

    with metered() as cost:
        await asyncio.gather(*(worker() for _ in range(concurrency)))
    return cost
