"""A manager with a small controller on a real API server: sync, reconcile, settle, stop, lead."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import httpx
import pytest

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound, WritesSuspended
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    LEASE,
    NAMESPACE,
    NODE,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
)
from aimd.runtime.leader import LeaderElection, LeaderElector, LeaseLost
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import KindNotWatched
from aimd.sandbox.control_plane import ControlPlane
from tests.faults.proxy import Cut, FaultProxy, Seen
from tests.integration.copier import Copier, secret

LATE = Kind("late.runtime-tests.example.com", "v1", "Late", "lates")


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)


class Bench:
    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def options(self, **more: Any) -> ManagerOptions:
        address = "127.0.0.1:0"
        return ManagerOptions(namespaces=(self.namespace,), health_address=address, metrics_address=address, **more)

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[tuple[Manager, Copier]]:
        manager = Manager(self.client, self.options(**options))
        manager.add_informer(Informer(LATE, optional=True))
        copier = Copier(manager)
        manager.add(copier)
        async with anyio.create_task_group() as tasks:
            await tasks.start(manager.run)
            yield manager, copier
            tasks.cancel_scope.cancel()

    async def secret(self, name: str, value: str = "") -> Manifest:
        body = secret(self.namespace, name, value)
        return await self.client.apply(SECRET, body, field_manager="user", reason="test")

    async def copy(self, name: str) -> Manifest:
        return await self.client.get(CONFIG_MAP, Key(self.namespace, name))


@pytest.fixture
async def bench(api_server: ControlPlane) -> AsyncIterator[Bench]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        namespace = f"manager-{uuid4().hex[:8]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await client.create(NAMESPACE, body, reason="test")
        yield Bench(client, namespace)


async def test_children_follow_their_owner_and_everything_settles(bench: Bench) -> None:
    await bench.secret("before", "1")
    async with bench.running() as (manager, copier):
        await bench.secret("after", "2")
        await until(lambda: copier.written == 2)
        assert (await bench.copy("before"))["data"] == {"value": "1"}
        await bench.secret("before", "3")
        await until(lambda: copier.written == 3)
        await bench.client.delete(CONFIG_MAP, Key(bench.namespace, "after"), reason="test")
        await until(lambda: copier.written == 4)
        await anyio.sleep(0.5)
        assert copier.written == 4
        assert copier.reconciles < 25
        assert manager.cache[CONFIG_MAP].by_index("owner", (await bench.secret("before", "3"))["metadata"]["uid"])
    async with bench.running() as (_, copier):
        await until(lambda: copier.reconciles >= 2)
        await anyio.sleep(0.2)
        assert copier.written == 0, "a restart writes nothing"


async def test_endpoints(bench: Bench) -> None:
    async with bench.running() as (manager, copier), httpx.AsyncClient(trust_env=False) as http:
        await bench.secret("a")
        await until(lambda: copier.written == 1)
        url = f"http://127.0.0.1:{manager.endpoints.ports['127.0.0.1:0']}"
        assert (await http.get(f"{url}/healthz")).text == "ok"
        assert (await http.get(f"{url}/readyz")).status_code == 200
        assert "[+]informers ok" in (await http.get(f"{url}/readyz?verbose")).text
        assert (await http.get(f"{url}/healthz/event-loop")).status_code == 200
        assert (await http.get(f"{url}/healthz/no-such")).status_code == 404
        assert (await http.get(f"{url}/other")).status_code == 404
        assert (await http.post(f"{url}/healthz")).status_code == 405
        metrics = (await http.get(f"{url}/metrics")).text
    for expected in (
        'controller_runtime_reconcile_total{controller="copier",result="success"}',
        'controller_runtime_max_concurrent_reconciles{controller="copier"} 4.0',
        'workqueue_adds_total{controller="copier",name="copier"}',
        'aimd_api_writes_total{kind="ConfigMap",reason="copy",verb="apply"} 1.0',
        'rest_client_requests_total{code="200",host="127.0.0.1:',
        'aimd_informer_synced{kind="ConfigMap"} 1.0',
        "process_resident_memory_bytes",
    ):
        assert expected in metrics, expected
    assert "_created" not in metrics


async def test_a_worker_that_is_stuck_fails_liveness(bench: Bench) -> None:
    await bench.secret("a")
    async with bench.running(stuck_after=0.1) as (manager, copier), httpx.AsyncClient(trust_env=False) as http:
        copier.delay = 0.6
        await bench.secret("b")
        await until(lambda: manager.controllers[0].queue.longest_running() > 0.1)
        url = f"http://127.0.0.1:{manager.endpoints.ports['127.0.0.1:0']}/healthz"
        answer = await http.get(url)
        assert answer.status_code == 500
        assert "copier" in answer.text
        await until(lambda: manager.controllers[0].queue.processing == 0)
        assert (await http.get(url)).status_code == 200


async def test_reconciles_in_flight_end_when_the_manager_stops(bench: Bench) -> None:
    manager = Manager(bench.client, bench.options())
    copier = Copier(manager)
    copier.delay = 0.3
    manager.add(copier)
    async with anyio.create_task_group() as tasks:
        await tasks.start(manager.run)
        await bench.secret("a")
        await until(lambda: copier.reconciles == 1)
        manager.stop()
        await bench.secret("too-late")
    assert copier.written == 1
    with pytest.raises(NotFound):
        await bench.copy("too-late")


async def test_a_reconcile_that_does_not_end_is_canceled_after_the_grace_period(bench: Bench) -> None:
    async with bench.running(shutdown_timeout=0.2) as (_, copier):
        copier.delay = 60
        await bench.secret("a")
        await until(lambda: copier.reconciles == 1)
        started = anyio.current_time()
    assert anyio.current_time() - started < 3


async def test_a_kind_that_is_installed_later_is_picked_up(bench: Bench) -> None:
    definition = {
        "apiVersion": CUSTOM_RESOURCE_DEFINITION.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITION.name,
        "metadata": {"name": f"{LATE.plural}.{LATE.group}"},
        "spec": {
            "group": LATE.group,
            "scope": "Namespaced",
            "names": {"kind": "Late", "plural": "lates", "singular": "late", "listKind": "LateList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    async with bench.running() as (manager, copier):
        store = manager.cache[LATE]
        assert not store.available
        await bench.client.create(CUSTOM_RESOURCE_DEFINITION, definition, reason="test")
        await until(lambda: store.available, 20)
        body = {
            "apiVersion": LATE.api_version,
            "kind": "Late",
            "metadata": {"name": "l", "namespace": bench.namespace},
        }
        await bench.client.create(LATE, body, reason="test")
        await until(lambda: len(store) == 1)
        name = Key("", f"{LATE.plural}.{LATE.group}")
        await bench.client.delete(CUSTOM_RESOURCE_DEFINITION, name, reason="test")
        await until(lambda: len(store) == 0)
        await until(lambda: not store.available, 30)
        await bench.secret("a")
        await until(lambda: copier.written == 1)


@pytest.mark.parametrize("first", [True, False])
async def test_a_kind_that_one_controller_needs_is_optional_for_none(bench: Bench, first: bool) -> None:
    manager = Manager(bench.client)
    for optional in (first, not first):
        manager.add_informer(Informer(LATE, optional=optional))
    assert [reflector.optional for reflector in manager._reflectors.values()] == [False]


async def test_a_watch_without_an_informer_is_refused(bench: Bench) -> None:
    class Blind(Copier):
        informers: Sequence[Informer] = (Informer(SECRET),)

    manager = Manager(bench.client)
    manager.add(Blind(manager))
    with pytest.raises(KindNotWatched, match="ConfigMap"):
        await manager.run()


def election(bench: Bench, who: str) -> LeaderElection:
    return LeaderElection(
        "lease", bench.namespace, identity=who, lease_duration=3.0, renew_deadline=2.0, retry_period=0.3
    )


async def test_one_leads_the_other_takes_over_at_once_on_release(bench: Bench, api_server: ControlPlane) -> None:
    options = ClientOptions(kubeconfig=api_server.kubeconfig)
    async with connect(options) as first_client, connect(options) as second_client:
        second_bench = Bench(second_client, bench.namespace)
        async with anyio.create_task_group() as tasks:
            first = Manager(first_client, bench.options(leader_election=election(bench, "first")))
            first.add(copier := Copier(first))
            await tasks.start(first.run)
            await bench.secret("a")
            await until(lambda: copier.written == 1)
            lease = await bench.client.get(LEASE, Key(bench.namespace, "lease"))
            assert lease["spec"]["holderIdentity"] == "first"
            assert {"acquireTime", "renewTime", "leaseTransitions", "leaseDurationSeconds"} <= set(lease["spec"])
            async with second_bench.running(leader_election=election(bench, "second")) as (_, standby):
                assert not second_client.fence()
                with pytest.raises(WritesSuspended):
                    await second_bench.secret("refused")
                await anyio.sleep(0.5)
                assert standby.reconciles == 0
                first.stop()
                released = anyio.current_time()
                await until(lambda: standby.reconciles > 0)
                assert anyio.current_time() - released < 1.0
                await bench.secret("b")
                await until(lambda: standby.written == 1)
    lease = await bench.client.get(LEASE, Key(bench.namespace, "lease"))
    assert lease["spec"]["holderIdentity"] == "", "released when stopped"


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_process_stopped_while_it_acquires_the_lease_does_not_keep_it(
    bench: Bench, api_server: ControlPlane, tmp_path: Path, method: str
) -> None:
    """POST is what makes the lease ours, PUT what renews it."""
    proxy = FaultProxy(api_server.url, api_server.authority_file)
    async with proxy.serving():
        options = ClientOptions(kubeconfig=proxy.kubeconfig(api_server.kubeconfig, tmp_path / "kubeconfig"))
        async with connect(options) as client:
            manager = Manager(client, bench.options(leader_election=election(bench, "first")))
            manager.add(Copier(manager))

            async def stop_when_it_asks(seen: Seen) -> Cut:
                if seen.method == method:
                    manager.stop()
                return Cut.NOT

            proxy.gate = stop_when_it_asks
            await manager.run()
    lease = await bench.client.get(LEASE, Key(bench.namespace, "lease"))
    assert lease["spec"]["holderIdentity"] == "", "it was granted, and given back"


async def test_a_leader_that_cannot_renew_stops_writing_before_another_may_take_over(bench: Bench) -> None:
    clock = {"now": 1000.0}
    options = replace(election(bench, "first"), lease_duration=15.0, renew_deadline=10.0)
    first = LeaderElector(bench.client, options, clock=lambda: clock["now"])
    second = LeaderElector(bench.client, replace(options, identity="second"), clock=lambda: clock["now"])
    assert await first._attempt()
    assert not await second._attempt()
    clock["now"] += 9.9
    assert first.may_write()
    clock["now"] += 0.2
    assert not first.may_write()
    assert not await second._attempt(), "the gap in which nobody may write"
    clock["now"] += 5.0
    assert await second._attempt()
    assert second.may_write()
    assert not await first._attempt()
    lease = await bench.client.get(LEASE, Key(bench.namespace, "lease"))
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("second", 1)


async def test_a_lease_that_was_taken_away_ends_the_manager(bench: Bench, api_server: ControlPlane) -> None:
    lease = Key(bench.namespace, "lease")
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        manager = Manager(client, bench.options(leader_election=election(bench, "first")))
        manager.add(copier := Copier(manager))

        async def lead_and_lose() -> None:
            async with anyio.create_task_group() as tasks:
                await tasks.start(manager.run)
                await bench.secret("a")
                await until(lambda: copier.written == 1)
                await bench.client.patch(LEASE, lease, {"spec": {"holderIdentity": "thief"}}, reason="test")
                await until(lambda: not client.fence())
                await anyio.sleep(5)

        with pytest.raises(ExceptionGroup) as caught:
            await lead_and_lose()
        assert caught.group_contains(LeaseLost)
        taken = await bench.client.get(LEASE, lease)
        assert taken["spec"]["holderIdentity"] == "thief"


async def test_lists_are_streamed(bench: Bench, api_server: ControlPlane) -> None:
    async with bench.running() as (manager, _):
        assert manager.cache[SECRET].synced
    asked = [
        event["requestURI"]
        for line in api_server.audit_log.read_text().splitlines()
        if (event := json.loads(line))["requestURI"].startswith(f"/api/v1/namespaces/{bench.namespace}/secrets?")
    ]
    assert asked
    assert all("sendInitialEvents=true" in uri and "watch=true" in uri for uri in asked), asked


async def test_a_process_with_rights_in_two_namespaces_runs_without_cluster_kinds(
    bench: Bench, api_server: ControlPlane
) -> None:
    other = f"{bench.namespace}-other"
    await bench.client.create(
        NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}, reason="test"
    )
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "limited", "namespace": bench.namespace},
    }
    await bench.client.create(SERVICE_ACCOUNT, account, reason="test")
    kubeconfig = await api_server.service_account(bench.namespace, "limited")
    rules = [{"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["*"]}]
    subjects = [{"kind": "ServiceAccount", "namespace": bench.namespace, "name": "limited"}]
    for namespace in (bench.namespace, other):
        metadata = {"name": "limited", "namespace": namespace}
        role = {"apiVersion": ROLE.api_version, "kind": "Role", "metadata": metadata, "rules": rules}
        reference = {"apiGroup": ROLE.group, "kind": "Role", "name": "limited"}
        binding = {"apiVersion": ROLE.api_version, "kind": "RoleBinding", "metadata": metadata, "roleRef": reference}
        await bench.client.create(ROLE, role, reason="test")
        await bench.client.create(ROLE_BINDING, {**binding, "subjects": subjects}, reason="test")
    async with connect(ClientOptions(kubeconfig=kubeconfig)) as limited:
        manager = Manager(limited, ManagerOptions(namespaces=(bench.namespace, other)))
        copier = Copier(manager)
        manager.add(copier)
        manager.add_informer(Informer(NODE))
        async with anyio.create_task_group() as tasks:
            await tasks.start(manager.run)
            assert not manager.cache[NODE].available
            await bench.secret("here")
            await Bench(bench.client, other).secret("there")
            await until(lambda: copier.written == 2)
            tasks.cancel_scope.cancel()
