"""Which cache a service uses, and what it adds to one that failed."""

from collections.abc import Callable
from typing import Any

from aimd.planning.service.caching import amended_cache, find_cache

Maker = Callable[..., Any]


def test_the_remembered_cache_stays_while_ready_else_the_best_is_used(
    service: Maker, template: Maker, cache: Maker
) -> None:
    """Prove SVC-CCH-2."""
    remembered = service(status={"cache": {"templateCacheRef": {"name": "second"}}})
    first, second = cache("first", status="Ready"), cache("second", status="Ready")
    assert find_cache(remembered, template(), [first, second]) == second
    failed = cache("second", status="Failed")
    assert find_cache(remembered, template(), [failed, first]) == first
    other = cache("other", template="another"), cache("cluster", scope="Cluster"), cache("own", mode="Dedicated")
    assert find_cache(service(), template(), other) is None
    ending = {
        **first.manifest(),
        "metadata": {**first.manifest()["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"},
    }
    assert find_cache(service(), template(), [type(first).model_validate(ending)]) is None


def test_a_dedicated_cache_is_used_by_its_owner_only(service: Maker, template: Maker, cache: Maker) -> None:
    """Prove SVC-CCH-3."""
    dedicated = service(caching={"mode": "Dedicated"})
    own = cache("own", mode="Dedicated", owner=dedicated.metadata.uid)
    foreign = cache("foreign", mode="Dedicated", owner="another-service")
    assert find_cache(dedicated, template(), [foreign, own]) == own
    assert find_cache(dedicated, template(), [foreign]) is None


def test_any_service_adds_to_a_failed_cache_and_only_its_maker_changes_it(
    service: Maker, template: Maker, cache: Maker
) -> None:
    """Prove SVC-CCH-7."""

    def amended(maker: str, status: str = "Failed") -> list[dict[str, Any]] | None:
        labels = {"aim.eai.amd.com/service": maker} if maker else {}
        made = cache(status=status, labels=labels).manifest()
        made["spec"]["env"] = [{"name": "PRESENT", "value": "old"}]
        env = [{"name": "PRESENT", "value": "new"}, {"name": "TOKEN", "value": "t"}]
        desired = amended_cache(service(env=env), template(), type(cache()).model_validate(made))
        return desired.manifest["spec"]["env"] if desired is not None else None

    token = {"name": "TOKEN", "value": "t"}
    assert amended("qwen-chat") == [{"name": "PRESENT", "value": "new"}, token]
    assert amended("another") == [{"name": "PRESENT", "value": "old"}, token]
    assert amended("") is None, "somebody made it by hand"
    assert amended("qwen-chat", status="Progressing") is None
