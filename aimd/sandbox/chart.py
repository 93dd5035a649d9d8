"""The identity of the operator: the service account, RBAC and arguments that the chart renders for `aimd run`.

The Deployment is not applied, because `aimd run` is a local process here.
"""

# tests: tests/integration/test_chart.py

import subprocess
from dataclasses import dataclass
from pathlib import Path

from aimd.runtime.client import Client
from aimd.runtime.objects import Manifest, key_of
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.manifests import apply_manifests, parse_manifests

NAMESPACE = "aim-system"
RELEASE = "aimd"
_PACKAGED = Path(__file__).parent / "_chart"
_CHECKOUT = Path(__file__).parents[2] / "charts" / "aimd"
_ONLY_FOR_PODS = frozenset({"Deployment", "Service"})
# The ports may be in use on this machine. The last flag of a name wins.
_NO_PORTS = ("--health-probe-bind-address=0", "--metrics-bind-address=0")


class ChartError(RuntimeError):
    """The chart cannot be rendered; the text is the output of helm."""


@dataclass(frozen=True, slots=True)
class OperatorIdentity:
    """The user that `aimd run` is, as the audit log names it, and the arguments that the Deployment passes."""

    kubeconfig: Path
    namespace: str
    user: str
    arguments: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that the Deployment sets through the downward API."""
        return {"KUBECONFIG": str(self.kubeconfig), "AIM_SYSTEM_NAMESPACE": self.namespace}


def chart_folder() -> Path:
    """Return the folder of the chart: the packaged one, or that of the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def render_chart(helm: Path, *settings: str, namespace: str = NAMESPACE) -> list[Manifest]:
    """Return all objects that `helm template` renders; `settings` are as for `--set`. Raises ChartError."""
    options = [argument for setting in settings for argument in ("--set", setting)]
    command = [str(helm), "template", RELEASE, str(chart_folder()), "--namespace", namespace, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    if done.returncode:
        raise ChartError(done.stderr.strip())
    return parse_manifests(done.stdout)


async def install_operator_identity(
    client: Client, helm: Path, plane: ControlPlane, *settings: str
) -> OperatorIdentity:
    """Apply the ServiceAccount and RBAC of the chart, and create a kubeconfig for that account.

    `settings` are as for `--set`. Raises ChartError or ApiError.
    """
    # The CRDs have been installed with the control plane.
    rendered = render_chart(helm, "crd.enable=false", *settings)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await apply_manifests(client, [namespace, *(item for item in rendered if item["kind"] not in _ONLY_FOR_PODS)])
    account = key_of(next(item for item in rendered if item["kind"] == "ServiceAccount")).name
    deployment = next(item for item in rendered if item["kind"] == "Deployment")
    flags = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return OperatorIdentity(
        kubeconfig=await plane.service_account(NAMESPACE, account),
        namespace=NAMESPACE,
        user=f"system:serviceaccount:{NAMESPACE}:{account}",
        arguments=(*flags, *_NO_PORTS),
    )
