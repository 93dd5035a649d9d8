"""The operator's identity: what the chart renders, so that `aimd run` has exactly its rights and arguments.

The Deployment itself is not applied: the sandbox's users start `aimd run` as a process of their own.
"""

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
# Ports of the pod's own address; on a laptop they may be taken. The last flag of a name wins.
_NO_PORTS = ("--health-probe-bind-address=0", "--metrics-bind-address=0")


class ChartError(RuntimeError):
    """helm refused to render the chart."""


@dataclass(frozen=True, slots=True)
class OperatorIdentity:
    """Who `aimd run` is and how it is started: `user` as the audit log names it, flags as the Deployment gives them."""

    kubeconfig: Path
    namespace: str
    user: str
    arguments: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the Deployment sets through the downward API."""
        return {"KUBECONFIG": str(self.kubeconfig), "AIM_SYSTEM_NAMESPACE": self.namespace}


def chart_folder() -> Path:
    """The chart of this installation: packaged, or of the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def render_chart(helm: Path, *settings: str, namespace: str = NAMESPACE) -> list[Manifest]:
    """All objects `helm template` renders; `settings` are `key=value` as for `--set`. Raises ChartError."""
    options = [argument for setting in settings for argument in ("--set", setting)]
    command = [str(helm), "template", RELEASE, str(chart_folder()), "--namespace", namespace, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChartError(done.stderr.strip())
    return parse_manifests(done.stdout)


async def install_operator_identity(
    client: Client, helm: Path, plane: ControlPlane, *settings: str
) -> OperatorIdentity:
    """Applies the chart's ServiceAccount and RBAC and takes a token of that account. Raises ChartError, ApiError.

    `settings` are `key=value` as for `--set`.
    """
    # Whoever starts the control plane installs the CRDs, and waits until they are served.
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
