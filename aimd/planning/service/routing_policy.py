"""What an administrator allows of routes: paths, gateways and annotations (SVC-RTE-11)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aimd.api.core import ParentReference
from aimd.api.shared import ClusterRouting
from aimd.planning.path_template import InvalidPathTemplate, render_path
from aimd.planning.service.route_paths import segments_of
from aimd.runtime.objects import Manifest


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """What a service wants to route: its path, the gateway, and the annotations of the route."""

    namespace: str
    path: str
    gateway: ParentReference
    annotations: Mapping[str, str]


def gateway_problem(gateway: ParentReference) -> str:
    """Return why a route cannot attach to a parent, empty when it is a Gateway (SVC-RTE-12)."""
    if (gateway.group, gateway.kind) == ("gateway.networking.k8s.io", "Gateway"):
        return ""
    return (
        f"routing.gatewayRef names {gateway.kind} {gateway.name} of group {gateway.group or 'core'}, and a route "
        "attaches to a Gateway only. Leave out group and kind"
    )


def violation(wanted: WantedRoute, service: Manifest, policies: Sequence[ClusterRouting]) -> str:
    """Return what of a route an administrator does not allow, empty when all is allowed (SVC-RTE-11).

    Every policy counts: that of the cluster config `default`, and that of the one that the service names.
    """
    for policy in policies:
        problem = _path(wanted, service, policy) or _gateway(wanted, policy) or _annotations(wanted, policy)
        if problem:
            return problem
    return ""


def _path(wanted: WantedRoute, service: Manifest, policy: ClusterRouting) -> str:
    if not policy.required_path_prefix:
        return ""
    try:
        prefix = render_path(policy.required_path_prefix, service)
    except InvalidPathTemplate as error:
        return f"routing.requiredPathPrefix of the AIMClusterRuntimeConfig gives no path for this service: {error}"
    required = segments_of(prefix)
    if segments_of(wanted.path)[: len(required)] == required:
        return ""
    return f"Path {wanted.path} is not below {prefix}, as the administrator requires. Correct routing.pathTemplate"


def _gateway(wanted: WantedRoute, policy: ClusterRouting) -> str:
    namespace = wanted.gateway.namespace or wanted.namespace
    allowed = {(item.namespace, item.name) for item in policy.allowed_gateways}
    if not allowed or (namespace, wanted.gateway.name) in allowed:
        return ""
    names = ", ".join(sorted("/".join(item) for item in allowed))
    return f"Gateway {namespace}/{wanted.gateway.name} is not allowed. Set routing.gatewayRef to one of: {names}"


def _annotations(wanted: WantedRoute, policy: ClusterRouting) -> str:
    prefixes = policy.allowed_annotation_prefixes
    given = (key for key, value in wanted.annotations.items() if policy.annotations.get(key) != value)
    refused = sorted(key for key in given if not key.startswith(prefixes))
    if not prefixes or not refused:
        return ""
    return (
        f"These keys of routing.annotations are not allowed: {', '.join(refused)}. "
        f"Remove them, or use keys that begin with: {', '.join(prefixes)}"
    )
