"""What an administrator can set about registries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aimd.registry.reference import DOCKER_HUB

Observer: TypeAlias = Callable[[str, str, str, float], None]
"""(registry, operation, code, seconds), once for each request; the code is `<error>` when no answer came."""

_ENDPOINTS = {DOCKER_HUB: "https://registry-1.docker.io"}


def unobserved(registry: str, operation: str, code: str, seconds: float) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """Limits and addresses; times in seconds.

    `timeout` is for a whole question (`--registry-timeout`): waiting for a turn, logging in and every repetition
    included. A listing may take `listing_timeout`, each of its pages `timeout`. `concurrency` is how many requests go
    to one host at once (`--registry-concurrency`). `retry_delays` are the pauses before a request is repeated.

    `endpoints` names for a registry the base URL that answers for it, as a mirror does: its requests go there and
    nowhere else, with the credentials for the mirror's host; `http://` is plain HTTP on purpose. `docker_hub_api` and
    `github_api` are where repositories are listed.
    """

    timeout: float = 30.0
    listing_timeout: float = 300.0
    connect_timeout: float = 10.0
    concurrency: int = 8
    retry_delays: tuple[float, ...] = (1.0, 3.0)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    docker_hub_api: str = "https://hub.docker.com"
    github_api: str = "https://api.github.com"
    user_agent: str = "aimd"
    observer: Observer = unobserved

    def endpoint(self, registry: str) -> str:
        """Base URL of a registry, without a slash at its end."""
        known = {**_ENDPOINTS, **self.endpoints}
        return known.get(registry, f"https://{registry}").rstrip("/")

    def mirrored(self, registry: str) -> bool:
        """Whether another address answers for this registry than its own."""
        return registry in self.endpoints
