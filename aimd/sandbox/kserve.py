"""The real controller manager of KServe, in Standard mode, with its webhooks.

Real: the controller manager, its CRDs, ConfigMap and admission webhooks, all of the pinned version. Left out: Knative,
Istio, the controllers of the local model cache and of LLMInferenceServices, serving runtimes, the RBAC of KServe (it
runs as an administrator), cert-manager (the certificate is our own).
"""

# tests: tests/e2e/test_quickstart.py

import base64
from collections.abc import Sequence
from pathlib import Path

import httpx
import orjson

from aimd.runtime.client import Client
from aimd.runtime.kinds import CONFIG_MAP, NAMESPACE
from aimd.runtime.objects import Kind, Manifest
from aimd.sandbox.binaries import Binaries, ManifestFiles
from aimd.sandbox.control_plane import ADMIN_GROUP, ControlPlane
from aimd.sandbox.processes import Supervisor

NAMESPACE_NAME = "kserve"
USER = "kserve-controller-manager"

_PROCESS = "kserve-manager"
_CRDS = ("kserve", "gateway-api", "keda")
_WEBHOOKS = {
    name: Kind("admissionregistration.k8s.io", "v1", name, f"{name.lower()}s", namespaced=False)
    for name in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
}
# With ingress objects disabled, KServe creates no routes beside those of aimd.
_SETTINGS: dict[str, Manifest] = {
    "deploy": {"defaultDeploymentMode": "Standard"},
    "ingress": {"enableGatewayApi": False, "disableIngressCreation": True},
    "inferenceService": {"resource": {"cpuLimit": "", "memoryLimit": "", "cpuRequest": "", "memoryRequest": ""}},
    "localModel": {"enabled": False},
    # The default of five minutes is too long for a demo.
    "autoscaler": {"scaleDownStabilizationWindowSeconds": "15"},
}
_EXAMPLES = "_example"


def kserve_crds(manifests: ManifestFiles) -> list[Manifest]:
    """Return all CRDs that the controller manager requires at start."""
    return [*(definition for name in _CRDS for definition in manifests.read(name)), _open_telemetry_collector()]


async def start_kserve(
    supervisor: Supervisor, binaries: Binaries, manifests: ManifestFiles, plane: ControlPlane, client: Client
) -> None:
    """Start the controller manager and register its webhooks; the CRDs must be served.

    Returns when the webhooks answer. Raises ProcessFailed or ApiError.
    """
    await _create_configuration(client, manifests)
    temporary = supervisor.folder / _PROCESS
    serving = plane.authority.server(_PROCESS)
    serving.write(temporary / "k8s-webhook-server" / "serving-certs", "tls")
    kubeconfig = plane.add_user(USER, groups=[ADMIN_GROUP])

    def command(ports: Sequence[int]) -> Sequence[str | Path]:
        webhook_port, probe_port = ports
        return [
            binaries.path(_PROCESS),
            f"-kubeconfig={kubeconfig}",
            "-metrics-addr=0",
            f"-health-probe-addr=127.0.0.1:{probe_port}",
            f"-webhook-port={webhook_port}",
        ]

    async def ready(ports: Sequence[int]) -> bool:
        return await _is_ready(f"http://127.0.0.1:{ports[1]}/readyz")

    environment = {"POD_NAMESPACE": NAMESPACE_NAME, "TMPDIR": str(temporary)}
    ports = await supervisor.start_on_free_ports(
        _PROCESS, command, count=2, environment=environment, ready=ready, timeout=90.0
    )
    for webhook in manifests.read("kserve-webhooks"):
        configuration = _pointed_at(webhook, ports[0], plane.authority.certificate)
        await client.create(_WEBHOOKS[webhook["kind"]], configuration, reason="sandbox")


async def _create_configuration(client: Client, manifests: ManifestFiles) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE_NAME}}
    await client.create(NAMESPACE, namespace, reason="sandbox")
    for manifest in manifests.read("kserve-config"):
        await client.create(CONFIG_MAP, _configured(manifest), reason="sandbox")


def _configured(manifest: Manifest) -> Manifest:
    """Return the ConfigMap of the module with our settings; each of its values is a JSON object as text."""
    data = {name: text for name, text in manifest["data"].items() if name != _EXAMPLES}
    for name, settings in _SETTINGS.items():
        data[name] = orjson.dumps(orjson.loads(data[name]) | settings, option=orjson.OPT_INDENT_2).decode()
    return {**manifest, "data": data}


def _pointed_at(configuration: Manifest, port: int, authority: bytes) -> Manifest:
    """Return the webhook configuration, with the URL of the process instead of a Service."""
    bundle = base64.b64encode(authority).decode()
    webhooks = [
        {
            **webhook,
            "clientConfig": {
                "url": f"https://127.0.0.1:{port}{webhook['clientConfig']['service']['path']}",
                "caBundle": bundle,
            },
        }
        for webhook in configuration["webhooks"]
    ]
    return {**configuration, "metadata": {"name": configuration["metadata"]["name"]}, "webhooks": webhooks}


async def _is_ready(url: str) -> bool:
    async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http:
        try:
            return (await http.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def _open_telemetry_collector() -> Manifest:
    """Return a permissive CRD: KServe only writes objects of this kind, and its operator is left out."""
    group, plural = "opentelemetry.io", "opentelemetrycollectors"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1beta1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
        "subresources": {"status": {}},
    }
    names = {
        "kind": "OpenTelemetryCollector",
        "listKind": "OpenTelemetryCollectorList",
        "plural": plural,
        "singular": "opentelemetrycollector",
        "shortNames": ["otelcol", "otelcols"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }
