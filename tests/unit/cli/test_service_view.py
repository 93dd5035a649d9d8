"""The table of a service and its objects."""

from typing import Any

import pytest

from aimd.cli.service_view import Part, parts_of, table_of, unmet_conditions
from aimd.planning.kinds import AIM_ARTIFACT, AIM_MODEL, AIM_SERVICE, HTTP_ROUTE, INFERENCE_SERVICE
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import JOB, POD
from aimd.runtime.objects import Key, Kind, Manifest

CHAT = Key("team", "chat")
TRUE = {"status": "True"}


class Server:
    """The two calls of a client that the view makes."""

    def __init__(self, objects: dict[Kind, list[Manifest]]) -> None:
        self._objects = objects

    async def get(self, kind: Kind, key: Key) -> Manifest:
        for item in self._objects.get(kind, ()):
            if item["metadata"]["name"] == key.name:
                return item
        raise NotFound(f"{kind.name} {key} not found", status=404)

    async def list(self, kind: Kind, *, namespace: str) -> list[Manifest]:
        assert namespace == CHAT.namespace
        return self._objects.get(kind, [])


def thing(name: str, **status: Any) -> Manifest:
    return {"metadata": {"namespace": CHAT.namespace, "name": name}, "status": status}


async def view(objects: dict[Kind, list[Manifest]]) -> list[Part]:
    return await parts_of(Server(objects), CHAT)  # type: ignore[arg-type]


async def test_the_service_comes_first_and_says_why() -> None:
    ready = {"type": "Ready", "status": "False", "reason": "CacheNotReady", "message": "42 % downloaded"}
    progress = {"displayPercentage": "42 %", "downloadedBytes": 42 * 2**20, "totalBytes": 100 * 2**20}
    parts = await view(
        {
            AIM_SERVICE: [thing("chat", status="Pending", conditions=[ready])],
            AIM_MODEL: [thing("qwen", status="Ready", conditions=[{"type": "Ready", "reason": "AllComponentsReady"}])],
            AIM_ARTIFACT: [thing("weights", status="Progressing", progress=progress)],
            JOB: [thing("download"), thing("check-size", conditions=[{"type": "Complete", **TRUE}])],
            INFERENCE_SERVICE: [thing("chat-1", conditions=[{"type": "Ready", **TRUE}])],
            POD: [thing("chat-1-pod", phase="Running")],
            HTTP_ROUTE: [thing("chat-1", parents=[{"conditions": [{"type": "Accepted", **TRUE}]}]), thing("other")],
        }
    )
    assert parts == [
        Part("AIMService", "chat", "Pending", "42 % downloaded"),
        Part("AIMModel", "qwen", "Ready", "AllComponentsReady"),
        Part("AIMArtifact", "weights", "Progressing", "downloading 42 % (42 of 100 MiB)"),
        Part("Job", "download", "Running", ""),
        Part("Job", "check-size", "Complete", ""),
        Part("InferenceService", "chat-1", "Ready", ""),
        Part("Pod", "chat-1-pod", "Running", ""),
        Part("HTTPRoute", "chat-1", "Accepted", ""),
        Part("HTTPRoute", "other", "Pending", ""),
    ]
    assert table_of(parts, "AIMService team/chat").row_count == len(parts)


async def test_a_service_that_is_not_there() -> None:
    assert await view({}) == [Part("AIMService", "chat", "", "not applied yet")]


@pytest.mark.parametrize("status", [{}, {"status": None}, {"conditions": [None]}, {"conditions": "x"}])
def test_a_service_without_conditions_has_none_unmet(status: Any) -> None:
    assert unmet_conditions({"status": status}) == []


def test_unmet_conditions() -> None:
    conditions = [
        {"type": "ModelReady", "status": "False", "reason": "ModelNotFound", "message": "no model"},
        {"type": "CacheReady", "status": "True", "reason": "CacheReady"},
    ]
    assert unmet_conditions({"status": {"conditions": conditions}}) == ["ModelReady: ModelNotFound: no model"]
