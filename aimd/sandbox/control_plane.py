"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

All files are in the supervisor's temporary folder, and all processes listen on free ports of 127.0.0.1. Authorization
is RBAC, and every request is in the audit log. Left out, compared with a cluster of kubeadm: the controllers of clouds
and of node life cycles (the nodes are stand-ins), kube-proxy, DNS, the certificates of the aggregation layer.
"""

# tests: tests/integration/test_control_plane.py

import base64
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import httpx
import orjson

from aimd.sandbox.binaries import Binaries, locate_binaries
from aimd.sandbox.certificates import Authority, KeyPairFiles, signing_key
from aimd.sandbox.processes import Supervisor, supervise

ADMIN = "admin"
ADMIN_GROUP = "system:masters"

_CLUSTER_IP_RANGE = "10.96.0.0/16"
_KUBERNETES_SERVICE_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_KUBELET_CLIENT = "kube-apiserver-kubelet-client"
_DISABLED_CONTROLLERS = ("nodeipam", "nodelifecycle", "cloud-node-lifecycle")
# It taints new nodes until the node life cycle controller, which is disabled, removes the taint.
_DISABLED_ADMISSION = "TaintNodesByCondition"
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_AUDIT_LOG_MEGABYTES = 2000  # Enough to avoid rotation: tests read one file.


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane.

    `kubeconfig` is the administrator's. `audit_log` has one JSON event per line.
    """

    url: str
    folder: Path
    logs: Path
    kubeconfig: Path
    audit_log: Path
    authority: Authority
    authority_file: Path
    token: str

    def add_user(self, name: str, *, groups: Sequence[str] = ()) -> Path:
        """Create a kubeconfig for the user `name` in `groups`, with a client certificate."""
        pair = self.authority.client(name, groups=groups).write(self.folder / "users", _file_name(name))
        user = {
            "client-certificate-data": _base64(pair.certificate.read_bytes()),
            "client-key-data": _base64(pair.key.read_bytes()),
        }
        return self._write_kubeconfig(name, user)

    async def version(self) -> str:
        """Return the version of Kubernetes that the API server reports, such as `v1.34.4`."""
        async with self.http() as http:
            answer = (await http.get("/version")).raise_for_status()
        return str(answer.json()["gitVersion"])

    async def service_account(self, namespace: str, name: str, *, lifetime: int = 7 * 24 * 3600) -> Path:
        """Create a kubeconfig with a token of a ServiceAccount, which must exist; `lifetime` is in seconds.

        Raises httpx.HTTPStatusError if the API server refuses.
        """
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": lifetime},
        }
        async with self.http() as http:
            response = (await http.post(path, json=body)).raise_for_status()
        user = {"token": response.json()["status"]["token"]}
        return self._write_kubeconfig(f"system:serviceaccount:{namespace}:{name}", user, namespace=namespace)

    def http(self) -> httpx.AsyncClient:
        """Return an HTTP client with administrator rights, for requests that aimd.runtime.client does not have."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            verify=ssl.create_default_context(cafile=str(self.authority_file)),
            timeout=10.0,
            trust_env=False,
        )

    def _write_kubeconfig(self, name: str, user: dict[str, str], *, namespace: str = "default") -> Path:
        folder = self.folder / "kubeconfigs"
        folder.mkdir(exist_ok=True)
        return self.write_kubeconfig(folder / f"{_file_name(name)}.kubeconfig", name, user, namespace)

    def write_kubeconfig(self, path: Path, name: str, user: dict[str, str], namespace: str = "default") -> Path:
        """Write a kubeconfig for a user with these credentials, as JSON, which is YAML and needs no quoting rules."""
        cluster = {"server": self.url, "certificate-authority-data": _base64(self.authority.certificate)}
        context = {"cluster": "aimd-sandbox", "user": name, "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "aimd-sandbox", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "aimd-sandbox", "context": context}],
            "current-context": "aimd-sandbox",
        }
        return _write_private(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))


@asynccontextmanager
async def control_plane(binaries: Binaries | None = None) -> AsyncIterator[ControlPlane]:
    """Run a control plane while the context is open, for tests. Raises what `start_control_plane` raises."""
    if binaries is None:
        binaries = await anyio.to_thread.run_sync(locate_binaries, abandon_on_cancel=True)
    async with supervise() as supervisor:
        yield await start_control_plane(supervisor, binaries)


async def start_control_plane(supervisor: Supervisor, binaries: Binaries) -> ControlPlane:
    """Start all four processes; they end with the supervisor.

    Returns when the API server is ready and the controller manager has begun to work. Raises ProcessFailed.
    """
    folder = supervisor.folder
    authority = Authority("aimd-sandbox")
    authority_file = folder / "ca.crt"
    authority_file.write_bytes(authority.certificate)
    start = _Start(supervisor, binaries, authority, authority_file)
    etcd_port = await _start_etcd(start)
    token = secrets.token_urlsafe(32)
    port = await _start_api_server(start, etcd_port, token)
    plane = ControlPlane(
        url=f"https://127.0.0.1:{port}",
        folder=folder,
        logs=supervisor.logs,
        kubeconfig=folder / "kubeconfig",
        audit_log=folder / "audit.log",
        authority=authority,
        authority_file=authority_file,
        token=token,
    )
    plane.write_kubeconfig(plane.kubeconfig, ADMIN, {"token": token})
    await _start_scheduler(supervisor, binaries, plane)
    await _start_controller_manager(supervisor, binaries, plane)
    return plane


@dataclass(frozen=True, slots=True)
class _Start:
    """What the processes of a control plane are started with; `authority_file` has the authority's certificate."""

    supervisor: Supervisor
    binaries: Binaries
    authority: Authority
    authority_file: Path


async def _start_etcd(start: _Start) -> int:
    supervisor = start.supervisor
    server = start.authority.server("etcd").write(supervisor.folder / "etcd-tls", "server")

    def command(ports: Sequence[int]) -> Sequence[str | Path]:
        url = f"https://127.0.0.1:{ports[0]}"
        peer = f"http://127.0.0.1:{ports[1]}"
        return [
            start.binaries.path("etcd"),
            f"--data-dir={supervisor.folder / f'etcd-{ports[0]}'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--cert-file={server.certificate}",
            f"--key-file={server.key}",
            f"--trusted-ca-file={start.authority_file}",
            "--client-cert-auth",
            "--log-level=warn",
        ]

    async def ready(ports: Sequence[int]) -> bool:
        return await _accepts_connections(ports[0])

    return (await supervisor.start_on_free_ports("etcd", command, count=2, ready=ready))[0]


async def _start_api_server(start: _Start, etcd_port: int, token: str) -> int:
    supervisor, authority, authority_file = start.supervisor, start.authority, start.authority_file
    folder = supervisor.folder / "kube-apiserver"
    serving = authority.server("kube-apiserver", names=_KUBERNETES_SERVICE_NAMES).write(folder, "serving")
    etcd = authority.client("kube-apiserver-etcd-client").write(folder, "etcd")
    kubelet = authority.client(_KUBELET_CLIENT, groups=[ADMIN_GROUP]).write(folder, "kubelet")
    signer = _write_private(folder / "service-accounts.key", signing_key())
    tokens = _write_private(folder / "tokens.csv", f'{token},{ADMIN},{ADMIN},"{ADMIN_GROUP}"\n'.encode())
    policy = folder / "audit-policy.json"
    policy.write_bytes(orjson.dumps(_AUDIT_POLICY))

    def command(ports: Sequence[int]) -> Sequence[str | Path]:
        return [
            start.binaries.path("kube-apiserver"),
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",  # Otherwise it looks for a default route, which a laptop may not have.
            "--external-hostname=localhost",
            f"--secure-port={ports[0]}",
            f"--cert-dir={folder}",
            *_key_pair("tls-cert-file", "tls-private-key-file", serving),
            f"--etcd-servers=https://127.0.0.1:{etcd_port}",
            f"--etcd-cafile={authority_file}",
            *_key_pair("etcd-certfile", "etcd-keyfile", etcd),
            f"--client-ca-file={authority_file}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            f"--disable-admission-plugins={_DISABLED_ADMISSION}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={signer}",
            f"--service-account-signing-key-file={signer}",
            f"--service-cluster-ip-range={_CLUSTER_IP_RANGE}",
            "--endpoint-reconciler-type=none",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            f"--kubelet-certificate-authority={authority_file}",
            *_key_pair("kubelet-client-certificate", "kubelet-client-key", kubelet),
            f"--audit-policy-file={policy}",
            f"--audit-log-path={supervisor.folder / 'audit.log'}",
            f"--audit-log-maxsize={_AUDIT_LOG_MEGABYTES}",
            "--profiling=false",
        ]

    context = ssl.create_default_context(cafile=str(authority_file))

    async def ready(ports: Sequence[int]) -> bool:
        return await _answers(f"https://127.0.0.1:{ports[0]}/readyz", context, token)

    return (await supervisor.start_on_free_ports("kube-apiserver", command, ready=ready))[0]


async def _start_controller_manager(supervisor: Supervisor, binaries: Binaries, plane: ControlPlane) -> None:
    kubeconfig = plane.add_user("system:kube-controller-manager")
    command: list[str | Path] = [
        binaries.path("kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={supervisor.folder / 'kube-apiserver' / 'service-accounts.key'}",
        f"--root-ca-file={plane.authority_file}",
        "--controllers=*," + ",".join(f"-{name}" for name in _DISABLED_CONTROLLERS),
        "--horizontal-pod-autoscaler-sync-period=5s",
        # With the default of 20 per second, tests would wait for garbage collection.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]
    async with plane.http() as http:
        # Admission rejects pods until the controller manager has created the service account of their namespace.
        ready = partial(_exists, http, "/api/v1/namespaces/default/serviceaccounts/default")
        await supervisor.start("kube-controller-manager", command, ready=ready)


async def _start_scheduler(supervisor: Supervisor, binaries: Binaries, plane: ControlPlane) -> None:
    kubeconfig = plane.add_user("system:kube-scheduler")
    command: list[str | Path] = [
        binaries.path("kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--secure-port=0",
        "--leader-elect=false",
    ]
    await supervisor.start("kube-scheduler", command)


async def _accepts_connections(port: int) -> bool:
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


async def _answers(url: str, context: ssl.SSLContext, token: str) -> bool:
    async with httpx.AsyncClient(verify=context, timeout=5.0, trust_env=False) as http:
        try:
            response = await http.get(url, headers={"Authorization": f"Bearer {token}"})
        except httpx.TransportError:
            return False
    return response.status_code == httpx.codes.OK


async def _exists(http: httpx.AsyncClient, path: str) -> bool:
    return (await http.get(path)).status_code == httpx.codes.OK


def _write_private(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _key_pair(certificate_flag: str, key_flag: str, pair: KeyPairFiles) -> Sequence[str]:
    return [f"--{certificate_flag}={pair.certificate}", f"--{key_flag}={pair.key}"]


def _file_name(user: str) -> str:
    return user.replace(":", "-").replace("/", "-")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
