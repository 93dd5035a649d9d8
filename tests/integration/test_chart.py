"""The chart: what a real API server makes of it, that every value works, and that the rights are the needed ones."""

import base64
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import yaml

from aimd.cli.settings import parse_flags
from aimd.runtime.model import Manifest
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import ChartError, chart_folder, render_chart
from aimd.sandbox.manifests import kind_of

NAMESPACE = "aim-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:aim-engine-controller-manager"
AIM = "aim.eai.amd.com"
RBAC = "rbac.authorization.k8s.io"
OBJECTS = ("weights", "other")
CLUSTER_SCOPED = ("ClusterRole", "ClusterRoleBinding", "Namespace")

FLIPS: Mapping[str, tuple[str, ...]] = {
    "namePrefix": ("namePrefix=second",),
    "manager.replicas": ("manager.replicas=2",),
    "manager.image.repository": ("manager.image.repository=mirror/aimd",),
    "manager.image.tag": ("manager.image.tag=v9",),
    "manager.image.pullPolicy": ("manager.image.pullPolicy=Always",),
    "manager.imagePullSecrets": ("manager.imagePullSecrets[0].name=pull",),
    "manager.args": ("manager.args={--zap-devel}",),
    "manager.env": ("manager.env[0].name=HTTPS_PROXY", "manager.env[0].value=http://proxy:3128"),
    "manager.resources": ("manager.resources.limits.memory=1Gi",),
    "manager.podSecurityContext": ("manager.podSecurityContext.fsGroup=7",),
    "manager.securityContext": ("manager.securityContext.runAsUser=7",),
    "manager.podLabels": ("manager.podLabels.team=ml",),
    "manager.podAnnotations": ("manager.podAnnotations.note=x",),
    "manager.nodeSelector": ("manager.nodeSelector.pool=system",),
    "manager.tolerations": ("manager.tolerations[0].operator=Exists",),
    "manager.affinity": ("manager.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution=null",),
    "manager.topologySpreadConstraints": (
        "manager.topologySpreadConstraints[0].maxSkew=1",
        "manager.topologySpreadConstraints[0].topologyKey=zone",
        "manager.topologySpreadConstraints[0].labelSelector.matchLabels.control-plane=controller-manager",
        "manager.topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
    ),
    "manager.priorityClassName": ("manager.priorityClassName=system-cluster-critical",),
    "downloader.image.repository": ("downloader.image.repository=mirror/downloader",),
    "downloader.image.tag": ("downloader.image.tag=v9",),
    "metrics.enable": ("metrics.enable=true",),
    "metrics.port": ("metrics.enable=true", "metrics.port=9090"),
}


class ApiServer(Protocol):
    """What the `api_server` fixture offers."""

    kubeconfig: Path


@pytest.fixture(scope="session")
def helm() -> Path:
    return locate_binaries(["helm"]).path("helm")


@pytest.fixture
def server(api_server: ApiServer) -> Iterator[httpx.Client]:
    """The administrator's plain connection to the API server."""
    config = yaml.safe_load(api_server.kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    with httpx.Client(
        base_url=cluster["server"],
        headers={"Authorization": f"Bearer {user['token']}"},
        verify=ssl.create_default_context(cadata=authority),
        trust_env=False,
    ) as client:
        apply(client, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield client


def apply(server: httpx.Client, manifest: Manifest, user: str = "", **params: str) -> Manifest:
    """Server-side apply with strict validation, as `user`; the test fails with what the server says."""
    kind, metadata = kind_of(manifest), manifest["metadata"]
    assert ("namespace" in metadata) is (kind.name not in CLUSTER_SCOPED), kind.name
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    scope = f"/namespaces/{metadata['namespace']}" if kind.namespaced else ""
    answer = server.patch(
        f"{root}{scope}/{kind.plural}/{metadata['name']}",
        params={"fieldManager": "test", "force": "true", "fieldValidation": "Strict", **params},
        headers={"Content-Type": "application/apply-patch+yaml"} | ({"Impersonate-User": user} if user else {}),
        content=yaml.safe_dump(manifest),
    )
    assert answer.is_success, answer.text
    assert "Warning" not in answer.headers, answer.headers["Warning"]
    return dict(answer.json())


def deployment_of(rendered: list[Manifest]) -> Manifest:
    return next(manifest for manifest in rendered if manifest["kind"] == "Deployment")


def container_of(rendered: list[Manifest]) -> dict[str, Any]:
    return dict(deployment_of(rendered)["spec"]["template"]["spec"]["containers"][0])


def test_the_api_server_accepts_every_object(server: httpx.Client, helm: Path) -> None:
    rendered = render_chart(helm, "metrics.enable=true", "manager.replicas=0", namespace=NAMESPACE)
    stored = [apply(server, manifest) for manifest in rendered]
    assert {manifest["kind"] for manifest in stored} == {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Deployment", "Service")
    }


def test_lint(helm: Path) -> None:
    done = subprocess.run([helm, "lint", "--strict", chart_folder()], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("value", FLIPS)
def test_every_value_changes_what_is_rendered(server: httpx.Client, helm: Path, value: str) -> None:
    before = render_chart(helm, *FLIPS[value][:-1], namespace=NAMESPACE)
    after = render_chart(helm, *FLIPS[value], namespace=NAMESPACE)
    assert after != before
    for manifest in after:
        apply(server, manifest, dryRun="All")


def test_no_value_is_forgotten() -> None:
    def uncovered(value: object, path: str) -> list[str]:
        if path in FLIPS:
            return []
        if isinstance(value, dict) and value:
            return [leaf for key, item in value.items() for leaf in uncovered(item, f"{path}.{key}".lstrip("."))]
        return [path]

    assert uncovered(yaml.safe_load((chart_folder() / "values.yaml").read_text()), "") == []


@pytest.mark.parametrize(
    "setting",
    [
        "replicas=2",
        "manager.replica=2",
        "manager.image.name=aimd",
        "manager.replicas=two",
        "manager.image.pullPolicy=Sometimes",
        "manager.args={run}",
        "downloader.tag=v1",
        "metrics.enabled=true",
        "metrics.port=70000",
        "namePrefix=Aim",
    ],
)
def test_a_value_that_means_nothing_is_refused(helm: Path, setting: str) -> None:
    with pytest.raises(ChartError, match="values don't meet the specifications of the schema"):
        render_chart(helm, setting)


def test_the_deployment_starts_the_operator(helm: Path) -> None:
    container = container_of(render_chart(helm, "metrics.enable=true", namespace=NAMESPACE))
    assert container["command"] == ["aimd", "run"]
    flags = parse_flags(container["args"])
    assert flags.leader_elect
    assert (flags.metrics_bind_address, flags.metrics_secure) == (":8443", False)
    assert flags.downloader_image == container["image"]
    assert flags.without_effect == []
    assert {entry["name"] for entry in container["env"]} == {"AIM_SYSTEM_NAMESPACE", "POD_NAME"}


def test_the_grace_period_is_longer_than_what_the_operator_takes(helm: Path) -> None:
    pod = deployment_of(render_chart(helm))["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > parse_flags([]).graceful_shutdown_timeout


def test_the_pod_passes_the_restricted_pod_security_level(server: httpx.Client, helm: Path) -> None:
    name = "restricted"
    labels = {"pod-security.kubernetes.io/enforce": name, "pod-security.kubernetes.io/warn": name}
    apply(server, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    apply(server, deployment_of(render_chart(helm, namespace=name)), dryRun="All")


class Rights:
    """Asks the API server what the manager, or another `user`, may do."""

    def __init__(self, server: httpx.Client) -> None:
        self.user = ACCOUNT
        self._server = server

    def allow(self, verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = "") -> bool:
        plural, _, subresource = resource.partition("/")
        attributes = {
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
        }
        answer = self._server.post(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            json={
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": self.user, "resourceAttributes": attributes},
            },
        ).raise_for_status()
        return bool(answer.json()["status"]["allowed"])


@pytest.fixture
def rights(server: httpx.Client, helm: Path) -> Rights:
    for manifest in render_chart(helm, namespace=NAMESPACE):
        if manifest["kind"] != "Deployment":
            apply(server, manifest)
    return Rights(server)


@pytest.mark.parametrize(
    ("verbs", "group", "resources"),
    [
        ("create get list patch watch delete", AIM, "aimservices aimartifacts aimtemplatecaches aimmodels"),
        ("get patch", AIM, "aimservices/status aimartifacts/status aimclustermodels/status"),
        ("create get list patch watch delete", "", "persistentvolumeclaims configmaps serviceaccounts"),
        ("create get list patch watch delete", RBAC, "roles rolebindings"),
        ("create get list patch watch delete", "batch", "jobs"),
        ("create get list patch watch delete", "serving.kserve.io", "inferenceservices"),
        ("create get list patch watch delete", "gateway.networking.k8s.io", "httproutes"),
        ("get list watch", "", "pods nodes"),
        ("get", "", "secrets pods/log namespaces"),
        ("create patch", "", "events"),
    ],
)
def test_what_the_manager_may_do(rights: Rights, verbs: str, group: str, resources: str) -> None:
    wanted = [(verb, resource) for verb in verbs.split() for resource in resources.split()]
    assert [pair for pair in wanted if not rights.allow(*pair, group=group, namespace="tenant")] == []


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
    ],
)
def test_what_the_manager_may_not_do(rights: Rights, verbs: str, group: str, resources: str) -> None:
    feared = [(verb, resource) for verb in verbs.split() for resource in resources.split()]
    assert [pair for pair in feared if rights.allow(*pair, group=group, namespace="tenant")] == []


def test_leases_are_the_managers_in_its_own_namespace(rights: Rights) -> None:
    verbs = ("create", "get", "list", "watch", "update", "patch")
    assert all(rights.allow(verb, "leases", group="coordination.k8s.io", namespace=NAMESPACE) for verb in verbs)


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
    may = [rights.allow("patch", "aimartifacts/status", group=AIM, namespace=NAMESPACE, name=name) for name in OBJECTS]
    assert may == [True, False]


@pytest.mark.parametrize(("resource", "verb"), [("aimartifacts/status", "delete"), ("aimservices", "escalate")])
def test_the_manager_grants_nothing_it_does_not_hold(
    rights: Rights, server: httpx.Client, resource: str, verb: str
) -> None:
    role = download_identity(resource, [verb])[1]
    with pytest.raises(AssertionError, match="attempting to grant RBAC permissions not currently held"):
        apply(server, role, user=ACCOUNT, dryRun="All")
