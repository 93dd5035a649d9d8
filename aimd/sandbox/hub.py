"""Stand-in for the Hugging Face hub: serves a folder with model repositories to an unmodified `hf download`.

A repository is a folder `<root>/<organization>/<name>`. Its only branch is `main`, and its commit id is derived from
the content, so that a changed file makes a new commit. Headers and error codes are those of the hub (`X-Repo-Commit`,
`X-Linked-Etag`, `X-Error-Code`, and so on); ranges are supported.

Left out: datasets and spaces, history, tags and pull requests, repositories without an organization, uploads, search,
Xet storage, redirects to a content network, paging.
"""

# tests: tests/integration/test_hub.py

import hashlib
import json
import random
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from aimd.sandbox.local_server import serve_locally

_LFS_SUFFIXES = frozenset({".safetensors", ".bin", ".gguf", ".pt", ".pth", ".onnx", ".msgpack"})
_LFS_FROM_BYTES = 10 * 2**20
_CHUNK = 64 * 2**10


@dataclass(frozen=True, slots=True)
class HubSettings:
    """What to serve, and where.

    `gated` maps a repository (`org/name`) to the token that it requires. `rate_limit_bytes_per_second` is shared by
    all downloads, so that a small model takes long enough to watch.
    """

    root: Path
    port: int = 0
    rate_limit_bytes_per_second: int | None = None
    gated: Mapping[str, str] = field(default_factory=dict)


async def run_hub(settings: HubSettings, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED) -> None:
    """Serve until cancelled; report the URL to use as HF_ENDPOINT when started."""
    application = hub_app(
        settings.root,
        rate_limit_bytes_per_second=settings.rate_limit_bytes_per_second,
        gated=settings.gated,
    )
    async with serve_locally(application, port=settings.port) as port:
        task_status.started(f"http://127.0.0.1:{port}")
        await anyio.sleep_forever()


def hub_app(
    root: Path, *, rate_limit_bytes_per_second: int | None = None, gated: Mapping[str, str] | None = None
) -> Starlette:
    """Return the endpoint as an ASGI application; `application.state.hub` is its `Hub`, with counters."""
    hub = Hub(root, rate_limit_bytes_per_second, gated or {})
    application = Starlette(
        routes=[
            Route("/api/models/{organization}/{name}", hub.model),
            Route("/api/models/{organization}/{name}/revision/{revision:path}", hub.model),
            Route("/api/models/{organization}/{name}/tree/{revision}", hub.tree),
            Route("/api/models/{organization}/{name}/tree/{revision}/{path:path}", hub.tree),
            Route("/{organization}/{name}/resolve/{revision}/{path:path}", hub.resolve),
        ],
        exception_handlers={HTTPException: _error},
    )
    application.state.hub = hub
    return application


def make_repository(root: Path, repository: str, size_bytes: int) -> Path:
    """Write a synthetic model with one tensor of `size_bytes`, the same each time; return its folder."""
    folder = root / repository
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "vocab_size": 256}
    tokenizer = {"version": "1.0", "model": {"type": "BPE", "vocab": {chr(33 + n): n for n in range(90)}, "merges": []}}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "README.md").write_text(f"# {repository}\n\nSynthetic weights for the aimd sandbox.\n")
    tensor = {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}
    header = json.dumps({"model.embed_tokens.weight": tensor}).encode()
    header += b" " * (-len(header) % 8)
    with (folder / "model.safetensors").open("wb") as weights:
        weights.write(struct.pack("<Q", len(header)) + header)
        generator = random.Random(repository)  # noqa: S311 (synthetic weights)
        for start in range(0, size_bytes, 2**20):
            weights.write(generator.randbytes(min(2**20, size_bytes - start)))
    return folder


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a repository, with the IDs that the hub gives it; `sha256` is empty unless it is an LFS file."""

    path: str
    location: Path
    size: int
    blob_id: str
    sha256: str = ""
    pointer_size: int = 0

    @property
    def etag(self) -> str:
        """Return the entity tag, without quotes."""
        return self.sha256 or self.blob_id

    def headers(self, commit: str) -> dict[str, str]:
        """Return the headers of a response with this file, or a part of it."""
        linked = {"X-Linked-Etag": f'"{self.sha256}"', "X-Linked-Size": str(self.size)} if self.sha256 else {}
        return {"ETag": f'"{self.etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes", **linked}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at its only commit; `files` are by path."""

    id: str
    commit: str
    files: Mapping[str, StoredFile]


class Hub:
    """The request handlers; `bytes_sent` counts file content, and `requests` all file requests, for tests."""

    def __init__(self, root: Path, rate_limit: int | None, gated: Mapping[str, str]) -> None:
        self.root = root
        self.bytes_sent = 0
        self.requests = 0
        self._gated = gated
        self._rate_limit = rate_limit
        self._free_at = 0.0
        self._files: dict[tuple[Path, int, int], StoredFile] = {}

    async def model(self, request: Request) -> Response:
        """Answer `/api/models/…` with commit and files, and with sizes and checksums if `blobs` is set."""
        repository = await self._repository(request)
        blobs = request.query_params.get("blobs", "").lower() in ("true", "1")
        return JSONResponse(
            {
                "_id": _sha1(repository.id.encode())[:24],
                "id": repository.id,
                "modelId": repository.id,
                "author": repository.id.partition("/")[0],
                "sha": repository.commit,
                "private": False,
                "gated": "manual" if repository.id in self._gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": ["safetensors"],
                "siblings": [_sibling(file, blobs=blobs) for file in repository.files.values()],
            }
        )

    async def tree(self, request: Request) -> Response:
        """Answer `/api/models/…/tree/…` with the entries of a folder, and of those below it if `recursive` is set."""
        repository = await self._repository(request)
        folder = request.path_params.get("path", "").strip("/")
        recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
        below = [file for path, file in repository.files.items() if not folder or path.startswith(f"{folder}/")]
        if folder and not below:
            raise _refusal(404, "EntryNotFound", f"{folder} does not exist on {repository.commit}")
        return JSONResponse(_entries(below, folder, recursive=recursive))

    async def resolve(self, request: Request) -> Response:
        """Answer `/…/resolve/…` with one file, for HEAD, and for GET with `Range` and `If-Range`."""
        self.requests += 1
        repository = await self._repository(request)
        self._require_access(request, repository)
        path = request.path_params["path"]
        file = repository.files.get(path)
        if file is None:
            raise _refusal(404, "EntryNotFound", f"{path} does not exist on {repository.commit}")
        headers = file.headers(repository.commit)
        start, end = _requested_range(request, file)
        if start >= file.size and start > 0:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{file.size}"})
        headers |= {"Content-Length": str(end - start), "Content-Type": "application/octet-stream"}
        partial = (start, end) != (0, file.size)
        if partial:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        status = 206 if partial else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return StreamingResponse(self._content(file, start, end), status_code=status, headers=headers)

    async def _content(self, file: StoredFile, start: int, end: int) -> AsyncIterator[bytes]:
        # Opened for each chunk: a response whose client disconnects is dropped and would leave the file open.
        while start < end and (chunk := await anyio.to_thread.run_sync(_read_chunk, file.location, start, end)):
            await self._pace(len(chunk))
            yield chunk
            start += len(chunk)
            self.bytes_sent += len(chunk)

    async def _pace(self, size: int) -> None:
        if not self._rate_limit:
            return
        self._free_at = max(self._free_at, anyio.current_time()) + size / self._rate_limit
        await anyio.sleep_until(self._free_at)

    async def _repository(self, request: Request) -> Repository:
        """Return the repository. Raises the error of the hub: without a token, 401 for a missing repository."""
        repository_id = f"{request.path_params['organization']}/{request.path_params['name']}"
        folder = (self.root / repository_id).resolve()
        if not folder.is_relative_to(self.root.resolve()) or not folder.is_dir():
            status = 404 if "authorization" in request.headers else 401
            raise _refusal(status, "RepoNotFound", "Repository not found")
        repository = await anyio.to_thread.run_sync(self._read, repository_id, folder)
        if request.path_params.get("revision", "main") not in ("main", repository.commit):
            raise _refusal(404, "RevisionNotFound", f"Invalid rev id: {request.path_params['revision']}")
        return repository

    def _read(self, repository_id: str, folder: Path) -> Repository:
        locations = sorted(location for location in folder.rglob("*") if location.is_file())
        files = {str(location.relative_to(folder)): self._stored(folder, location) for location in locations}
        identity = "".join(f"{path}\0{file.etag}\n" for path, file in files.items())
        return Repository(repository_id, _sha1(identity.encode()), files)

    def _stored(self, folder: Path, location: Path) -> StoredFile:
        stat = location.stat()
        key = (location, stat.st_mtime_ns, stat.st_size)
        if key not in self._files:
            self._files[key] = _describe(str(location.relative_to(folder)), location, stat.st_size)
        return self._files[key]

    def _require_access(self, request: Request, repository: Repository) -> None:
        wanted = self._gated.get(repository.id)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if wanted is not None and given != wanted:
            raise _refusal(
                403 if given else 401,
                "GatedRepo",
                f"Access to model {repository.id} is restricted. You must have access to it and be authenticated.",
            )


def _read_chunk(location: Path, start: int, end: int) -> bytes:
    with location.open("rb") as source:
        source.seek(start)
        return source.read(min(_CHUNK, end - start))


def _describe(path: str, location: Path, size: int) -> StoredFile:
    if location.suffix not in _LFS_SUFFIXES and size < _LFS_FROM_BYTES:
        return StoredFile(path, location, size, _blob_id(location.read_bytes()))
    with location.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return StoredFile(path, location, size, _blob_id(pointer), sha256, len(pointer))


def _blob_id(content: bytes) -> str:
    return _sha1(b"blob %d\0" % len(content) + content)


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _sibling(file: StoredFile, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": file.path}
    lfs = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    described = {"rfilename": file.path, "size": file.size, "blobId": file.blob_id}
    return {**described, "lfs": lfs} if file.sha256 else described


def _entries(files: list[StoredFile], folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    depth = len(folder.split("/")) + 1 if folder else 1
    entries: dict[str, dict[str, Any]] = {}
    for file in files:
        parts = file.path.split("/")
        for end in range(depth, len(parts) if recursive else min(depth + 1, len(parts))):
            path = "/".join(parts[:end])
            entries[path] = {"type": "directory", "oid": _sha1(path.encode()), "size": 0, "path": path}
        if recursive or len(parts) == depth:
            lfs = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
            entry = {"type": "file", "oid": file.blob_id, "size": file.size, "path": file.path}
            entries[file.path] = {**entry, "lfs": lfs} if file.sha256 else entry
    return list(entries.values())


def _requested_range(request: Request, file: StoredFile) -> tuple[int, int]:
    """Return the first byte and the end (exclusive); anything but one plain range means the whole file."""
    unit, _, wanted = request.headers.get("range", "").partition("=")
    first, dash, last = wanted.partition("-")
    condition = request.headers.get("if-range", "")
    if unit != "bytes" or not dash or not first.isdigit() or (condition and condition != f'"{file.etag}"'):
        return 0, file.size
    return int(first), min(int(last) + 1, file.size) if last.isdigit() else file.size


def _refusal(status: int, code: str, message: str) -> HTTPException:
    return HTTPException(status, message, headers={"X-Error-Code": code, "X-Error-Message": message})


async def _error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)
