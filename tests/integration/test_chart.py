"""The chart's values: each is told, each changes what is rendered, and a real API server takes the result strictly."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count, cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from aimd.api.artifact import AIMArtifact
from aimd.cli.command_line import parse_flags
from aimd.planning.artifact.download_job import download_name
from aimd.runtime.objects import Manifest
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import ChartError, chart_folder, render_chart
from aimd.sandbox.manifests import parse_manifests, read_manifests
from tests.guides import ADD_A_FLAG
from tests.integration.administrator import (
    AIM,
    NAMESPACE,
    RBAC,
    administrator,
    apply,
    namespace,
    path_of,
    request,
)
from tests.integration.machine import wait_until

FOREIGN = Path(__file__).parents[1] / "data" / "foreign-crds.yaml"
MONITORED = ("prometheus.enable=true",)
RULES = ("prometheus.rules.enable=true",)
DASHBOARDS = ("prometheus.dashboards.enable=true",)
POLICED = ("networkPolicy.enable=true",)
SOURCE = ("clusterModelSource.enable=true",)
CONFIG = ("clusterRuntimeConfig.enable=true",)
READER = "metrics.readers[0]"
SPREAD = "manager.topologySpreadConstraints[0]"

FLIPS: Mapping[str, tuple[str, ...]] = {
    "namePrefix": ("namePrefix=second",),
    "commonLabels": ("commonLabels.team=ml",),
    "namespaced": ("namespaced=true",),
    "crd.enable": ("crd.enable=false",),
    "crd.keep": ("crd.keep=false",),
    "manager.replicas": ("manager.replicas=2",),
    "manager.image.repository": ("manager.image.repository=mirror/aimd",),
    "manager.image.tag": ("manager.image.tag=v9",),
    "manager.image.digest": (f"manager.image.digest=sha256:{'0' * 64}",),
    "manager.image.pullPolicy": ("manager.image.pullPolicy=Always",),
    "manager.imagePullSecrets": ("manager.imagePullSecrets[0].name=pull",),
    "manager.args": ("manager.args={--zap-devel}",),
    "manager.env": ("manager.env[0].value=http://proxy:3128,manager.env[0].name=HTTPS_PROXY",),
    "manager.watchNamespaces": ("manager.watchNamespaces={aim-system}",),
    "manager.concurrency": ("manager.concurrency.service=16",),
    "manager.discoverySlots": ("manager.discoverySlots=3",),
    "manager.resources": ("manager.resources.limits.memory=1Gi",),
    "manager.podSecurityContext": ("manager.podSecurityContext.fsGroup=7",),
    "manager.securityContext": ("manager.securityContext.runAsUser=7",),
    "manager.volumes": ("manager.volumes[0].name=ca,manager.volumes[0].configMap.name=ca",),
    "manager.volumeMounts": ("manager.volumeMounts[0].name=tmp,manager.volumeMounts[0].mountPath=/ca",),
    "manager.podLabels": ("manager.podLabels.team=ml",),
    "manager.podAnnotations": ("manager.podAnnotations.note=x",),
    "manager.nodeSelector": ("manager.nodeSelector.pool=system",),
    "manager.tolerations": ("manager.tolerations[0].operator=Exists",),
    "manager.affinity": ("manager.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution=null",),
    "manager.topologySpreadConstraints": (
        f"{SPREAD}.maxSkew=1,{SPREAD}.topologyKey=zone,{SPREAD}.whenUnsatisfiable=ScheduleAnyway,"
        f"{SPREAD}.labelSelector.matchLabels.control-plane=controller-manager",
    ),
    "manager.priorityClassName": ("manager.priorityClassName=system-cluster-critical",),
    "manager.serviceAccount.annotations": ("manager.serviceAccount.annotations.note=x",),
    "manager.podDisruptionBudget.enable": ("manager.podDisruptionBudget.enable=true",),
    "manager.podDisruptionBudget.minAvailable": (
        "manager.podDisruptionBudget.enable=true",
        "manager.podDisruptionBudget.minAvailable=50%",
    ),
    "discovery.namespace": ("discovery.namespace=aim-discovery",),
    "discovery.serviceAccounts": ("discovery.serviceAccounts={runner}",),
    "discovery.secrets": ("discovery.secrets={hub-token}",),
    "downloader.image.repository": ("downloader.image.repository=mirror/downloader",),
    "downloader.image.tag": ("downloader.image.tag=v9",),
    "downloader.allowedImages": ("downloader.allowedImages={registry/tools/*}",),
    "downloader.allowDebug": ("downloader.allowDebug=true",),
    "downloader.resources.requests": ("downloader.resources.requests.memory=2Gi",),
    "rbacHelpers.enable": ("rbacHelpers.enable=false",),
    "rbacHelpers.aggregate": ("rbacHelpers.aggregate=true",),
    "legacyDownloads.enable": ("legacyDownloads.enable=true",),
    "admissionPolicies.enable": ("admissionPolicies.enable=false",),
    "admissionPolicies.literalCredentials": ("admissionPolicies.literalCredentials=Deny",),
    "metrics.enable": ("metrics.enable=false",),
    "metrics.port": ("metrics.port=9090",),
    "metrics.secure": ("metrics.secure=false",),
    "metrics.readers": (f"{READER}.kind=ServiceAccount,{READER}.name=prometheus,{READER}.namespace=monitoring",),
    "certManager.enable": ("certManager.enable=true",),
    "prometheus.enable": (*MONITORED,),
    "prometheus.monitor": (*MONITORED, "metrics.secure=false", "prometheus.monitor=PodMonitor"),
    "prometheus.interval": (*MONITORED, "prometheus.interval=1m"),
    "prometheus.labels": (*MONITORED, "prometheus.labels.release=monitoring"),
    "prometheus.rules.enable": (*RULES,),
    "prometheus.rules.runbookUrl": (*RULES, "prometheus.rules.runbookUrl=https://wiki/aimd"),
    "prometheus.dashboards.enable": (*DASHBOARDS,),
    "prometheus.dashboards.labels": (*DASHBOARDS, "prometheus.dashboards.labels.team=ml"),
    "tracing.enable": ("tracing.enable=true",),
    "tracing.endpoint": ("tracing.enable=true", "tracing.endpoint=https://collector:4318"),
    "registries.allow": ("registries.allow={*.corp.example,10.0.0.0/8}",),
    "registries.serviceCIDRs": ("registries.serviceCIDRs={10.96.0.0/12}",),
    "networkPolicy.enable": (*POLICED,),
    "networkPolicy.metricsFrom": (*POLICED, "networkPolicy.metricsFrom=null"),
    "networkPolicy.egressPorts": (*POLICED, "networkPolicy.egressPorts={5000}"),
    "networkPolicy.egressExcept": (*POLICED, "networkPolicy.egressExcept={10.0.0.0/8,fe80::/10}"),
    "clusterRuntimeConfig.enable": (*CONFIG,),
    "clusterRuntimeConfig.name": (*CONFIG, "clusterRuntimeConfig.name=other"),
    "clusterRuntimeConfig.spec": (*CONFIG, "clusterRuntimeConfig.spec.routing.enabled=false"),
    "clusterModelSource.enable": (*SOURCE,),
    "clusterModelSource.name": (*SOURCE, "clusterModelSource.name=other"),
    "clusterModelSource.spec.registry": (*SOURCE, "clusterModelSource.spec.registry=registry.local"),
    "clusterModelSource.spec.imagePullSecrets": (*SOURCE, "clusterModelSource.spec.imagePullSecrets[0].name=pull"),
    "clusterModelSource.spec.filters": (*SOURCE, "clusterModelSource.spec.filters[0].image=acme/*"),
    "clusterModelSource.spec.syncInterval": (*SOURCE, "clusterModelSource.spec.syncInterval=2h"),
    "clusterModelSource.spec.maxModels": (*SOURCE, "clusterModelSource.spec.maxModels=5"),
    "extraObjects": ("extraObjects[0]=apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\\, namespace: aim-system}",),
}


@pytest.fixture(scope="session")
def helm() -> Path:
    return locate_binaries(["helm"]).path("helm")


@pytest.fixture(scope="module")
def server(api_server: Any, helm: Path) -> Iterator[httpx.Client]:
    """The administrator's connection to an API server that knows all kinds of the chart."""
    with administrator(api_server.kubeconfig) as client:
        crds = [item for item in rendered(helm) if item["kind"] == "CustomResourceDefinition"]
        for manifest in [*crds, *parse_manifests(FOREIGN.read_text())]:
            apply(client, manifest)
        yield client


@cache
def rendered(helm: Path, *settings: str) -> list[Manifest]:
    return render_chart(helm, *settings, namespace=NAMESPACE)


def values() -> Manifest:
    return dict(yaml.safe_load((chart_folder() / "values.yaml").read_text()))


def leaves(value: object, path: str = "") -> list[str]:
    """Paths of the values, down to what FLIPS names and otherwise to the last key."""
    if path not in FLIPS and isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}".lstrip("."))]
    return [path]


def deployment_of(rendered: list[Manifest]) -> Manifest:
    return next(manifest for manifest in rendered if manifest["kind"] == "Deployment")


def container_of(rendered: list[Manifest]) -> dict[str, Any]:
    return dict(deployment_of(rendered)["spec"]["template"]["spec"]["containers"][0])


EVERYTHING = (
    *("certManager.enable=true", "manager.replicas=0", "prometheus.enable=true", "prometheus.rules.enable=true"),
    *("prometheus.dashboards.enable=true", "networkPolicy.enable=true", "manager.podDisruptionBudget.enable=true"),
    *("rbacHelpers.aggregate=true", "clusterRuntimeConfig.enable=true", "clusterModelSource.enable=true"),
    "legacyDownloads.enable=true",
)


def test_the_api_server_accepts_every_object(server: httpx.Client, helm: Path) -> None:
    stored = [apply(server, manifest) for manifest in render_chart(helm, *EVERYTHING, namespace=NAMESPACE)]
    assert {manifest["kind"] for manifest in stored} == {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Deployment", "Service"),
        *("CustomResourceDefinition", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap"),
        *("Issuer", "Certificate"),
        *("ServiceMonitor", "PrometheusRule", "AIMClusterRuntimeConfig", "AIMClusterModelSource"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    }
    # What concerns everybody on this server would concern the tests that follow.
    for plural in ("aimclusterruntimeconfigs", "aimclustermodelsources"):
        server.delete(f"/apis/aim.eai.amd.com/v1alpha1/{plural}").raise_for_status()


def test_lint(helm: Path) -> None:
    done = subprocess.run([helm, "lint", "--strict", chart_folder()], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("value", FLIPS)
def test_every_value_changes_what_is_rendered(server: httpx.Client, helm: Path, value: str) -> None:
    # CRDs are long; only what concerns them renders them.
    fixed = () if value.startswith(("crd", "namespaced")) else ("crd.enable=false",)
    # Another test may have installed the chart, and lists of two appliers are merged.
    fixed = ("namePrefix=flipped", *fixed)
    before = rendered(helm, *fixed, *FLIPS[value][:-1])
    after = rendered(helm, *fixed, *FLIPS[value])
    assert after != before, f"{value} changes nothing in the chart: use it in a template; {ADD_A_FLAG}"
    for manifest in after:
        if manifest not in before:
            apply(server, manifest, dryRun="All")


def test_no_value_is_forgotten() -> None:
    known, rows = set(leaves(values())), set(FLIPS)
    assert known - rows == set(), f"add rows to FLIPS that change what these values render; {ADD_A_FLAG}"
    assert rows - known == set(), "remove these rows from FLIPS: values.yaml doesn't have the values"


def test_the_schema_knows_every_value_and_tells_about_it() -> None:
    schema = json.loads((chart_folder() / "values.schema.json").read_text())

    def property_of(path: str) -> dict[str, Any]:
        part: dict[str, Any] = schema
        for name in path.split("."):
            assert name in part.get("properties", {}), f"{path} is not in charts/aimd/values.schema.json; {ADD_A_FLAG}"
            part = part["properties"][name]
        return part

    assert [path for path in FLIPS if not property_of(path).get("description")] == [], (
        f"describe these values in charts/aimd/values.schema.json; {ADD_A_FLAG}"
    )


@pytest.mark.parametrize(
    "setting",
    [
        "replicas=2",
        "manager.replica=2",
        "manager.image.name=aimd",
        "manager.replicas=two",
        "manager.image.pullPolicy=Sometimes",
        "manager.args={run}",
        "manager.concurrency.service=0",
        "manager.watchNamespaces={Not A Name}",
        "manager.podDisruptionBudget.minAvailable=some",
        "downloader.tag=v1",
        "downloader.resources.limits.cpu=1",
        "metrics.enabled=true",
        "metrics.port=70000",
        "metrics.secure=perhaps",
        "prometheus.monitor=Probe",
        "prometheus.interval=often",
        "admissionPolicies.literalCredentials=warn",
        "clusterModelSource.spec.maxModels=0",
        "namePrefix=Aim",
    ],
)
def test_a_value_that_means_nothing_is_refused(helm: Path, setting: str) -> None:
    with pytest.raises(ChartError, match="values don't meet the specifications of the schema"):
        render_chart(helm, setting)


def test_what_a_script_for_the_reference_sets_is_accepted(helm: Path) -> None:
    render_chart(
        helm,
        *("manager.replicas=1", "manager.image.repository=r", "manager.image.tag=latest", "manager.env[0].name=A"),
        *("rbacHelpers.enable=true", "crd.enable=true", "crd.keep=true", "metrics.enable=true", "metrics.port=8443"),
        *("certManager.enable=false", "prometheus.enable=false", "clusterRuntimeConfig.enable=false"),
        *("clusterModelSource.enable=false", "clusterModelSource.spec.syncInterval=1h"),
    )


def test_the_deployment_starts_the_operator(helm: Path) -> None:
    settings = ("manager.watchNamespaces={a,b}", "manager.concurrency.service=3")
    container = container_of(render_chart(helm, *settings, namespace=NAMESPACE))
    assert container["command"] == ["aimd", "run"]
    flags = parse_flags(container["args"])
    assert flags.leader_elect
    assert (flags.metrics_bind_address, flags.metrics_secure) == (":8443", True)
    assert flags.downloader_image == container["image"]
    assert flags.job_requests == {"cpu": "500m", "memory": "1Gi"}
    assert flags.watch_namespaces == ("a", "b", NAMESPACE)
    assert (flags.workers_of("service"), flags.discovery_slots) == (3, 10)
    assert flags.without_effect == []
    assert {entry["name"] for entry in container["env"]} == {
        "AIM_SERVICE_ACCOUNT",
        "AIM_SYSTEM_NAMESPACE",
        "POD_NAME",
    }


@pytest.mark.parametrize(
    ("settings", "served", "scheme"),
    [
        ((), (":8443", True, ""), "https"),
        (("certManager.enable=true",), (":8443", True, "/etc/aimd/metrics-tls"), "https"),
        (("metrics.secure=false", "certManager.enable=true"), (":8443", False, ""), "http"),
        (("metrics.enable=false", "certManager.enable=true"), ("0", True, ""), None),
        (("namespaced=true",), ("0", True, ""), None),
        (("namespaced=true", "metrics.secure=false"), (":8443", False, ""), "http"),
    ],
)
def test_what_serves_metrics_and_what_scrapes_them_agree(
    helm: Path, settings: tuple[str, ...], served: tuple[str, bool, str], scheme: str | None
) -> None:
    found = rendered(helm, "crd.enable=false", "prometheus.enable=true", *settings)
    flags = parse_flags(container_of(found)["args"])
    assert (flags.metrics_bind_address, flags.metrics_secure, flags.metrics_cert_path) == served
    schemes = {item["spec"]["endpoints"][0]["scheme"] for item in found if item["kind"] == "ServiceMonitor"}
    ports = {item["spec"]["ports"][0]["name"] for item in found if item["kind"] == "Service"}
    assert schemes == ports == ({scheme} if scheme else set())
    assert ("Certificate" in {item["kind"] for item in found}) is bool(flags.metrics_cert_path)


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_namespaces_of_the_fleet_are_not_overwritten_by_that_of_the_target(helm: Path, kind: str) -> None:
    values = ("prometheus.enable=true", "metrics.secure=false", f"prometheus.monitor={kind}")
    monitor = next(item for item in render_chart(helm, *values) if item["kind"] == kind)
    (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True


def test_a_monitor_that_could_not_scrape_is_refused(helm: Path) -> None:
    with pytest.raises(ChartError, match="a PodMonitor can't send a token"):
        render_chart(helm, "prometheus.enable=true", "prometheus.monitor=PodMonitor")


def test_the_grace_period_is_longer_than_what_the_operator_takes(helm: Path) -> None:
    pod = deployment_of(rendered(helm))["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > parse_flags([]).graceful_shutdown_timeout


def test_the_pod_passes_the_restricted_pod_security_level(server: httpx.Client, helm: Path) -> None:
    name = "restricted"
    labels = {"pod-security.kubernetes.io/enforce": name, "pod-security.kubernetes.io/warn": name}
    apply(server, namespace(name, **labels))
    apply(server, deployment_of(render_chart(helm, namespace=name)), dryRun="All")


def test_the_crds_are_those_of_the_api_and_stay_when_the_release_goes(helm: Path) -> None:
    folder = Path(__file__).parents[2] / "crds"
    expected = {item["metadata"]["name"]: item for item in read_manifests(folder)}
    found = {item["metadata"]["name"]: item for item in rendered(helm) if item["kind"] == "CustomResourceDefinition"}
    assert {name: item["spec"] for name, item in found.items()} == {
        name: item["spec"] for name, item in expected.items()
    }
    assert {item["metadata"]["annotations"]["helm.sh/resource-policy"] for item in found.values()} == {"keep"}


def test_two_releases_share_no_object_of_the_cluster(helm: Path) -> None:
    def names(prefix: str) -> set[tuple[str, str]]:
        items = rendered(helm, f"namePrefix={prefix}", "crd.enable=false")
        return {(item["kind"], item["metadata"]["name"]) for item in items}

    assert names("aim-engine") & names("second") == set()


def artifact() -> Manifest:
    return {
        "apiVersion": f"{AIM}/v1alpha1",
        "kind": "AIMArtifact",
        "metadata": {"name": "weights", "namespace": NAMESPACE},
        "spec": {"sourceUri": "hf://a/b"},
    }


DOWNLOAD = download_name(AIMArtifact.model_validate(artifact() | {"metadata": {"name": "weights", "uid": "u"}}))


@pytest.fixture
def guarded(server: httpx.Client, helm: Path) -> httpx.Client:
    """A server with the chart's policies in force, and an artifact that is Ready."""
    for manifest in rendered(helm, "crd.enable=false"):
        if manifest["kind"].startswith("ValidatingAdmission"):
            apply(server, manifest)
    apply(server, artifact())
    metadata = {"name": "tellers", "namespace": NAMESPACE}
    rule = {"apiGroups": [AIM], "resources": ["aimartifacts/status"], "verbs": ["patch"]}
    names = ("default", DOWNLOAD, "another-operator")
    binding: Manifest = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "tellers"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE} for name in names],
    }
    apply(server, {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]})
    apply(server, binding)
    return server


def test_a_download_may_tell_its_progress_and_nothing_else(guarded: httpx.Client) -> None:

    def tells(account: str, **status: Any) -> httpx.Response:
        user = f"system:serviceaccount:{NAMESPACE}:{account}"
        return guarded.patch(
            f"{path_of(artifact())}/status",
            headers={"Content-Type": "application/merge-patch+json", "Impersonate-User": user},
            json={"status": status},
        )

    # The policy takes a moment to come into force; until then each attempt is a change.
    words = cycle(("Ready", "Failed"))
    wait_until(lambda: tells(DOWNLOAD, status=next(words)).status_code == 422)
    refused = tells(DOWNLOAD, status="NotAvailable")
    assert "may change status.progress and status.download only, not status.status" in refused.text
    assert tells("default", status="NotAvailable").status_code == 422
    assert tells("another-operator", status="Progressing", mode="Shared").is_success
    told = tells(DOWNLOAD, progress={"percentage": 10}, download={"protocol": "XET"})
    assert told.is_success, told.text
    stored = told.json()["status"]
    assert (stored["status"], stored["progress"]["percentage"]) == ("Progressing", 10)
    assert tells(DOWNLOAD, mode=None).status_code == 422


def test_a_credential_written_as_text_is_warned_of(guarded: httpx.Client) -> None:
    def warned(**entry: Any) -> bool:
        manifest = artifact()
        manifest["metadata"]["name"] = "secretive"
        manifest["spec"]["env"] = [{"name": "HF_TOKEN", **entry}]
        answer = request(guarded, manifest)
        assert answer.is_success, answer.text
        return "secretKeyRef" in answer.headers.get("Warning", "")

    values = (f"hf_{attempt}" for attempt in count())
    wait_until(lambda: warned(value=next(values)))
    assert not warned(valueFrom={"secretKeyRef": {"name": "hf", "key": "token"}})
