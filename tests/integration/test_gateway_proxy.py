"""The gateway's proxy between a real client and a real backend on loopback."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from aimd.runtime.objects import Key
from aimd.sandbox.gateway.proxy import NoEndpoint, Proxy
from aimd.sandbox.gateway.routing import Backend, RouteTable, rules_of
from aimd.sandbox.local_server import serve_locally
from tests.integration.operator_process import free_port


async def echo(request: Request) -> Response:
    content = {
        "method": request.method,
        "path": request.scope["raw_path"].decode(),
        "query": request.url.query,
        "headers": dict(request.headers),
        "body": (await request.body()).decode(),
    }
    response = JSONResponse(content)
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def slow(request: Request) -> Response:
    await anyio.sleep(5)
    return PlainTextResponse("late")


async def stream(request: Request) -> Response:
    async def chunks() -> AsyncIterator[str]:
        yield "one\n"
        await anyio.sleep(1.0)
        yield "two\n"

    return StreamingResponse(chunks())


BACKEND = Starlette(
    routes=[Route("/slow", slow), Route("/stream", stream), Route("/{path:path}", echo, methods=["GET", "POST"])]
)


def route(**rule: Any) -> dict[str, Any]:
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/team/chat"}}],
        "filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"replacePrefixMatch": "/"}}}],
        "backendRefs": [{"name": "chat-predictor", "port": 80}],
        **rule,
    }
    return {"metadata": {"name": "chat", "namespace": "team"}, "spec": {"rules": [rule]}}


@asynccontextmanager
async def gateway(*, endpoints: bool = True, port: int | None = None, **rule: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway with one route, whose backend is really served (at `port` if given)."""
    routes = RouteTable()
    routes.put(Key("team", "chat"), rules_of(route(**rule)))
    async with serve_locally(BACKEND) as backend_port:

        def local_ports(backend: Backend) -> Sequence[int]:
            if not endpoints:
                raise NoEndpoint(f"Service {backend.service} has no ready endpoint")
            return [port or backend_port]

        proxy = Proxy(routes, local_ports)
        async with (
            serve_locally(proxy.application()) as proxy_port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy_port}", trust_env=False) as client,
        ):
            yield client
        await proxy.aclose()


async def test_request_and_answer_pass_unchanged_but_for_the_prefix() -> None:
    async with gateway() as client:
        answer = await client.post("/team/chat/v1/x%2Fy?a=1&b=%20", content="hello", headers={"X-Own": "yes"})
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/v1/x%2Fy", "a=1&b=%20")
    assert seen["body"] == "hello"
    assert seen["headers"]["x-own"] == "yes"
    assert seen["headers"]["host"] == answer.request.headers["host"]
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert [value.split(";")[0] for value in answer.headers.get_list("set-cookie")] == ["a=1", "b=2"]


async def test_answers_stream_as_they_come() -> None:
    async with gateway() as client, client.stream("GET", "/team/chat/stream") as response:
        started = anyio.current_time()
        arrivals = [(line, anyio.current_time() - started) async for line in response.aiter_lines()]
    assert [line for line, _ in arrivals] == ["one", "two"]
    assert arrivals[1][1] - arrivals[0][1] > 0.4, "the first must not wait for the second"


async def test_no_route() -> None:
    async with gateway() as client:
        answer = await client.get("/team/other")
    assert answer.status_code == 404
    assert answer.json() == {"error": "no route for /team/other", "routed": ["/team/chat"]}


async def test_no_endpoint() -> None:
    async with gateway(endpoints=False) as client:
        answer = await client.get("/team/chat")
    assert answer.status_code == 503
    assert answer.json()["error"] == "route team/chat: Service team/chat-predictor has no ready endpoint"


async def test_a_backend_that_does_not_listen() -> None:
    async with gateway(port=free_port()) as client:
        answer = await client.get("/team/chat")
    assert answer.status_code == 503
    assert "the backend does not respond" in answer.json()["error"]


async def test_the_timeout_of_the_route() -> None:
    async with gateway(timeouts={"request": "200ms"}) as client:
        answer = await client.get("/team/chat/slow")
    assert answer.status_code == 504
    assert answer.json()["error"] == "route team/chat: no response within 0.2 s"


async def test_a_route_without_backend() -> None:
    async with gateway(backendRefs=[]) as client:
        assert (await client.get("/team/chat")).status_code == 503
