"""Typed views of foreign objects: what they read, and that nothing in an object makes them raise."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning import objects
from aimd.planning.objects import (
    ContainerState,
    Terminated,
    Waiting,
    claim_of,
    condition_of,
    conditions_of,
    containers_of,
    event_time,
    granted_storage,
    has_condition,
    involved_uid,
    is_being_deleted,
    is_controlled_by,
    last_transition,
    mounted_claims,
    newest_event,
    phase_of,
    predictor_container,
    requested_storage,
    storage_class_of,
)
from aimd.runtime.objects import Condition, Manifest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
WORDS = (
    "metadata spec status conditions type containerStatuses state waiting reason volumes predictor containers "
    "involvedObject resources requests capacity persistentVolumeClaim phase"
)
KEYS = st.sampled_from(WORDS.split())
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
VIEWS = [
    objects.spec_of,
    objects.status_of,
    objects.phase_of,
    objects.status_word,
    objects.conditions_of,
    objects.containers_of,
    objects.requested_storage,
    objects.granted_storage,
    objects.storage_class_of,
    objects.involved_uid,
    objects.event_time,
    objects.predictor_of,
    objects.predictor_container,
    objects.mounted_claims,
    objects.last_transition,
]


@given(st.dictionaries(KEYS.filter(lambda key: key != "metadata"), ANYTHING, max_size=4))
def test_no_view_raises_whatever_is_in_the_object(manifest: dict[str, Any]) -> None:
    for view in VIEWS:
        view(manifest)


def test_conditions_keep_their_order_and_their_fields() -> None:
    stored = [
        {
            "type": "Ready",
            "status": "False",
            "reason": "R",
            "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        },
        {"type": "Other", "status": "True", "observedGeneration": 3},
        "not a condition",
    ]
    manifest = {"status": {"conditions": stored}}
    assert conditions_of(manifest) == (
        Condition("Ready", "False", "R", "m", "2026-01-01T00:00:00Z"),
        Condition("Other", "True", "", "", "", 3),
    )
    other = condition_of(manifest, "Other")
    assert other is not None
    assert other.observed_generation == 3
    assert has_condition(manifest, "Other")
    assert not has_condition(manifest, "Ready")
    assert condition_of(manifest, "Missing") is None
    moment = last_transition(manifest)
    assert moment is not None
    assert moment.year == 2026


def test_containers_come_before_init_containers() -> None:
    pod = {
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [{"name": "init", "state": {"terminated": {"reason": "Error", "exitCode": 3}}}],
            "containerStatuses": [
                {
                    "name": "main",
                    "ready": True,
                    "state": {"waiting": {"reason": "ErrImagePull", "message": "denied"}},
                    "lastState": {"terminated": {"reason": "OOMKilled", "message": "x", "exitCode": 137}},
                }
            ],
        }
    }
    assert phase_of(pod) == "Pending"
    assert containers_of(pod) == (
        ContainerState(
            "main",
            ready=True,
            waiting=Waiting("ErrImagePull", "denied"),
            last_ended=Terminated("OOMKilled", "x", 137),
        ),
        ContainerState("init", ended=Terminated("Error", "", 3)),
    )


def test_a_claim_tells_what_it_requests_and_got() -> None:
    claim = {
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"storageClassName": "nfs", "resources": {"requests": {"storage": "5Gi"}}},
        "status": {"capacity": {"storage": "6Gi"}},
    }
    assert (requested_storage(claim), granted_storage(claim), storage_class_of(claim)) == ("5Gi", "6Gi", "nfs")
    assert is_being_deleted(claim)


def test_the_newest_event_is_the_last_observed_one() -> None:
    about = {"involvedObject": {"uid": "u"}}
    first = {**about, "reason": "A", "lastTimestamp": "2026-01-01T00:00:01Z"}
    repeated = {**about, "reason": "A", "eventTime": "2026-01-01T00:00:00Z"}
    repeated["series"] = {"lastObservedTime": "2026-01-01T00:00:02Z"}
    other = {"involvedObject": {"uid": "v"}, "reason": "A", "lastTimestamp": "2026-01-01T00:00:09Z"}
    assert event_time(repeated) == "2026-01-01T00:00:02Z"
    assert involved_uid(other) == "v"
    assert newest_event([first, repeated, other], "u", frozenset({"A"})) is repeated
    assert newest_event([first], "u", frozenset({"B"})) is None


def test_an_inference_service_tells_its_claims() -> None:
    volumes: list[Manifest] = [{"name": "dshm"}, {"name": "w", "persistentVolumeClaim": {"claimName": "c"}}]
    live = {"spec": {"predictor": {"volumes": volumes, "containers": [{"image": "i"}, {"image": "j"}]}}}
    assert mounted_claims(live) == ("c",)
    assert mounted_claims(None) == ()
    assert claim_of(volumes[0]) == ""
    assert predictor_container(live) == {"image": "i"}
    assert predictor_container({}) == {}


@pytest.mark.parametrize(
    ("owners", "expected"),
    [([{"uid": "u", "controller": True}], True), ([{"uid": "u"}], False), ([{"uid": "v", "controller": True}], False)],
)
def test_only_the_controlling_owner_counts(owners: list[dict[str, Any]], expected: bool) -> None:
    assert is_controlled_by({"metadata": {"ownerReferences": owners}}, "u") is expected
    assert not is_controlled_by(None, "u")
