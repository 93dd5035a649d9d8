"""The chart as helm installs, upgrades and removes it, into a real API server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from aimd.sandbox.chart import chart_folder
from tests.integration.administrator import AIM, RBAC, administrator, apply, namespace
from tests.integration.helm import Helm
from tests.integration.machine import wait_until

pytestmark = pytest.mark.slow

HERE = "releases"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = f"{DEFINITIONS}/aimservices.aim.eai.amd.com"
CONFIG = "/apis/aim.eai.amd.com/v1alpha1/aimclusterruntimeconfigs/of-the-release"


@pytest.fixture
def server(api_server: Any) -> Iterator[httpx.Client]:
    with administrator(api_server.kubeconfig) as client:
        apply(client, namespace(HERE))
        # As in a cluster that never had the CRDs; nobody is there to see to the finalizers that other tests left.
        for name in definitions(client):
            release_all(client, name)
            client.delete(f"{DEFINITIONS}/{name}").raise_for_status()
        wait_until(lambda: not definitions(client))
        yield client


def release_all(server: httpx.Client, definition: str) -> None:
    """Takes the finalizers off every object of a kind."""
    plural, _, group = definition.partition(".")
    # A definition that has only just come answers 429.
    wait_until(lambda: server.get(f"/apis/{group}/v1alpha1/{plural}").is_success)
    for item in server.get(f"/apis/{group}/v1alpha1/{plural}").raise_for_status().json()["items"]:
        metadata = item["metadata"]
        if metadata.get("finalizers"):
            place = f"namespaces/{metadata['namespace']}/{plural}" if "namespace" in metadata else plural
            headers = {"Content-Type": "application/merge-patch+json"}
            server.patch(
                f"/apis/{group}/v1alpha1/{place}/{metadata['name']}",
                json={"metadata": {"finalizers": None}},
                headers=headers,
            )


def definitions(server: httpx.Client) -> list[str]:
    """Names of the CRDs that are there."""
    items = server.get(DEFINITIONS).raise_for_status().json()["items"]
    return [item["metadata"]["name"] for item in items if item["spec"]["group"] == AIM]


def test_install_upgrade_and_uninstall(server: httpx.Client, api_server: Any, tmp_path: Path) -> None:
    helm, chart = Helm(api_server.kubeconfig, tmp_path, HERE), str(chart_folder())
    fixed = ("--set", "namePrefix=released")
    notes = helm.do("install", "aimd", chart, *fixed, "--wait=false")
    assert "kubectl -n releases rollout status deployment/released-controller-manager" in notes
    assert server.get(f"/apis/apps/v1/namespaces/{HERE}/deployments/released-controller-manager").is_success
    assert server.get(DEFINITION).json()["metadata"]["annotations"]["meta.helm.sh/release-name"] == "aimd"

    config = ("--set", "clusterRuntimeConfig.enable=true,clusterRuntimeConfig.name=of-the-release")
    helm.do("upgrade", "aimd", chart, *fixed, *config, "--set", "manager.replicas=0")
    assert server.get(CONFIG).is_success
    # What a version leaves out goes.
    helm.do("upgrade", "aimd", chart, *fixed, "--set", "rbacHelpers.enable=false,manager.replicas=0")
    assert server.get(CONFIG).status_code == 404
    assert server.get(f"/apis/{RBAC}/v1/clusterroles/released-aimservice-viewer-role").status_code == 404

    told = helm.do("uninstall", "aimd")
    assert "aimservices.aim.eai.amd.com" in told
    assert server.get(DEFINITION).is_success
    assert server.get(f"/apis/{RBAC}/v1/clusterroles/released-manager-role").status_code == 404
    # A later release takes over the CRDs that stayed.
    helm.do("install", "aimd", chart, *fixed, "--set", "manager.replicas=0", "--wait=false")
    helm.do("uninstall", "aimd")


def test_crds_of_another_release_are_adopted_when_asked_to(
    server: httpx.Client, api_server: Any, tmp_path: Path
) -> None:
    helm, chart = Helm(api_server.kubeconfig, tmp_path, HERE), str(chart_folder())
    names = ("--set", "namePrefix=adopted,manager.replicas=0")
    helm.do("install", "first", chart, "--set", "namePrefix=first,manager.replicas=0")
    refused = helm.run("install", "second", chart, *names)
    assert "invalid ownership metadata" in refused.stderr
    helm.do("install", "second", chart, *names, "--take-ownership")
    assert server.get(DEFINITION).json()["metadata"]["annotations"]["meta.helm.sh/release-name"] == "second"
    helm.do("uninstall", "first")
    helm.do("uninstall", "second")
