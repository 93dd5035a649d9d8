"""What administrators allow of routes, and what services may attach to."""

from typing import Any

import pytest

from aimd.api.core import ParentReference
from aimd.api.runtime_config import AIMClusterRuntimeConfig, AIMRuntimeConfig
from aimd.api.shared import ClusterRouting
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import plan_runtime_config, resolve_config
from aimd.planning.service.routing_policy import WantedRoute, gateway_problem, violation
from tests.unit.planning import serving

SERVICE = {"metadata": {"name": "chat", "namespace": "team"}}
GATEWAY = {"name": "main", "namespace": "gateways"}


def refused(policy: dict[str, Any], **wanted: Any) -> str:
    """Return what a cluster config with this routing says of a route."""
    gateway = ParentReference.model_validate(wanted.pop("gateway", GATEWAY))
    given = {"namespace": "team", "path": "/team/chat", "annotations": {}, **wanted}
    return violation(WantedRoute(gateway=gateway, **given), SERVICE, [ClusterRouting.model_validate(policy)])


@pytest.mark.parametrize(
    ("prefix", "path", "allowed"),
    [
        ("", "/x", True),
        ("/{.metadata.namespace}/", "/team/chat", True),
        ("/{.metadata.namespace}", "/team", True),
        ("/{.metadata.namespace}/", "/teams/chat", False),
        ("/{.metadata.namespace}/", "/", False),
        ("/{.metadata.labels['no']}", "/team", False),
        ("/", "/x", True),
    ],
)
def test_a_path_is_below_the_required_one(prefix: str, path: str, *, allowed: bool) -> None:
    """Prove SVC-RTE-11."""
    assert (refused({"requiredPathPrefix": prefix}, path=path) == "") is allowed


def test_a_gateway_is_one_of_those_allowed() -> None:
    """Prove SVC-RTE-11: a gateway without a namespace is one of the service's own."""
    policy = {"allowedGateways": [GATEWAY, {"name": "own", "namespace": "team"}]}
    assert refused(policy) == ""
    assert refused(policy, gateway={"name": "own"}) == ""
    assert refused(policy, gateway={"name": "main"}) == (
        "Gateway team/main is not allowed. Set routing.gatewayRef to one of: gateways/main, team/own"
    )


def test_keys_of_annotations_have_an_allowed_beginning_or_come_from_the_policy_itself() -> None:
    """Prove SVC-RTE-11."""
    policy = {"allowedAnnotationPrefixes": ["team.example/"], "annotations": {"external-dns/hostname": "a.example"}}
    assert refused(policy, annotations={"team.example/a": "1", "external-dns/hostname": "a.example"}) == ""
    assert "external-dns/hostname" in refused(policy, annotations={"external-dns/hostname": "bank.example"})
    assert refused({}, annotations={"external-dns/hostname": "bank.example"}) == ""


@pytest.mark.parametrize(
    ("reference", "valid"),
    [
        ({}, True),
        ({"kind": "Service", "group": ""}, False),
        ({"kind": "Service"}, False),
        ({"group": "example.com"}, False),
    ],
)
def test_a_route_attaches_to_a_gateway_only(reference: dict[str, str], *, valid: bool) -> None:
    """Prove SVC-RTE-12."""
    assert (gateway_problem(ParentReference.model_validate({**GATEWAY, **reference})) == "") is valid


def planned(routing: dict[str, Any], named: str = "", policy: dict[str, Any] | None = None) -> Plan:
    """Plan a service whose namespace has a config of its own, in a cluster whose config `default` has this policy."""
    default = AIMClusterRuntimeConfig.model_validate(
        {"metadata": serving.metadata("default", cluster=True), "spec": {"routing": policy or {}}}
    )
    own = AIMRuntimeConfig.model_validate({"metadata": serving.metadata("own"), "spec": {}})
    config = resolve_config(named, own if named else None, None if named else default, governing=default)
    spec = {"routing": {"enabled": True, "gatewayRef": GATEWAY, **routing}}
    return serving.plan_serving(model=serving.model({}), templates=[serving.template({})], config=config, spec=spec)


def shown(plan: Plan) -> tuple[str, bool]:
    """Return the reason of the route's condition, and whether there is a route."""
    (component,) = (item for item in plan.components if item.type == "HTTPRouteReady")
    return component.effective_reason, any(item.kind.name == "HTTPRoute" for item in plan.desired)


@pytest.mark.parametrize("named", ["", "own"])
def test_no_other_config_leads_around_the_policy(named: str) -> None:
    """Prove SVC-RTE-11: neither one of the namespace, nor one with another name."""
    policy = {"requiredPathPrefix": "/{.metadata.namespace}/"}
    assert shown(planned({"pathTemplate": "/x"}, named, policy)) == ("RouteNotAllowed", False)
    assert shown(planned({}, named, policy))[1] is True


def test_another_parent_than_a_gateway_is_invalid() -> None:
    """Prove SVC-RTE-12."""
    assert shown(planned({"gatewayRef": {**GATEWAY, "kind": "Service", "group": ""}})) == ("InvalidSpec", False)


def test_a_config_whose_required_prefix_is_no_template_says_so() -> None:
    """Prove CFG-CHK-1."""
    spec = {"routing": {"requiredPathPrefix": "/{.metadata"}}
    config = AIMClusterRuntimeConfig.model_validate({"metadata": {"name": "default"}, "spec": spec})
    (component,) = plan_runtime_config(config).components
    assert (component.reason, component.message[:26]) == ("PathTemplateInvalid", "routing.requiredPathPrefix")
