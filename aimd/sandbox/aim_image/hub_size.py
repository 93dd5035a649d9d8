"""The size of a model, as a dry run asks the hub for it."""

from collections.abc import Mapping

import httpx

_TIMEOUT = 5.0
_GIB = 2**30
_DECIMALS = 5
"""The runtime rounds to two decimals, which leaves nothing of the sandbox's small models."""


def hub_size(source: str, environment: Mapping[str, str], transport: httpx.BaseTransport | None = None) -> float | None:
    """Return the size of all files of a model in GiB; None without a hub, or if that does not tell."""
    hub = environment.get("HF_ENDPOINT", "")
    if not hub or not source.startswith("hf://"):
        return None
    token = environment.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{hub}/api/models/{source.removeprefix('hf://')}"
    try:
        with httpx.Client(trust_env=False, timeout=_TIMEOUT, transport=transport) as client:
            answer = client.get(url, params={"blobs": "true"}, headers=headers).raise_for_status().json()
        size = sum(file.get("size") or 0 for file in answer.get("siblings") or ())
    except (httpx.HTTPError, ValueError):
        return None
    return round(size / _GIB, _DECIMALS) or None
