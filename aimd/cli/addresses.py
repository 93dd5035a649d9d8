"""Which addresses the operator contacts for image registries: its flags, and what it knows of the cluster."""

from urllib.parse import urlsplit

import structlog

from aimd.cli.environment import Environment
from aimd.cli.settings import Flags
from aimd.registry.addresses import AddressPolicy, address_policy, service_network
from aimd.registry.hosts import is_loopback
from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError
from aimd.runtime.kinds import SERVICE_CIDR

_log = structlog.get_logger()


async def allowed_addresses(client: Client, flags: Flags, environment: Environment) -> AddressPolicy:
    """Return the policy for addresses of registries (REG-NET-2).

    Registries on this machine are allowed if the API server is on this machine, too: a control plane for development.
    """
    services = flags.service_cidrs or await service_networks(client, environment)
    policy = address_policy(flags.registry_allow, service_networks=services, local=is_local(client))
    _log.info("image registries", allow=flags.registry_allow, service_cidrs=services, local=policy.local)
    return policy


def is_local(client: Client) -> bool:
    """Return whether the API server is on this machine: a control plane for development or tests."""
    return is_loopback(urlsplit(client.server).hostname or "")


async def service_networks(client: Client, environment: Environment) -> tuple[str, ...]:
    """Return the networks of Services: those that the API server states, else a guess by the Service `kubernetes`."""
    try:
        stated = await client.list(SERVICE_CIDR)
    except ApiError:  # Older than Kubernetes 1.33, or not permitted.
        stated = []
    networks = tuple(network for item in stated for network in (item.get("spec") or {}).get("cidrs") or ())
    guessed = service_network(environment.kubernetes_service_host)
    return networks or ((guessed,) if guessed else ())
