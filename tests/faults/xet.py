"""A hub whose weights are in Xet: the stand-in for the hub before the real library's store on disk (`local://`)."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hf_xet import XetSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from aimd.sandbox.hub import Hub, hub_app
from aimd.sandbox.local_server import serve_locally

FAR_AWAY = 4_000_000_000  # in 2096


@dataclass
class XetHub:
    """`stored` says what of a repository is in Xet, by path; `tokens` counts those given out, unless `refusing`.

    `place` is where the chunks are said to be.
    """

    root: Path
    store: Path
    gated: dict[str, str] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    tokens: int = 0
    refusing: bool = False
    url: str = ""
    place: str = ""

    def __post_init__(self) -> None:
        self.place = self.place or f"local://{self.store}"

    def keep(self, repository: str, path: str) -> None:
        """Puts a file into Xet."""
        self.store.mkdir(exist_ok=True)
        commit = XetSession().new_upload_commit(endpoint=f"local://{self.store}")
        upload = commit.start_upload_file(str(self.root / repository / path))
        commit.wait_to_finish()
        self.stored[path] = upload.result().xet_info.hash

    def lose(self) -> None:
        """Forgets what is stored, but not that it is."""
        for file in (self.store / "xet" / "xorbs").rglob("default.*"):
            file.unlink()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["XetHub"]:
        application = hub_app(self.root, gated=self.gated)
        self.plain: Hub = application.state.hub
        repository = "/api/models/{organization}/{name}"
        routes = [
            Route(f"{repository}/xet-read-token/{{revision}}", self._token),
            Route(f"{repository}/tree/{{revision}}", self._with_hashes(self.plain.tree)),
            Mount("/", application),
        ]
        async with serve_locally(Starlette(routes=routes)) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self

    async def _token(self, request: Request) -> Response:
        name = f"{request.path_params['organization']}/{request.path_params['name']}"
        wanted = self.gated.get(name)
        if self.refusing or (wanted and request.headers.get("authorization") != f"Bearer {wanted}"):
            return PlainTextResponse("no", 403)
        self.tokens += 1
        headers = {"X-Xet-Access-Token": "t", "X-Xet-Token-Expiration": str(FAR_AWAY), "X-Xet-Cas-Url": self.place}
        return JSONResponse({"accessToken": "t", "exp": FAR_AWAY, "casUrl": self.place}, headers=headers)

    def _with_hashes(self, tree: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            entries = json.loads(bytes((await tree(request)).body))
            for entry in entries:
                if entry["path"] in self.stored:
                    entry["xetHash"] = self.stored[entry["path"]]
            return JSONResponse(entries)

        return answer
