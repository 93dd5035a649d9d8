"""/metrics of the real process by HTTPS: the API server says who may read it."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import NAMESPACE, OperatorIdentity, install_operator_identity
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.manifests import apply_manifests
from tests.integration.operator_process import eventually, free_port, ready, running
from tests.integration.stand_ins import install_own_crds

READERS = (
    f"metrics.readers[0].kind=ServiceAccount,metrics.readers[0].name=scraper,metrics.readers[0].namespace={NAMESPACE}"
)
ACCOUNTS = ("scraper", "stranger")


@pytest.fixture
async def client(api_server: ControlPlane) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        yield admin


@pytest.fixture
async def identity(client: Client, api_server: ControlPlane) -> OperatorIdentity:
    await install_own_crds(client)
    helm = locate_binaries(["helm"]).path("helm")
    operator = await install_operator_identity(client, helm, api_server, READERS)
    accounts: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}
        for name in ACCOUNTS
    ]
    await apply_manifests(client, accounts)
    return operator


async def token_of(plane: ControlPlane, account: str) -> str:
    config = yaml.safe_load((await plane.service_account(NAMESPACE, account)).read_text())
    return str(config["users"][0]["user"]["token"])


async def test_who_may_read_metrics(api_server: ControlPlane, identity: OperatorIdentity, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    tokens = {name: await token_of(api_server, name) for name in ACCOUNTS}
    insecure = ssl.create_default_context()
    insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE  # Self-signed.
    # The second of two replicas: whoever only stands by is scraped as well.
    with (
        running(identity.kubeconfig, log, "--leader-elect"),
        running(
            identity.kubeconfig, tmp_path / "other", "--leader-elect", f"--metrics-bind-address=127.0.0.1:{port}"
        ) as (_, url),
    ):
        await eventually(lambda: ready(url), tmp_path / "other")
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=insecure, trust_env=False) as http:

            async def status(path: str, token: str = "") -> int:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                return (await http.get(path, headers=headers)).status_code

            assert await status("/metrics") == 401
            assert await status("/metrics", "made-up") == 401
            assert await status("/metrics", tokens["stranger"]) == 403
            assert await status("/metrics?x=y", tokens["scraper"]) == 200
            assert await status("/other", tokens["scraper"]) == 403
        async with httpx.AsyncClient(trust_env=False) as http:
            with pytest.raises(httpx.TransportError):
                await http.get(f"http://127.0.0.1:{port}/metrics")
    assert tokens["scraper"] not in (tmp_path / "other").read_text()
