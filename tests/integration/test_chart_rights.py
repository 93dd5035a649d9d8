"""The manager's rights: each one is needed, each need is met, and nothing can be had through them that should not."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from aimd.controllers.all import build_reconcilers
from aimd.planning import kinds as aim
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import connect_registries
from aimd.runtime import kinds as core
from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.store import Cache
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import render_chart
from tests.guides import ADD_A_KIND
from tests.integration.administrator import ACCOUNT, AIM, NAMESPACE, RBAC, Rights, administrator, apply
from tests.integration.machine import wait_until

OBJECTS = ("weights", "other")
EXPLAIN = "add the kind to CHILDREN or READ above, or the right to OTHERS with its reason"
Right = tuple[str, str, str]

CHILDREN = (
    *(core.CONFIG_MAP, core.PERSISTENT_VOLUME_CLAIM, core.JOB, core.SERVICE_ACCOUNT, core.ROLE, core.ROLE_BINDING),
    *(
        aim.INFERENCE_SERVICE,
        aim.HTTP_ROUTE,
        aim.AIM_ARTIFACT,
        aim.AIM_MODEL,
        aim.AIM_CLUSTER_MODEL,
        aim.AIM_TEMPLATE_CACHE,
    ),
    *(aim.AIM_SERVICE_TEMPLATE, aim.AIM_CLUSTER_SERVICE_TEMPLATE),
)
"""What plans make: read when the cache may lag, created and changed by one request, and deleted; who may not delete an
object may not write its owner references where OwnerReferencesPermissionEnforcement is on."""
READ = (core.SECRET, core.CONFIG_MAP, core.SERVICE_ACCOUNT, core.NAMESPACE, core.PERSISTENT_VOLUME_CLAIM)
"""What is read by name."""
OTHERS: set[Right] = {
    ("get", "", "pods/log"),
    # Created once and counted up; read about pods.
    *((verb, "", "events") for verb in ("create", "patch", "list")),
    # The finalizer.
    ("patch", AIM, "aimservices"),
    # KServe leaves it behind when a service no longer scales by itself.
    ("delete", aim.SCALED_OBJECT.group, aim.SCALED_OBJECT.plural),
    # Read once, to know where Services are.
    ("list", "networking.k8s.io", "servicecidrs"),
    # Granted to downloads by images that read before they patch.
    ("get", AIM, "aimartifacts/status"),
}


@pytest.fixture(scope="session")
def helm() -> Path:
    return locate_binaries(["helm"]).path("helm")


@pytest.fixture
def server(api_server: Any) -> Iterator[httpx.Client]:
    with administrator(api_server.kubeconfig) as client:
        yield client


@pytest.fixture
def rights(server: httpx.Client, helm: Path) -> Rights:
    for manifest in render_chart(helm, "crd.enable=false", "admissionPolicies.enable=false", namespace=NAMESPACE):
        if manifest["kind"] != "Deployment":
            apply(server, manifest)
    return Rights(server)


def granted(roles: Iterable[Manifest]) -> set[Right]:
    """Every verb, group and resource that the roles allow."""
    return {
        (verb, group, resource)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def all_of(kind: Kind, verbs: str) -> set[Right]:
    return {(verb, kind.group, kind.plural) for verb in verbs.split()}


@pytest.fixture
async def needed(api_server: Any) -> set[Right]:
    """What the controllers need: their watches as they declare them, and the requests they make."""
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client, connect_registries() as registries:
        reconcilers = build_reconcilers(client, Cache(), ControllerSettings(), registries)
    own = {reconciler.kind for reconciler in reconcilers}
    watched = own | {informer.kind for reconciler in reconcilers for informer in reconciler.informers}
    return OTHERS.union(
        *(all_of(kind, "list watch") for kind in watched),
        # Status is patched, after a conflict on what is read again.
        *({("patch", kind.group, f"{kind.plural}/status"), ("get", kind.group, kind.plural)} for kind in own),
        *(all_of(kind, "get create patch delete") for kind in CHILDREN),
        *(all_of(kind, "get") for kind in READ),
    )


def manager_roles(rendered: Iterable[Manifest], kind: str) -> list[Manifest]:
    return [item for item in rendered if item["kind"] == kind and item["metadata"]["name"] == "aim-engine-manager-role"]


async def test_no_right_is_missing_and_none_unused(helm: Path, needed: set[Right]) -> None:
    role = granted(manager_roles(render_chart(helm, "crd.enable=false"), "ClusterRole"))
    assert needed - role == set(), f"grant these rights in charts/aimd/templates/_rules.tpl; {ADD_A_KIND}"
    assert role - needed == set(), f"nothing needs these rights: remove them from _rules.tpl, or {EXPLAIN}"


async def test_rights_in_some_namespaces_are_the_same_rights(helm: Path, needed: set[Right]) -> None:
    rendered = render_chart(helm, "crd.enable=false", "manager.watchNamespaces={tenant}", namespace=NAMESPACE)
    roles = manager_roles(rendered, "Role")
    assert {role["metadata"]["namespace"] for role in roles} == {"tenant", NAMESPACE}
    there, everywhere = granted(roles), granted(manager_roles(rendered, "ClusterRole"))
    assert there | everywhere == needed, f"with manager.watchNamespaces the rights must be the same; {ADD_A_KIND}"
    assert there & everywhere == set()


def test_a_namespaced_install_has_nothing_of_the_cluster(helm: Path) -> None:
    rendered = render_chart(
        helm, "namespaced=true", "manager.watchNamespaces={tenant}", "rbacHelpers.aggregate=true", namespace=NAMESPACE
    )
    assert {item["metadata"].get("namespace") for item in rendered} == {"tenant", NAMESPACE}
    cluster = {"nodes", "storageclasses", "namespaces", "aimclustermodels", "aimclustermodelsources"}
    roles = granted(item for item in rendered if item["kind"] == "Role")
    assert cluster & {resource for _, _, resource in roles} == set()


@pytest.mark.parametrize(
    ("verbs", "group", "resources"),
    [
        ("list watch create patch delete", "", "secrets"),
        ("create patch delete", "", "pods nodes namespaces services pods/exec"),
        ("list watch", "", "namespaces"),
        ("bind escalate", RBAC, "roles clusterroles"),
        ("create patch", RBAC, "clusterroles clusterrolebindings"),
        ("get create patch", "coordination.k8s.io", "leases"),
        ("impersonate", "", "users serviceaccounts"),
        ("create", "", "serviceaccounts/token"),
        ("create patch", "apiextensions.k8s.io", "customresourcedefinitions"),
        ("create delete", AIM, "aimservices aimruntimeconfigs aimclusterruntimeconfigs aimclustermodelsources"),
    ],
)
def test_what_the_manager_may_not_do(rights: Rights, verbs: str, group: str, resources: str) -> None:
    feared = [(verb, resource) for verb in verbs.split() for resource in resources.split()]
    assert [pair for pair in feared if rights.allow(*pair, group=group, namespace="tenant")] == []


def test_the_manager_has_its_rights(rights: Rights) -> None:
    assert rights.allow("create", "inferenceservices", group="serving.kserve.io", namespace="tenant")
    assert rights.allow("list", "nodes")


def test_leases_are_the_managers_in_its_own_namespace(rights: Rights) -> None:
    verbs = ("create", "get", "list", "watch", "update")
    assert all(rights.allow(verb, "leases", group="coordination.k8s.io", namespace=NAMESPACE) for verb in verbs)


@pytest.mark.parametrize(
    ("level", "may", "may_not"),
    [
        ("viewer", "get list watch", "create patch delete"),
        ("editor", "get create update patch delete", "deletecollection"),
        ("admin", "get create deletecollection", ""),
    ],
)
def test_roles_for_people(rights: Rights, server: httpx.Client, level: str, may: str, may_not: str) -> None:
    rights.user = level
    binding: Manifest = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"people-{level}", "namespace": NAMESPACE},
        "subjects": [{"kind": "User", "name": level, "apiGroup": RBAC}],
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": f"aim-engine-aimservice-{level}-role"},
    }
    apply(server, binding)
    # The authoriser learns of a binding by its watch.
    wait_until(lambda: rights.allow("get", "aimservices", group=AIM, namespace=NAMESPACE))
    everything = {
        verb: rights.allow(verb, "aimservices", group=AIM, namespace=NAMESPACE) for verb in f"{may} {may_not}".split()
    }
    assert everything == dict.fromkeys(may.split(), True) | dict.fromkeys(may_not.split(), False)
    assert rights.allow("get", "aimservices/status", group=AIM, namespace=NAMESPACE)
    assert not rights.allow("patch", "aimservices/status", group=AIM, namespace=NAMESPACE)


def download_identity(resource: str, verbs: list[str]) -> list[Manifest]:
    """An account that may do something to one object called `weights`."""
    metadata = {"name": "weights-download", "namespace": NAMESPACE}
    rule = {"apiGroups": [AIM], "resources": [resource], "resourceNames": ["weights"], "verbs": verbs}
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "subjects": [{"kind": "ServiceAccount", **metadata}],
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": metadata["name"]},
    }
    return [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, role, binding]


def test_the_manager_can_grant_a_download_its_right(rights: Rights, server: httpx.Client) -> None:
    for manifest in download_identity("aimartifacts/status", ["get", "patch"]):
        apply(server, manifest, user=ACCOUNT)
    rights.user = f"system:serviceaccount:{NAMESPACE}:weights-download"

    def may(name: str) -> bool:
        return rights.allow("patch", "aimartifacts/status", group=AIM, namespace=NAMESPACE, name=name)

    mine, another = OBJECTS
    deadline = time.monotonic() + 10  # The server learns of new roles by a watch of its own.
    while not may(mine) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert may(mine)
    assert not may(another)


@pytest.mark.parametrize(("resource", "verb"), [("aimartifacts/status", "delete"), ("aimservices", "escalate")])
def test_the_manager_grants_nothing_it_does_not_hold(
    rights: Rights, server: httpx.Client, resource: str, verb: str
) -> None:
    role = download_identity(resource, [verb])[1]
    with pytest.raises(AssertionError, match="attempting to grant RBAC permissions not currently held"):
        apply(server, role, user=ACCOUNT, dryRun="All")
