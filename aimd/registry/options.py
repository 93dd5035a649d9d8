"""Options of the registry client that an administrator can set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aimd.registry.addresses import AddressPolicy
from aimd.registry.reference import DOCKER_HUB

Observer: TypeAlias = Callable[[str, str, str, float], None]
"""Called for each request with registry, operation, code and seconds; the code is `<error>` without a response."""

_DOCKER_HUB_API = "https://hub.docker.com"
_GITHUB_API = "https://api.github.com"
_ENDPOINTS = {DOCKER_HUB: "https://registry-1.docker.io"}


def unobserved(*_: object) -> None:
    """Ignore a request."""


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """Limits and addresses; durations in seconds.

    `timeout` limits a whole call (`--registry-timeout`), with waiting for a slot, login and retries. A listing may take
    `listing_timeout`, each of its pages `timeout`. `concurrency` is the number of concurrent requests to one host
    (`--registry-concurrency`). `retry_delays` are the pauses before the retries of a request.

    `endpoints` maps a registry to the base URL of its mirror: its requests go there only, with the credentials for the
    mirror's host; `http://` is intended plain HTTP. `docker_hub_api` and `github_api` list repositories. If set,
    these hosts may have any address; all others only addresses that `addresses` allows.
    """

    timeout: float = 30.0
    listing_timeout: float = 300.0
    connect_timeout: float = 10.0
    concurrency: int = 8
    retry_delays: tuple[float, ...] = (1.0, 3.0)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    docker_hub_api: str = _DOCKER_HUB_API
    github_api: str = _GITHUB_API
    addresses: AddressPolicy = field(default_factory=AddressPolicy)
    user_agent: str = "aimd"
    observer: Observer = unobserved

    @property
    def configured(self) -> tuple[str, ...]:
        """Base URLs that an administrator has set."""
        apis = ((self.docker_hub_api, _DOCKER_HUB_API), (self.github_api, _GITHUB_API))
        return (*self.endpoints.values(), *(url for url, usual in apis if url != usual))

    def endpoint(self, registry: str) -> str:
        """Return the base URL of a registry, without a slash at its end."""
        known = {**_ENDPOINTS, **self.endpoints}
        return known.get(registry, f"https://{registry}").rstrip("/")

    def mirrored(self, registry: str) -> bool:
        """Return whether requests for this registry go to a mirror."""
        return registry in self.endpoints
