"""Gauges of the status of every object: status word, conditions, generations not reconciled yet."""

from collections.abc import Iterator

from aimd.api.crd import status_words
from aimd.api.kinds import RESOURCES
from aimd.metrics.figures import UNKNOWN, condition_value, generation_lag, ready_since, word_of
from aimd.metrics.fleet import Fleet
from aimd.metrics.gauges import Gauge, Series, counted
from aimd.planning.objects import parts, status_of, text
from aimd.runtime.objects import Kind, Manifest, key_of

KINDS = tuple(
    Kind(resource.group, resource.version, resource.kind, resource.plural, resource.namespaced)
    for resource in RESOURCES
)
"""Our own kinds."""
_WORDS = {resource.kind: status_words(resource) for resource in RESOURCES}
_OBJECT = ("kind", "namespace", "name")


def _counts(fleet: Fleet) -> Series:
    for kind in KINDS:
        yield from counted((kind.name, key_of(item).namespace, word_of(item)) for item in fleet.objects(kind))


def _words(fleet: Fleet) -> Series:
    """Yield a series for each word that the kind can have, and for a word that is not one of these."""
    for labels, item in _objects(fleet):
        current, words = word_of(item), _WORDS[labels[0]]
        for word in dict.fromkeys((*words, current)):
            yield (*labels, word), float(word == current)


def _since(fleet: Fleet) -> Series:
    for labels, item in _objects(fleet):
        if moment := ready_since(item):
            yield labels, moment.timestamp()


def _lag(fleet: Fleet) -> Series:
    for labels, item in _objects(fleet):
        yield labels, generation_lag(item)


def _conditions(fleet: Fleet) -> Series:
    for labels, item in _objects(fleet):
        for condition in parts(status_of(item), "conditions"):
            if type_ := text(condition, "type"):
                yield (*labels, type_, text(condition, "reason")), condition_value(text(condition, "status"))


def _objects(fleet: Fleet) -> Iterator[tuple[tuple[str, str, str], Manifest]]:
    for kind in KINDS:
        for item in fleet.objects(kind):
            key = key_of(item)
            yield (kind.name, key.namespace, key.name), item


GAUGES = (
    Gauge("aimd_objects", "Objects by status word.", ("kind", "namespace", "status"), _counts),
    Gauge(
        "aimd_object_status",
        f"1 for the current status word, 0 for the other words of the kind. {UNKNOWN} before the first reconcile.",
        (*_OBJECT, "status"),
        _words,
        per_object=True,
    ),
    Gauge(
        "aimd_object_status_since_seconds",
        "Unix time at which readiness last changed.",
        _OBJECT,
        _since,
        per_object=True,
    ),
    Gauge(
        "aimd_object_generation_lag",
        "Generations of the spec that have not been reconciled yet.",
        _OBJECT,
        _lag,
        per_object=True,
    ),
    Gauge(
        "aimd_object_condition",
        "Conditions: 1 for True, 0 for False, -1 for Unknown; with the current reason.",
        (*_OBJECT, "type", "reason"),
        _conditions,
        per_object=True,
    ),
)
