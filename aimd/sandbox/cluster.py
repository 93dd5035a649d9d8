"""The whole sandbox: a real control plane, the real KServe, and stand-ins for everything that needs hardware.

Real: etcd, API server, controller manager, scheduler, the controller manager and webhooks of KServe, an image registry,
and the RBAC of aimd's chart. Stand-ins, each described in its module: nodes and kubelet, gateway, storage provisioner,
KEDA, model hub, and the image in the registry. The stand-ins run in this process. Everything else, including the
containers of pods, runs in child processes that end with it.
"""

# tests: tests/e2e/test_demo.py

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskGroup

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.objects import Manifest
from aimd.sandbox.addresses import AddressTable
from aimd.sandbox.aim_image.images import HOST, MODEL, programs, start_image_registry
from aimd.sandbox.binaries import EVERYTHING, Binaries, locate_binaries, locate_manifests, silent
from aimd.sandbox.chart import OperatorIdentity, install_operator_identity
from aimd.sandbox.control_plane import ADMIN_GROUP, ControlPlane, start_control_plane
from aimd.sandbox.crds import install_crds
from aimd.sandbox.gateway import GatewaySettings, run_gateway
from aimd.sandbox.go import Progress
from aimd.sandbox.hub import HubSettings, make_repository, run_hub
from aimd.sandbox.keda import SERVING_NAME, KedaSettings, run_keda
from aimd.sandbox.kserve import kserve_crds, start_kserve
from aimd.sandbox.kubelet import KubeletSettings, default_programs, run_kubelet
from aimd.sandbox.manifests import read_manifests
from aimd.sandbox.nodes import register_nodes
from aimd.sandbox.operator_process import start_operator
from aimd.sandbox.processes import Keeper, Supervisor, supervise
from aimd.sandbox.provisioner import VolumeSettings, run_volumes

STAND_INS = "sandbox-stand-ins"
"""User name of the stand-ins in the audit log."""

QUICKSTART_MODEL = MODEL
"""The model that examples/quickstart serves."""

_AIMD_IMAGES = "*aimd:*"
_PACKAGED_CRDS = Path(__file__).parents[1] / "api" / "_crds"
_CHECKOUT_CRDS = Path(__file__).parents[2] / "crds"


@dataclass(frozen=True)
class SandboxSettings:
    """Settings of a sandbox.

    `nodes` have eight GPUs each. `progress` is called with each step. `models` are the repositories of the hub, with
    the size of their synthetic weights in bytes. `hub_bytes_per_second` slows downloads down, so that they can be
    watched. `pull_seconds` is how long a node takes to pull an image, by shell pattern. With `operator`, the sandbox
    runs `aimd run`; otherwise the user starts it, as `Sandbox.operator`.
    """

    nodes: int = 2
    progress: Progress = silent
    models: Mapping[str, int] = field(default_factory=lambda: {MODEL: 32 * 2**20, f"{MODEL}-FP8": 4 * 2**20})
    hub_bytes_per_second: int | None = None
    pull_seconds: Mapping[str, float] = field(default_factory=dict)
    operator: bool = False


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox.

    `version` is that of Kubernetes, `kubeconfig` the administrator's, `operator` the identity for `aimd run`.
    `hub_root` is the folder with the repositories of the hub. `audit_log` has one JSON event per line. `keeper` ends
    the processes that it holds with the sandbox, even if this process is killed.
    """

    version: str
    kubeconfig: Path
    gateway_url: str
    hub_url: str
    hub_root: Path
    audit_log: Path
    logs: Path
    folder: Path
    operator: OperatorIdentity
    control_plane: ControlPlane
    keeper: Keeper


@asynccontextmanager
async def sandbox_cluster(settings: SandboxSettings = SandboxSettings()) -> AsyncIterator[Sandbox]:
    """Run a sandbox while the context is open; if a part of it fails, the context ends with its error.

    Raises BinariesUnavailable, ProcessFailed, ChartError or ApiError.
    """
    binaries = await anyio.to_thread.run_sync(locate_binaries, EVERYTHING, settings.progress, abandon_on_cancel=True)
    async with supervise() as supervisor:
        with _stand_ins_log_to(supervisor.logs / "stand-ins.log"):
            settings.progress("Starting the control plane")
            plane = await start_control_plane(supervisor, binaries)
            options = ClientOptions(kubeconfig=plane.add_user(STAND_INS, groups=[ADMIN_GROUP]), user_agent=STAND_INS)
            async with connect(options) as client, anyio.create_task_group() as tasks:
                yield await _furnish(settings, _Foundation(supervisor, binaries, plane, client), tasks)
                tasks.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Foundation:
    """What every part of a sandbox needs; `client` is that of the stand-ins."""

    supervisor: Supervisor
    binaries: Binaries
    plane: ControlPlane
    client: Client


async def _furnish(settings: SandboxSettings, foundation: _Foundation, tasks: TaskGroup) -> Sandbox:
    """Install the CRDs, then start the stand-ins in `tasks`, KServe, the image registry and the operator."""
    supervisor, binaries = foundation.supervisor, foundation.binaries
    plane, client = foundation.plane, foundation.client
    manifests = await anyio.to_thread.run_sync(locate_manifests, settings.progress, abandon_on_cancel=True)
    settings.progress("Installing CRDs")
    async with plane.http() as http:
        await install_crds(client, http, [*kserve_crds(manifests), *aim_crds()])
    settings.progress("Starting the stand-ins for nodes, gateway, storage and model hub")
    folder = supervisor.folder
    hub_root = folder / "hub"
    hub_root.mkdir()
    for model, size in settings.models.items():
        await anyio.to_thread.run_sync(make_repository, hub_root, model, size)
    hub = HubSettings(hub_root, rate_limit_bytes_per_second=settings.hub_bytes_per_second)
    hub_url: str = await tasks.start(partial(run_hub, hub))
    addresses = AddressTable()
    await tasks.start(partial(run_volumes, client, VolumeSettings(folder / "volumes")))
    kubelet = replace(_kubelet_settings(supervisor, plane, addresses, hub_url), pull_seconds=settings.pull_seconds)
    kubelet_port: int = await tasks.start(partial(run_kubelet, client, kubelet))
    gateway_url: str = await tasks.start(partial(run_gateway, client, GatewaySettings(addresses)))
    version = await plane.version()
    await register_nodes(client, settings.nodes, version=version, kubelet_port=kubelet_port)
    await tasks.start(partial(run_keda, client, _keda_settings(supervisor, plane, addresses)))
    settings.progress("Starting KServe")
    await start_kserve(supervisor, binaries, manifests, plane, client)
    operator = await install_operator_identity(client, binaries.path("helm"), plane)
    images = await start_image_registry(supervisor, binaries.path("registry"))
    operator = replace(operator, arguments=(*operator.arguments, f"--registry-mirrors={HOST}={images}"))
    if settings.operator:
        settings.progress("Starting aimd")
        await start_operator(supervisor, operator)
    return Sandbox(
        version=version,
        kubeconfig=plane.kubeconfig,
        gateway_url=gateway_url,
        hub_url=hub_url,
        hub_root=hub_root,
        audit_log=plane.audit_log,
        logs=plane.logs,
        folder=folder,
        operator=operator,
        control_plane=plane,
        keeper=supervisor.keeper,
    )


def aim_crds() -> list[Manifest]:
    """Return the CRDs of our own kinds: the packaged ones, or those of the checkout."""
    return read_manifests(_PACKAGED_CRDS if _PACKAGED_CRDS.is_dir() else _CHECKOUT_CRDS)


def _kubelet_settings(
    supervisor: Supervisor, plane: ControlPlane, addresses: AddressTable, hub_url: str
) -> KubeletSettings:
    serving = plane.authority.server("kubelet").write(supervisor.folder / "kubelet-tls", "kubelet")
    return KubeletSettings(
        folder=supervisor.folder / "pods",
        addresses=addresses,
        api_server=plane.url,
        programs=default_programs(_AIMD_IMAGES, programs()),
        certificate=serving.certificate,
        key=serving.key,
        keeper=supervisor.keeper,
        # By default, jobs use the local hub and report their progress often enough to be watched.
        environment={"HF_ENDPOINT": hub_url, "PROGRESS_INTERVAL": "1"},
    )


def _keda_settings(supervisor: Supervisor, plane: ControlPlane, addresses: AddressTable) -> KedaSettings:
    """Return the settings of KEDA, with a certificate for the name of its Service."""
    pair = plane.authority.server("keda", names=[SERVING_NAME])
    serving = pair.write(supervisor.folder / "keda-tls", "metrics")
    return KedaSettings(addresses, serving.certificate, serving.key, plane.authority.certificate)


@contextmanager
def _stand_ins_log_to(path: Path) -> Iterator[None]:
    """Write the log lines of the stand-ins to a file, unless the program has configured its log."""
    if structlog.is_configured():
        yield
        return
    with path.open("w", encoding="utf-8") as log:
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=log))
        try:
            yield
        finally:
            structlog.reset_defaults()
