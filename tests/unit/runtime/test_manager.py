"""The manager in virtual time: what is shared, and the order of start and stop.

Against a real API server it is tested in tests/integration/test_runtime_manager.py.
"""

from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import anyio
import pytest

from aimd.runtime.controller import Watch
from aimd.runtime.errors import Forbidden
from aimd.runtime.handlers import for_object
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import CONFIG_MAP, LEASE, NODE, POD, SECRET
from aimd.runtime.leader import LeaderElection
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, Kind, Manifest, Request, Result
from aimd.runtime.store import KindNotWatched
from tests.unit.runtime.fake_api import FakeApi
from tests.unit.runtime.virtual_time import now, virtually


def thing(name: str) -> Manifest:
    return {"metadata": {"name": name, "namespace": "ns"}}


class Recorder:
    """Records when it reconciles what, and takes `seconds` for it."""

    name = "recorder"
    workers = 2
    informers: Sequence[Informer] = ()

    def __init__(self, kind: Kind = CONFIG_MAP, seconds: float = 0.0) -> None:
        self.kind = kind
        self.watches: Sequence[Watch] = (Watch(kind, for_object),)
        self.seconds = seconds
        self.started: list[tuple[float, str]] = []
        self.ended: list[str] = []

    async def reconcile(self, request: Request) -> Result:
        self.started.append((now(), request.key.name))
        await anyio.sleep(self.seconds)
        self.ended.append(request.key.name)
        return Result()


class Scene:
    """A manager of one recorder on a fake API server, while `during` runs."""

    def __init__(self, recorder: Recorder, **options: Any) -> None:
        self.api = FakeApi()
        self.recorder = recorder
        self.options = ManagerOptions(**options)
        self.synced_at = 0.0
        self.ended_at = 0.0

    def play(self, during: Callable[["Scene"], Coroutine[Any, Any, None]]) -> "Scene":
        async def scenario() -> None:
            self.manager = Manager(self.api.client, self.options)
            self.manager.add(self.recorder)
            async with anyio.create_task_group() as tasks:
                await tasks.start(self.manager.run)
                self.synced_at = now()
                await during(self)
                self.manager.stop()
            self.ended_at = now()

        virtually(scenario)
        return self


def test_informers_of_a_kind_share_a_store_and_equal_selections_a_watch() -> None:
    manager = Manager(FakeApi().client)
    manager.add_informer(Informer(POD, indexes={"node": lambda pod: [pod["node"]]}))
    manager.add_informer(Informer(POD, indexes={"phase": lambda pod: [pod["phase"]]}))
    manager.add_informer(Informer(POD, label_selector="app=chat"))
    assert len(manager.cache.stores) == 1
    assert len(manager._reflectors) == 2
    manager.cache[POD].upsert({**thing("a"), "node": "n", "phase": "Running"})
    assert len(manager.cache[POD].by_index("node", "n")) == len(manager.cache[POD].by_index("phase", "Running")) == 1


def test_informers_of_a_kind_must_agree_on_metadata_only() -> None:
    manager = Manager(FakeApi().client)
    manager.add_informer(Informer(POD))
    with pytest.raises(ValueError, match="Pod: one informer requests whole objects, another one only metadata"):
        manager.add_informer(Informer(POD, metadata_only=True))


def test_namespaces_have_informers_of_their_own_and_make_cluster_scoped_kinds_optional() -> None:
    manager = Manager(FakeApi().client, ManagerOptions(namespaces=("a", "b")))
    manager.add_informer(Informer(POD))
    manager.add_informer(Informer(NODE))
    found = {(selection.kind, selection.namespace): item.optional for selection, item in manager._reflectors.items()}
    assert found == {(POD, "a"): False, (POD, "b"): False, (NODE, ""): True}


@pytest.mark.parametrize("first", [True, False])
def test_a_kind_that_one_informer_requires_is_required(first: bool) -> None:
    manager = Manager(FakeApi().client)
    for optional in (first, not first):
        manager.add_informer(Informer(POD, optional=optional))
    assert [item.optional for item in manager._reflectors.values()] == [False]


def test_a_watch_without_an_informer_is_refused() -> None:
    recorder = Recorder()
    recorder.watches = (Watch(SECRET, for_object),)

    async def scenario() -> None:
        manager = Manager(FakeApi().client)
        manager.add(recorder)
        await manager.run()

    with pytest.raises(KindNotWatched, match="Secret"):
        virtually(scenario)


def test_workers_start_when_the_caches_are_synced() -> None:
    scene = Scene(Recorder())
    scene.api.latency = 3.0
    scene.api.put(CONFIG_MAP, thing("a"))

    async def during(scene: Scene) -> None:
        assert scene.recorder.started == []
        await anyio.sleep(1)

    scene.play(during)
    assert scene.synced_at >= 6, "the attempt to stream a list, then the list"
    assert [name for _, name in scene.recorder.started] == ["a"]
    assert scene.recorder.started[0][0] >= scene.synced_at


def test_an_optional_kind_does_not_hold_up_the_start_for_long() -> None:
    recorder = Recorder()
    recorder.informers = (Informer(CONFIG_MAP), Informer(NODE, optional=True))

    class Silent(FakeApi):
        async def list_page(self, selection: Any, *, continue_token: str = "") -> Any:
            if selection.kind == NODE:
                await anyio.sleep_forever()
            return await super().list_page(selection, continue_token=continue_token)

    scene = Scene(recorder)
    scene.api = Silent()
    scene.play(lambda _: anyio.sleep(1))
    assert scene.synced_at == 10


def test_a_required_kind_that_is_forbidden_holds_up_the_start_until_stopped() -> None:
    api = FakeApi()

    async def scenario() -> None:
        api.faults = [Forbidden("no", status=403)] * 1000
        manager = Manager(api.client)
        manager.add(Recorder())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(manager.run)
            await anyio.sleep(600)
            assert manager._unsynced() == "waiting for the first list of: ConfigMap"
            manager.stop()

    virtually(scenario)


def test_on_stop_reconciles_in_flight_end_and_nothing_new_starts() -> None:
    scene = Scene(Recorder(seconds=5.0))
    for name in ("a", "b", "c"):
        scene.api.put(CONFIG_MAP, thing(name))
    scene.play(lambda _: anyio.sleep(1))
    assert scene.recorder.ended == ["a", "b"], "two workers; the third object was still waiting"
    assert scene.ended_at == scene.synced_at + 5


def test_a_reconcile_that_does_not_end_is_canceled_after_the_grace_period() -> None:
    scene = Scene(Recorder(seconds=1000.0), shutdown_timeout=7.0)
    scene.api.put(CONFIG_MAP, thing("a"))
    scene.play(lambda _: anyio.sleep(1))
    assert scene.recorder.ended == []
    assert scene.ended_at == scene.synced_at + 1 + 7


def test_every_object_is_reconciled_again_now_and_then() -> None:
    scene = Scene(Recorder(), resync_period=1000.0)
    scene.api.put(CONFIG_MAP, thing("a"))
    scene.play(lambda _: anyio.sleep(3500))
    moments = [moment for moment, _ in scene.recorder.started]
    assert len(moments) == 4
    assert all(900 <= later - sooner <= 1100 for sooner, later in pairwise(moments))


def test_only_the_leader_works_and_the_lease_is_released_last() -> None:
    election = LeaderElection("lease", "ns", identity="first")
    scene = Scene(Recorder(seconds=3.0), leader_election=election)
    scene.api.put(CONFIG_MAP, thing("a"))
    held: list[str] = []

    async def during(scene: Scene) -> None:
        await anyio.sleep(1)
        assert scene.manager.leads
        assert scene.api.fence()
        held.append(scene.api.objects[LEASE, Key("ns", "lease")]["spec"]["holderIdentity"])

    scene.play(during)
    assert held == ["first"]
    assert scene.recorder.ended == ["a"], "it ended before the lease was released"
    assert scene.api.objects[LEASE, Key("ns", "lease")]["spec"]["holderIdentity"] == ""
    assert not scene.manager.leads
    assert not scene.api.fence()


def test_a_standby_has_synced_caches_and_does_nothing() -> None:
    scene = Scene(Recorder(), leader_election=LeaderElection("lease", "ns", identity="second"))
    other = {"holderIdentity": "first", "leaseDurationSeconds": 10**6}
    scene.api.put(LEASE, {"metadata": {"name": "lease", "namespace": "ns"}, "spec": other})
    scene.api.put(CONFIG_MAP, thing("a"))

    async def during(scene: Scene) -> None:
        await anyio.sleep(60)
        assert len(scene.manager.cache[CONFIG_MAP]) == 1
        assert not scene.manager.leads

    scene.play(during)
    assert scene.recorder.started == []
    assert scene.manager.metrics.registry.get_sample_value("leader_election_master_status", {"name": "lease"}) == 0


def test_a_reconcile_that_never_ends_fails_liveness() -> None:
    manager = Manager(FakeApi().client, ManagerOptions(stuck_after=-1.0))
    manager.add(Recorder())
    assert manager._stuck() == "a reconcile has taken more than -1 s in: recorder"
    manager = Manager(FakeApi().client, ManagerOptions(stuck_after=1.0))
    manager.add(Recorder())
    assert manager._stuck() == ""
