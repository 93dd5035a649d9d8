"""The size of a model, as the hub tells it."""

import httpx

from aimd.sandbox.aim_image.hub_size import hub_size

HUB = {"HF_ENDPOINT": "http://hub"}


def answer(request: httpx.Request) -> httpx.Response:
    if str(request.url) != "http://hub/api/models/a/b?blobs=true" or "Authorization" not in request.headers:
        return httpx.Response(401)
    return httpx.Response(200, json={"siblings": [{"size": 2**30}, {"size": 2**20}, {"rfilename": "x"}]})


def size(source: str, **environment: str) -> float | None:
    return hub_size(source, environment, httpx.MockTransport(answer))


def test_the_size_is_that_of_all_files() -> None:
    assert size("hf://a/b", **HUB, HF_TOKEN="t") == 1.00098


def test_without_an_answer_there_is_no_size() -> None:
    assert size("hf://a/b", **HUB) is None
    assert size("hf://a/c", **HUB, HF_TOKEN="t") is None
    assert size("hf://a/b") is None
    assert size("s3://a/b", **HUB, HF_TOKEN="t") is None
