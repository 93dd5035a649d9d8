"""Which caches go with a service."""

from typing import Any

from aimd.api.service import AIMService
from aimd.planning.service.deletion import caches_to_delete
from tests.unit.planning.service.makers import Maker

MINE = {"aim.eai.amd.com/service": "qwen-chat"}


def names(deletions: Any) -> list[str]:
    return [deletion.key.name for deletion in deletions]


def other(name: str, **fields: Any) -> AIMService:
    return AIMService.model_validate({"metadata": {"name": name, "namespace": "ml-team", "uid": name}, **fields})


def test_only_unready_caches_of_this_service(service: Maker, cache: Maker) -> None:
    """Prove SVC-DEL-2."""
    caches = [
        cache("failed", status="Failed", labels=MINE),
        cache("new", status="", labels=MINE),
        cache("ready", labels=MINE),
        cache("foreign", status="Failed", labels={"aim.eai.amd.com/service": "x"}),
        cache("unlabelled", status="Failed"),
    ]
    deletions = caches_to_delete(service(), caches, lambda _: [service()])
    assert names(deletions) == ["failed", "new"]
    assert deletions[0].uid == "uid-failed"


def test_a_shared_cache_that_somebody_waits_for_stays(service: Maker, cache: Maker) -> None:
    """Prove SVC-DEL-2."""
    shared = [cache("shared", status="Progressing", labels=MINE)]
    by_name = other("b", spec={"template": {"name": "qwen-latency"}})
    by_status = other("c", status={"resolvedTemplate": {"name": "qwen-latency"}})
    leaving = other("d", spec={"template": {"name": "qwen-latency"}})
    leaving = leaving.model_copy(update={"metadata": leaving.metadata.model_copy(update={"deletion_timestamp": "t"})})
    private = other("e", spec={"template": {"name": "qwen-latency"}, "caching": {"mode": "Dedicated"}})
    assert not caches_to_delete(service(), shared, lambda _: [by_name])
    assert not caches_to_delete(service(), shared, lambda _: [by_status])
    assert names(caches_to_delete(service(), shared, lambda _: [leaving, private, other("f")])) == ["shared"]
