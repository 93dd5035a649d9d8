"""The echo model server: the OpenAI API's shapes, and no service without weights."""

import json
import re
from pathlib import Path

import httpx
import pytest

from aimd.sandbox.model_server import EchoModel, MissingModel, Served, fingerprint, main, require_model, require_weights

MODEL = "Qwen/Qwen2-0.5B"


def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=EchoModel(Served((MODEL,))).application())
    return httpx.AsyncClient(transport=transport, base_url="http://model")


def question(text: str, **more: object) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def test_lists_its_model() -> None:
    async with client() as server:
        answer = (await server.get("/v1/models")).json()
    assert [model["id"] for model in answer["data"]] == [MODEL]


async def test_lists_each_name_of_its_model_with_the_weights_and_the_profile() -> None:
    served = Served(("a/b", "c/d"), "/workspace/model-cache/a/b", "vllm-x", "digest")
    transport = httpx.ASGITransport(app=EchoModel(served).application())
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as server:
        cards = (await server.get("/v1/models")).json()["data"]
        other = await server.post("/v1/chat/completions", json={**question("x"), "model": "c/d"})
    assert [card["id"] for card in cards] == ["a/b", "c/d"]
    assert {card["root"] for card in cards} == {"/workspace/model-cache/a/b"}
    assert {(card["profile"], card["fingerprint"]) for card in cards} == {("vllm-x", "digest")}
    assert other.status_code == 200


def test_the_fingerprint_tells_weights_apart(tmp_path: Path) -> None:
    found = []
    for content in (b"one", b"two", b"one"):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors").write_bytes(content)
        found.append(fingerprint(require_model(tmp_path, "x")))
    assert found[0] == found[2] != found[1]


async def test_echoes_the_last_user_message() -> None:
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": [{"type": "text", "text": "second one"}]},
    ]
    async with client() as server:
        answer = (await server.post("/v1/chat/completions", json={"messages": messages})).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "You said: second one"}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}


async def test_max_tokens_cuts_the_answer() -> None:
    async with client() as server:
        answer = (await server.post("/v1/chat/completions", json=question("a b c", max_tokens=3))).json()
    assert answer["choices"][0]["message"]["content"] == "You said: a"
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_streams_the_same_answer() -> None:
    body = question("two  words", stream=True, stream_options={"include_usage": True})
    async with client() as server, server.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    assert events.pop()["usage"]["total_tokens"] == 7
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == "You said: two  words"
    assert [event["choices"][0]["finish_reason"] for event in events][-1] == "stop"


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "JSON object"),
        (b"{}", 400, "`messages` must be"),
        (b'{"messages": [{"role": "system", "content": "x"}]}', 400, "no message with role"),
        (b'{"model": "other", "messages": []}', 404, "`other` does not exist"),
    ],
)
async def test_refuses_as_the_api_does(content: bytes, status: int, says: str) -> None:
    async with client() as server:
        answer = await server.post("/v1/chat/completions", content=content)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


async def test_counts_requests() -> None:
    async with client() as server:
        await server.post("/v1/chat/completions", json=question("hello"))
        text = (await server.get("/metrics")).text
    assert f'vllm:request_success_total{{model_name="{MODEL}"}} 1.0' in text
    assert f'vllm:num_requests_waiting{{model_name="{MODEL}"}} 0.0' in text


def test_weights_are_files_with_content_below_the_model(tmp_path: Path) -> None:
    folder = tmp_path / MODEL
    with pytest.raises(MissingModel, match=re.escape(f"model {MODEL} are missing in")):
        require_weights(tmp_path, MODEL)
    (folder / ".cache").mkdir(parents=True)
    (folder / ".cache" / "weights.incomplete").write_text("half")
    (folder / "empty.safetensors").touch()
    with pytest.raises(MissingModel):
        require_weights(tmp_path, MODEL)
    (folder / "sub").mkdir()
    (folder / "sub" / "model.safetensors").write_text("weights")
    assert require_weights(tmp_path, MODEL) == folder


def test_without_weights_it_exits_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "1", "--model", MODEL, "--cache", str(tmp_path)]) == 1
    assert f"is its volume mounted at {tmp_path / MODEL}?" in capsys.readouterr().err
