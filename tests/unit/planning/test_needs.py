"""Live reads: what was asked for, and what it gave."""

from typing import Any

from aimd.planning.kinds import AIM_SERVICE
from aimd.planning.needs import (
    NO_READS,
    DiscoverySlot,
    Lookup,
    Need,
    ReadEvents,
    ReadList,
    ReadLog,
    ReadObject,
    ReadReference,
    Reads,
    Reference,
    Refused,
)
from aimd.runtime.kinds import JOB, POD, SECRET
from aimd.runtime.objects import Key

KEY = Key("team", "p")
LOG, EVENTS, OBJECT = ReadLog(KEY, 5), ReadEvents(KEY, "u"), ReadObject(JOB, KEY)
LIST, SECRET_NEED, LOOKUP = ReadList(POD, "team"), ReadReference(SECRET, KEY, ("k",)), Lookup(JOB, KEY)
SLOT = DiscoverySlot(AIM_SERVICE, KEY)


def test_nothing_was_read_yet() -> None:
    assert LOG not in NO_READS
    assert (NO_READS.log(LOG), NO_READS.object(OBJECT), NO_READS.list(LIST)) == (None, None, None)
    assert (NO_READS.reference(SECRET_NEED), NO_READS.found(LOOKUP)) == (None, None)
    assert (NO_READS.events(), NO_READS.logs(), NO_READS.granted(SLOT)) == ((), {}, False)


def test_answers_are_found_by_their_need() -> None:
    reference = Reference(exists=True, version="1")
    answers: dict[Need, Any] = {LOG: "end", EVENTS: ({"reason": "Pulling"},), OBJECT: {"a": 1}, LIST: ({"b": 2},)}
    reads = Reads({**answers, SECRET_NEED: reference, LOOKUP: {"c": 3}, SLOT: True})
    assert LOG in reads
    assert (reads.log(LOG), reads.logs(), reads.events()) == ("end", {"p": "end"}, ({"reason": "Pulling"},))
    assert (reads.object(OBJECT), reads.list(LIST), reads.found(LOOKUP)) == ({"a": 1}, ({"b": 2},), {"c": 3})
    assert (reads.reference(SECRET_NEED), reads.granted(SLOT)) == (reference, True)


def test_refused_reads_are_no_logs_and_no_events() -> None:
    reads = Reads({LOG: Refused("forbidden"), EVENTS: Refused("forbidden")})
    assert reads.log(LOG) == Refused("forbidden")
    assert (reads.logs(), reads.events()) == ({}, ())
