"""Stand-in for an inference engine: a small OpenAI-compatible server that echoes the last message.

It serves `/health`, `/metrics`, `/v1/models` and `/v1/chat/completions` (also as a stream), with the metric names of
vLLM. `/v1/models` has an entry for each name of the model, with the folder of the weights as `root`. Two more fields
are the stand-in's own: `profile`, the profile that it was started with, and `fingerprint`, a digest of the beginnings
of the weights.

There are two ways to start it. As the engine of an AIM image (`serve_engine`), it needs a folder with `config.json` and
weights at its top; without one, vLLM would ask the hub, which a predictor cannot reach, and so it prints that and exits
with status 1. For images that the sandbox doesn't know (`main`), it is kinder than any image: any file counts as
weights, and only if `AIM_MODEL_ID` names a model. It never reads a profile, and ignores the arguments of the container.

`ECHO_TOKEN_SECONDS` is the time per word of a stream, to generate load; 0 by default.

Left out: inference, tokenization (a token is a word), completions, embeddings, tools, several choices, authentication,
and the engine's arguments: their values, and whether there are such arguments.

Run it with `python -m aimd.sandbox.model_server --port N [--model ID] [--cache DIR]`.
"""

import argparse
import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_BEGINNING = 2**20
"""Bytes of each file of weights that count for the fingerprint."""


class MissingModel(Exception):
    """The weights are missing; the message says which, and where they should be."""


class BadRequest(Exception):
    """A request that the OpenAI API rejects; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def require_weights(cache: Path, model: str) -> Path:
    """Return the folder of the model, `<cache>/<model>`. Raises MissingModel if it has no file with content.

    Hidden files belong to the downloader and do not count.
    """
    folder = cache / model
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(not name.startswith(".") and (Path(parent) / name).stat().st_size for name in files):
            return folder
    raise MissingModel(f"the files of model {model} are missing in {cache}: is its volume mounted at {folder}?")


def require_model(folder: Path | None, model: str) -> list[Path]:
    """Return the files of weights in the folder of a model. Raises MissingModel as vLLM fails without network.

    `folder` is None for a model that is not in the cache.
    """
    if folder is None:
        raise MissingModel(
            f"cannot load the configuration of '{model}': it is no local directory, and the hub can't be reached"
        )
    if not (folder / "config.json").is_file():
        raise MissingModel(f"'{model}' has no config.json: it is no directory of a model")
    weights = sorted(path for path in folder.iterdir() if path.suffix in _WEIGHTS and not path.name.startswith("."))
    if not any(path.stat().st_size for path in weights):
        raise MissingModel(f"cannot find any model weights in '{model}'")
    return weights


def fingerprint(weights: Sequence[Path]) -> str:
    """Return a digest of the beginnings of some files."""
    digest = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            digest.update(file.read(_BEGINNING))
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: the names of the model, where its weights are, by which profile, and a digest of the weights."""

    names: tuple[str, ...]
    root: str = ""
    profile: str = ""
    fingerprint: str = ""


class EchoModel:
    """The endpoints of one served model; metrics and answers have the first of its names."""

    def __init__(self, served: Served, token_seconds: float = 0.0) -> None:
        self.served = served
        self.model = model = served.names[0]
        self._token_seconds = token_seconds
        self._created = int(time.time())
        self._registry = CollectorRegistry()
        label = ["model_name"]
        self._running = Gauge("vllm:num_requests_running", "Requests in progress.", label, registry=self._registry)
        self._waiting = Gauge("vllm:num_requests_waiting", "Requests in the queue.", label, registry=self._registry)
        self._succeeded = Counter("vllm:request_success", "Finished requests.", label, registry=self._registry)
        self._running.labels(model)
        self._waiting.labels(model)
        self._succeeded.labels(model)

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/metrics", self.metrics),
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
            ],
            exception_handlers={BadRequest: refused},
        )

    async def health(self, _: Request) -> Response:
        """Answer that the server is healthy."""
        return PlainTextResponse("")

    async def metrics(self, _: Request) -> Response:
        """Answer with the metrics for Prometheus."""
        return PlainTextResponse(generate_latest(self._registry))

    async def models(self, _: Request) -> Response:
        """Answer with the only model, once for each of its names."""
        served = self.served
        card = {
            "object": "model",
            "created": self._created,
            "owned_by": "vllm",
            "root": served.root or self.model,
            "parent": None,
            "profile": served.profile,
            "fingerprint": served.fingerprint,
        }
        return JSONResponse({"object": "list", "data": [{"id": name, **card} for name in served.names]})

    async def chat(self, request: Request) -> Response:
        """Echo the last user message, as one response or as server-sent events."""
        body = await read_body(request)
        wanted = body.get("model") or self.model
        if wanted not in self.served.names:
            serves = "`, `".join(self.served.names)
            raise BadRequest(404, f"The model `{wanted}` does not exist; this server serves `{serves}`.")
        prompt = last_user_message(body.get("messages"))
        words = f"You said: {prompt}".split(" ")
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
        finish_reason = "stop" if limit >= len(words) else "length"
        answer = Answer(self.model, words[:limit], finish_reason, len(prompt.split()), self._token_seconds)
        if body.get("stream"):
            with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            return StreamingResponse(
                self._counted(answer.events(with_usage=with_usage)), media_type="text/event-stream"
            )
        self._succeeded.labels(self.model).inc()
        return JSONResponse(answer.completion())

    async def _counted(self, events: AsyncIterator[str]) -> AsyncIterator[str]:
        with self._running.labels(self.model).track_inprogress():
            async for event in events:
                yield event
        self._succeeded.labels(self.model).inc()


class Answer:
    """One response, in the two shapes of the OpenAI API."""

    def __init__(
        self, model: str, words: Sequence[str], finish_reason: str, prompt_tokens: int, token_seconds: float
    ) -> None:
        self._words = words
        self._token_seconds = token_seconds
        self._finish_reason = finish_reason
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self._usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(words),
            "total_tokens": prompt_tokens + len(words),
        }

    def completion(self) -> dict[str, Any]:
        """Return the whole response as `chat.completion`."""
        message = {"role": "assistant", "content": " ".join(self._words)}
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage}

    async def events(self, *, with_usage: bool) -> AsyncIterator[str]:
        """Yield the response as `chat.completion.chunk` events, one per word, then `[DONE]`."""
        yield self._chunk({"role": "assistant", "content": ""})
        for position, word in enumerate(self._words):
            if self._token_seconds:
                await anyio.sleep(self._token_seconds)
            yield self._chunk({"content": f" {word}" if position else word})
        yield self._chunk({}, self._finish_reason)
        if with_usage:
            yield self._event({"choices": [], "usage": self._usage})
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> str:
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})

    def _event(self, content: dict[str, Any]) -> str:
        return f"data: {json.dumps({**self._head, 'object': 'chat.completion.chunk', **content})}\n\n"


async def read_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request. Raises BadRequest for anything else."""
    try:
        body = await request.json()
    except ValueError as error:
        raise BadRequest(400, f"The body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise BadRequest(400, "The body must be a JSON object.")
    return body


def last_user_message(messages: Any) -> str:
    """Return the text of the last message with role `user`. Raises BadRequest if there is none."""
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise BadRequest(400, "`messages` must be a list with at least one message.")
    for message in reversed(messages):
        if message.get("role") == "user":
            return message_text(message.get("content"))
    raise BadRequest(400, "`messages` has no message with role `user`.")


def message_text(content: Any) -> str:
    """Return the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


async def refused(_: Request, error: Exception) -> Response:
    """Answer with an error in the shape of the OpenAI API."""
    status = error.status if isinstance(error, BadRequest) else 500
    kind = "NotFoundError" if status == 404 else "BadRequestError"
    return JSONResponse({"error": {"message": str(error), "type": kind, "code": status}}, status_code=status)


def serve_engine(served: Served, folder: Path | None, port: int) -> int:
    """Serve the model in a folder until SIGTERM; return status 1 without its weights. Port 0 is any free one."""
    try:
        weights = require_model(folder, served.root)
    except MissingModel as error:
        print(f"OSError: {error}", file=sys.stderr, flush=True)
        return 1
    found = Served(served.names, served.root, served.profile, fingerprint(weights))
    print(f"weights found in {served.root}, profile {served.profile}", flush=True)
    _listen(found, "127.0.0.1", port)
    return 0


def _listen(served: Served, host: str, port: int) -> None:
    token_seconds = float(os.environ.get("ECHO_TOKEN_SECONDS") or 0)
    application = EchoModel(served, token_seconds).application()
    uvicorn.run(application, host=host, port=port, timeout_graceful_shutdown=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM as an image that the sandbox doesn't know; return status 1 if the weights are missing."""
    parser = argparse.ArgumentParser(prog="aimd.sandbox.model_server", description="OpenAI-compatible echo server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--model", default=os.environ.get("AIM_MODEL_ID", ""), help="model to serve; its weights must be in the cache"
    )
    parser.add_argument("--cache", type=Path, default=os.environ.get("AIM_CACHE_PATH") or "/workspace/cache")
    options = parser.parse_args(arguments)
    if options.model:
        try:
            print(f"weights found in {require_weights(options.cache, options.model)}", flush=True)
        except MissingModel as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 1
    _listen(Served((options.model or os.environ.get("AIM_ID") or "echo",)), options.host, options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
