"""What a decision about a service reads live, and what becomes of the answers."""

from datetime import datetime
from typing import Any

import pytest

from aimd.planning.kinds import AIM_SERVICE
from aimd.planning.needs import Need, ReadEvents, ReadList, ReadLog, ReadObject, Reads, Refused
from aimd.planning.service.needs import service_needs, with_reads
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Key
from tests.unit.planning.service.makers import Maker

MINE = {"aim.eai.amd.com/origin": "derived", "aim.eai.amd.com/service.name": "qwen-chat"}
SERVICES = ReadList(AIM_SERVICE, "ml-team")
CLAIM = ReadObject(PERSISTENT_VOLUME_CLAIM, Key("ml-team", "weights"))
WAITING = {
    "metadata": {"name": "p", "namespace": "ml-team", "uid": "p", "creationTimestamp": "2026-01-01T11:59:00Z"},
    "status": {"phase": "Pending"},
}
CRASHING = {
    "metadata": {"name": "c", "namespace": "ml-team", "uid": "c"},
    "status": {
        "phase": "Running",
        "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
    },
}


def mounting(claim: str) -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]
    return {"metadata": {"name": "i", "namespace": "ml-team", "uid": "i"}, "spec": {"predictor": {"volumes": volumes}}}


def test_a_service_without_children_reads_nothing(observed: Maker, now: datetime) -> None:
    assert service_needs(observed(), now) == ()


def test_pods_are_asked_why_they_do_not_start(observed: Maker, now: datetime) -> None:
    """Prove OBJ-POD-2 and OBJ-POD-3."""
    assert service_needs(observed(pods=[WAITING]), now) == (ReadEvents(Key("ml-team", "p"), "p"),)
    (need,) = service_needs(observed(pods=[CRASHING]), now)
    assert isinstance(need, ReadLog)
    assert need.pod == Key("ml-team", "c")
    event = {"reason": "FailedMount"}
    answers: dict[Need, Any] = {need: "out of memory", ReadEvents(Key("ml-team", "p"), "p"): (event,)}
    seen = with_reads(observed(), Reads(answers))
    assert seen.logs == {"c": "out of memory"}
    assert seen.pod_events == (event,)


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        ({"metadata": {"name": "weights"}}, False),
        ({"metadata": {"name": "weights", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, True),
        (Refused("not found", missing=True), True),
        (Refused("forbidden"), False),
        (None, False),
    ],
)
def test_a_mounted_claim_that_no_informer_has_is_read(observed: Maker, now: datetime, answer: Any, lost: bool) -> None:
    """Prove SVC-VOL-3."""
    seen = observed(inference_service=mounting("weights"))
    assert service_needs(seen, now) == (CLAIM,)
    reads = Reads({CLAIM: answer} if answer is not None else {})
    assert with_reads(seen, reads).lost_claims == (frozenset({"weights"}) if lost else frozenset())


def test_a_claim_that_the_informer_has_is_not_read(observed: Maker, now: datetime) -> None:
    """Prove SVC-VOL-3."""
    metadata = {"name": "weights", "namespace": "ml-team"}
    seen = observed(inference_service=mounting("weights"), claims=[{"metadata": metadata}])
    assert service_needs(seen, now) == ()
    assert with_reads(seen, Reads()).lost_claims == frozenset()
    going = [{"metadata": {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z"}}]
    seen = observed(inference_service=mounting("weights"), claims=going)
    assert with_reads(seen, Reads()).lost_claims == {"weights"}


def test_before_a_derived_template_is_deleted_the_services_are_listed(
    observed: Maker, service_manifest: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-OVR-3."""
    unused = template("base-ovr-latency-817c", labels=MINE)
    seen = observed(service=service_manifest(template={"name": "base"}), derived_templates=[unused])
    assert service_needs(seen, now) == (SERVICES,)
    assert with_reads(seen, Reads()).leftovers == []
    assert with_reads(seen, Reads({SERVICES: ()})).leftovers == [unused]
    user = {
        "metadata": {"name": "b", "namespace": "ml-team", "uid": "b"},
        "spec": {"template": {"name": unused.metadata.name}},
    }
    assert with_reads(seen, Reads({SERVICES: (user,)})).leftovers == []
    broken = {"metadata": {"name": "b"}, "spec": {"replicas": "many"}}
    assert with_reads(seen, Reads({SERVICES: (broken,)})).leftovers == [], "it may use any of them"
