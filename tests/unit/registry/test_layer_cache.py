"""Layers are requested once, and take a bounded amount of memory."""

import pytest

from aimd.registry.layer_cache import LONGEST, LayerCache


class Requests:
    """A cache, and how many requests it made."""

    def __init__(self, budget: int = 1000) -> None:
        self.cache = LayerCache(budget)
        self.made = 0

    async def get(self, digest: str, size: int = 1, *, registry: str = "r.io", credential: str = "") -> bytes:
        async def request() -> bytes:
            self.made += 1
            return bytes(size)

        return await self.cache.get((registry, credential, digest), request)


async def test_a_layer_is_shared_by_callers_with_the_same_access() -> None:
    """Prove REG-PRF-6."""
    requests = Requests()
    assert await requests.get("a") == await requests.get("a") == b"\0"
    assert requests.made == 1
    await requests.get("a", registry="other.io")
    await requests.get("a", credential="f")
    assert requests.made == 3


async def test_the_least_recently_used_layers_are_dropped() -> None:
    """Prove REG-PRF-6."""
    requests = Requests()
    for digest in ("a", "b", "a", "c"):
        await requests.get(digest, 400)
    made = requests.made
    await requests.get("a", 400)
    assert requests.made == made
    await requests.get("b", 400)
    assert requests.made == made + 1


async def test_a_large_layer_is_not_kept() -> None:
    requests = Requests(10 * LONGEST)
    for _ in range(2):
        await requests.get("a", LONGEST + 1)
    assert requests.made == 2


async def test_a_failure_is_not_kept() -> None:
    async def broken() -> bytes:
        raise ValueError("broken")

    requests = Requests()
    with pytest.raises(ValueError, match="broken"):
        await requests.cache.get(("r.io", "", "a"), broken)
    assert await requests.get("a") == b"\0"
