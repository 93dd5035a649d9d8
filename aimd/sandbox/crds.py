"""Install CustomResourceDefinitions, and wait until the API server serves their kinds."""

# tests: tests/integration/test_takeover.py

from collections import defaultdict
from collections.abc import Iterable, Mapping

import anyio
import httpx

from aimd.runtime.client import Client
from aimd.runtime.kinds import CUSTOM_RESOURCE_DEFINITION
from aimd.runtime.objects import Manifest
from aimd.sandbox.binaries import locate_manifests

_POLL = 0.1
_TIMEOUT = 60.0


def foreign_crds(*names: str) -> list[Manifest]:
    """Return pinned CRDs of KServe, Gateway API and KEDA by name (plural and group).

    Raises BinariesUnavailable, or LookupError for a name that none of them has.
    """
    files = locate_manifests()
    found = {crd["metadata"]["name"]: crd for source in ("kserve", "gateway-api", "keda") for crd in files.read(source)}
    return [found[name] for name in names]


async def install_crds(client: Client, http: httpx.AsyncClient, definitions: Iterable[Manifest]) -> None:
    """Create the CRDs, and return when every served version is in the discovery document.

    `http` is a client of the same API server. Programs look for a kind in the discovery document, which is updated
    after the condition Established is set. Raises ApiError, or TimeoutError after a minute.
    """
    definitions = list(definitions)
    async with anyio.create_task_group() as tasks:
        for definition in definitions:
            tasks.start_soon(_create, client, definition)
    with anyio.fail_after(_TIMEOUT):
        for path, plurals in _discovery(definitions).items():
            while not plurals <= await _served(http, path):  # noqa: ASYNC110 (there is no event to wait for)
                await anyio.sleep(_POLL)


async def _create(client: Client, definition: Manifest) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITION, definition, reason="sandbox")


def _discovery(definitions: Iterable[Manifest]) -> Mapping[str, set[str]]:
    """Return the plurals that must appear, by path of the discovery document."""
    expected: dict[str, set[str]] = defaultdict(set)
    for definition in definitions:
        spec = definition["spec"]
        for version in spec["versions"]:
            if version["served"]:
                expected[f"/apis/{spec['group']}/{version['name']}"].add(spec["names"]["plural"])
    return expected


async def _served(http: httpx.AsyncClient, path: str) -> set[str]:
    response = await http.get(path)
    if response.status_code != httpx.codes.OK:
        return set()
    return {resource["name"] for resource in response.json()["resources"]}
