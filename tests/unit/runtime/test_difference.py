"""What counts as a difference between what we render and what is there."""

from decimal import Decimal
from time import thread_time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.runtime.difference import differences, owned_fields, quantity
from aimd.runtime.objects import Manifest

LEAF: dict[str, Any] = {}


def found(rendered: Manifest, live: Manifest, owned: dict[str, Any] | None, *filled: str) -> list[tuple[str, str]]:
    return [(item.path, item.what) for item in differences(rendered, live, owned, filled)]


def spec(fields: Any) -> Manifest:
    return {"metadata": {"name": "x"}, "spec": fields}


def owns(fields: Any) -> dict[str, Any]:
    return {"f:spec": fields}


def test_equal_with_defaults_around_is_no_difference() -> None:
    live = spec({"a": 1, "defaulted": True, "nested": {"b": "x", "more": 1}})
    assert found(spec({"a": 1, "nested": {"b": "x"}}), live, owns({"f:a": LEAF, "f:nested": {"f:b": LEAF}})) == []


def test_an_object_we_never_applied() -> None:
    assert found(spec({"a": 1}), spec({"a": 1}), None) == [("", "not owned")]


def test_what_we_no_longer_render_is_noticed() -> None:
    live = {"metadata": {"name": "x", "labels": {"a": "1", "b": "2", "theirs": "3"}}}
    rendered = {"metadata": {"name": "x", "labels": {"a": "1"}}}
    owned = {"f:metadata": {"f:labels": {"f:a": LEAF, "f:b": LEAF}}}
    assert found(rendered, live, owned) == [("metadata.labels.b", "no longer rendered")]
    assert found({"metadata": {"name": "x"}}, live, owned) == [("metadata.labels", "no longer rendered")]


def test_a_foreign_edit_of_our_field_is_noticed() -> None:
    assert found(spec({"a": 1}), spec({"a": 2}), owns({"f:a": LEAF})) == [("spec.a", "value")]
    assert found(spec({"a": 1}), spec({"a": 2}), owns({})) != []


def test_identity_and_status_are_not_compared() -> None:
    rendered = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "namespace": "n", "uid": "u"}, "status": {}}
    assert found(rendered, {"metadata": {"name": "x", "generation": 4}}, {}) == []


@pytest.mark.parametrize("empty", [None, "", [], {}, False, 0])
def test_empty_values_may_be_left_out_by_the_server(empty: Any) -> None:
    owned = {"f:a": LEAF} if empty is not None else {"f:b": LEAF}
    assert found(spec({"a": empty, "b": 1}), spec({"b": 1}), owns({**owned, "f:b": LEAF})) == []


def test_maps_of_empty_maps_claim_nothing() -> None:
    """The server drops the record of what we emptied; asking for it again would be a write after each restart."""
    live = {"spec": {"text": "a"}}
    owned: Manifest = {"f:spec": {"f:text": {}}}
    assert differences({"spec": {"text": "a", "free": {"value": {}, "more": {"list": []}}}}, live, owned) == []
    assert differences({"spec": {"text": "a", "free": {"value": {"a": 0}}}}, live, owned) != []


def test_zero_and_false_differ_from_one_and_true() -> None:
    assert found(spec({"a": 0}), spec({"a": 1}), owns({"f:a": LEAF})) != []
    assert found(spec({"a": False}), spec({"a": 0}), owns({"f:a": LEAF})) != []
    assert found(spec({"a": True}), spec({"a": 1}), owns({"f:a": LEAF})) != []


ENV = {
    'k:{"name":"A"}': {".": LEAF, "f:name": LEAF, "f:value": LEAF},
    'k:{"name":"B"}': {".": LEAF, "f:name": LEAF, "f:value": LEAF},
}


def test_items_of_a_list_map_are_found_by_key_whatever_their_order() -> None:
    live = spec({"env": [{"name": "THEIRS"}, {"name": "B", "value": "2"}, {"name": "A", "value": "1"}]})
    rendered = spec({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]})
    assert found(rendered, live, owns({"f:env": ENV})) == []
    only_a = spec({"env": [{"name": "A", "value": "1"}]})
    assert found(only_a, live, owns({"f:env": ENV})) == [('spec.env[]{"name":"B"}', "no longer rendered")]
    changed = spec({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]})
    assert found(changed, live, owns({"f:env": ENV})) == [("spec.env[].value", "value")]
    more = spec({"env": [*rendered["spec"]["env"], {"name": "C", "value": "3"}]})
    assert found(more, live, owns({"f:env": ENV})) == [("spec.env[]", "not owned")]


def test_key_fields_may_come_from_a_default() -> None:
    owned = {"f:ports": {'k:{"containerPort":8000,"protocol":"TCP"}': {".": LEAF, "f:containerPort": LEAF}}}
    live = spec({"ports": [{"containerPort": 8000, "protocol": "TCP", "name": "x"}]})
    assert found(spec({"ports": [{"containerPort": 8000}]}), live, owns(owned)) == []


def test_sets_compare_by_value() -> None:
    owned = {"f:metadata": {"f:finalizers": {'v:"a"': LEAF, 'v:"b"': LEAF}}}
    live = {"metadata": {"finalizers": ["theirs", "b", "a"]}}
    assert found({"metadata": {"finalizers": ["a", "b"]}}, live, owned) == []
    assert found({"metadata": {"finalizers": ["a"]}}, live, owned) == [
        ('metadata.finalizers[]"b"', "no longer rendered")
    ]
    gone = {"metadata": {"finalizers": ["a"]}}
    assert found({"metadata": {"finalizers": ["a", "b"]}}, gone, owned) == [("metadata.finalizers[]", "value")]


def test_owner_references_compare_by_uid() -> None:
    reference = {"uid": "u1", "name": "o", "kind": "K", "apiVersion": "v1", "controller": True}
    owned = {"f:metadata": {"f:ownerReferences": {'k:{"uid":"u1"}': LEAF}}}
    live = {"metadata": {"ownerReferences": [{"uid": "theirs"}, reference]}}
    assert found({"metadata": {"ownerReferences": [reference]}}, live, owned) == []
    other = {**reference, "uid": "u2"}
    assert {what for _, what in found({"metadata": {"ownerReferences": [other]}}, live, owned)} == {
        "not owned",
        "no longer rendered",
    }


def test_an_atomic_list_tolerates_nothing_but_what_is_declared() -> None:
    rendered = spec({"containers": [{"name": "c", "resources": {"limits": {"gpu": "1"}}}]})
    filled = spec(
        {"containers": [{"name": "c", "resources": {"limits": {"gpu": "1", "cpu": "1"}, "requests": {"cpu": "1"}}}]}
    )
    atomic = owns({"f:containers": LEAF})
    assert found(rendered, filled, atomic) == [("spec.containers", "value")]
    declared = ("spec.containers[].resources.limits", "spec.containers[].resources.requests")
    assert found(rendered, filled, atomic, *declared) == []
    assert found(rendered, filled, {}, *declared) == [], "a webhook that adds takes the whole list over"
    assert found(rendered, filled, {}) == [("spec", "not owned")]
    changed = spec({"containers": [{"name": "c", "resources": {"limits": {"gpu": "2", "cpu": "1"}}}]})
    assert found(rendered, changed, atomic, *declared) == [("spec.containers", "value")]
    grown = spec({"containers": [*filled["spec"]["containers"], {"name": "sidecar"}]})
    assert found(rendered, grown, atomic, *declared) == [("spec.containers", "value")]
    assert found(rendered, grown, atomic, "spec.containers[]") == []


def test_quantities_are_numbers_where_quantities_stand_and_text_elsewhere() -> None:
    owned = owns({"f:resources": {"f:limits": {"f:cpu": LEAF, "f:memory": LEAF}}})
    rendered = spec({"resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}})
    assert found(rendered, spec({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}), owned) == []
    assert found(rendered, spec({"resources": {"limits": {"cpu": 1, "memory": "1G"}}}), owned) == [
        ("spec.resources.limits.memory", "value")
    ]
    assert found(spec({"value": "1000m"}), spec({"value": "1"}), owns({"f:value": LEAF})) == [("spec.value", "value")]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", "1"),
        ("100m", "0.1"),
        ("1.5Gi", "1610612736"),
        ("2e3", "2000"),
        ("1E", "1e18"),
        ("5n", "5e-9"),
        ("-3k", "-3000"),
        (4, "4"),
    ],
)
def test_quantity(text: Any, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "Infinity", "NaN", "1Zi", "1ki", None, "--1"])
def test_what_is_no_quantity(text: Any) -> None:
    assert quantity(text) is None


def test_the_entry_of_our_apply() -> None:
    entries = [
        {"manager": "other", "operation": "Apply", "fieldsV1": {"f:other": {}}},
        {"manager": "me", "operation": "Update", "fieldsV1": {"f:update": {}}},
        {"manager": "me", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
        {"manager": "me", "operation": "Apply", "fieldsV1": {"f:spec": {}}},
    ]
    assert owned_fields({"metadata": {"managedFields": entries}}, "me") == {"f:spec": {}}
    assert owned_fields({"metadata": {}}, "me") is None


def keyed(identity: Manifest) -> str:
    return f"k:{orjson.dumps(identity).decode()}"


NAMES = st.sampled_from(["a", "b"])
PORTS = st.fixed_dictionaries({}, optional={"port": st.integers(1, 3), "protocol": st.sampled_from(["TCP", "UDP"])})
IDENTITIES = st.fixed_dictionaries({"port": st.integers(1, 3), "protocol": st.sampled_from(["TCP", "UDP"])})


@given(st.lists(PORTS, max_size=5), st.lists(IDENTITIES, min_size=1, max_size=5), st.lists(PORTS, max_size=5))
def test_items_are_found_as_by_looking_at_each(wanted: list[Any], owned: list[Any], there: list[Any]) -> None:
    """Compare with the plain search, which is quadratic."""
    fields = {keyed(identity): {"f:port": LEAF, "f:protocol": LEAF, ".": LEAF} for identity in owned}
    expected, left = [], {field: orjson.loads(field[2:]) for field in fields}
    for item in wanted:
        field = next(
            (
                field
                for field, identity in left.items()
                if set(identity) & set(item) and all(item.get(name, value) == value for name, value in identity.items())
            ),
            None,
        )
        if field is None:
            expected.append(("spec.l[]", "not owned"))
            continue
        identity = left.pop(field)
        if not any(all(other.get(name) == value for name, value in identity.items()) for other in there):
            expected.append((f"spec.l[]{field[2:]}", "value"))
    expected += [(f"spec.l[]{field[2:]}", "no longer rendered") for field in left]
    listed = found(spec({"l": wanted}), spec({"l": there}), owns({"f:l": fields}))
    assert [item for item in listed if item[0] != "spec.l[].protocol" and item[0] != "spec.l[].port"] == expected


@pytest.mark.parametrize("shape", ["keys", "set", "default", "absent", "foreign", "alike"])
def test_long_lists_take_time_in_proportion(shape: str) -> None:
    """5,000 entries, whatever of them differs; the event loop stands still meanwhile (OBJ-BND-1).

    They take about 0.2 s; a comparison of each with each takes 20 s.
    """
    count = range(5000)
    items: list[Any] = [{"name": f"N{n}", "value": "v"} for n in count]
    identities: list[Manifest] = [{"name": f"N{n}"} for n in reversed(count)]
    live = [*reversed(items)]
    fields = {keyed(identity): {".": LEAF, "f:name": LEAF, "f:value": LEAF} for identity in identities}
    match shape:
        case "set":
            items = live = [f"v{n}" for n in count]
            fields = {f'v:"v{n}"': LEAF for n in reversed(count)}
        case "default":
            fields = {keyed({**identity, "protocol": "TCP"}): {"f:name": LEAF} for identity in identities}
        case "absent":
            live = []
        case "foreign":
            fields = {keyed({"name": f"X{n}"}): LEAF for n in count}
        case "alike":
            items = live = [{"name": "N", "value": "v"}] * 5000
            fields = {keyed({"name": "N", "protocol": str(n)}): LEAF for n in count}
    started = thread_time()
    found(spec({"l": items}), spec({"l": live}), owns({"f:l": fields}))
    assert thread_time() - started < 2
