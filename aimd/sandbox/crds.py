"""Installing CustomResourceDefinitions, and waiting until the API server serves what they define."""

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
    """The pinned definitions of KServe, Gateway API and KEDA that are named, by plural and group.

    Raises BinariesUnavailable, or LookupError for a name that none of them defines.
    """
    files = locate_manifests()
    found = {crd["metadata"]["name"]: crd for source in ("kserve", "gateway-api", "keda") for crd in files.read(source)}
    return [found[name] for name in names]


async def install_crds(client: Client, http: httpx.AsyncClient, definitions: Iterable[Manifest]) -> None:
    """Create the definitions and return when every served version answers; `http` talks to the same API server.

    Raises ApiError, or TimeoutError after a minute. Asked is the discovery document, not the condition Established:
    programs that look for a kind when they start look there, and it comes last.
    """
    definitions = list(definitions)
    async with anyio.create_task_group() as tasks:
        for definition in definitions:
            tasks.start_soon(_create, client, definition)
    with anyio.fail_after(_TIMEOUT):
        for path, plurals in _discovery(definitions).items():
            while not plurals <= await _served(http, path):  # noqa: ASYNC110 - only asking tells
                await anyio.sleep(_POLL)


async def _create(client: Client, definition: Manifest) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITION, definition, reason="sandbox")


def _discovery(definitions: Iterable[Manifest]) -> Mapping[str, set[str]]:
    """Plurals that must appear, by path of the discovery document."""
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
