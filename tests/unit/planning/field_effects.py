"""What the tests of fields have in common: a row for each field of a spec, and a plan as flat values.

A test module has a table `FIELDS` with a row for every leaf of the schema that has an effect, and `WITHOUT_EFFECT` for
those that are documented to have none. A world plans an object of the kind, or one that uses it, from a spec.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aimd.api.crd import render
from aimd.api.kinds import ApiResource
from aimd.planning.conditions import summarize
from aimd.planning.plan import Plan
from aimd.runtime.objects import Applied
from tests.guides import ADD_A_FIELD

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
Spec: TypeAlias = dict[str, Any]
World: TypeAlias = Callable[[Spec], Plan]
"""Plans an object with these fields of the spec; the world adds those that it needs itself."""


@dataclass(frozen=True)
class Row:
    """What a spec becomes when the field changes, and where that shows.

    `shows` is a path in what the plan says: of an object, under `status`, `conditions`, `deletions`, `needs` or
    `requeue`. `world` names what is there besides.
    """

    before: Spec
    after: Spec
    shows: str
    world: str = "usual"


@dataclass(frozen=True)
class Ignored:
    """A change of a field that is documented to have no effect, and why it has none."""

    before: Spec
    after: Spec
    reason: str


@dataclass
class Saying:
    """What a plan says, flat: values by path, however many elements a list has."""

    values: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                self.add(f"{path}.{name}" if path else name, inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                self.add(f"{path}[]", inner)
        else:
            self.values.setdefault(path, []).append(repr(value))

    def differing(self, other: "Saying") -> set[str]:
        return {path for path in self.values | other.values if self.values.get(path) != other.values.get(path)}


def said(plan: Plan) -> Saying:
    """Return what a plan says: objects, status, conditions, deletions, needs and the time of the next reconcile."""
    saying = Saying()
    for desired in plan.desired:
        saying.add(desired.kind.name, desired.manifest)
    saying.add("status", dict(plan.status))
    summary = summarize(
        plan.components,
        applied=Applied(),
        previous=(),
        generation=1,
        now=NOW,
        extra_conditions=plan.extra_conditions,
    )
    for condition in summary.conditions:
        told = {"status": condition.status, "reason": condition.reason, "message": condition.message}
        saying.add(f"conditions.{condition.type}", told)
    for deletion in plan.deletions:
        saying.add(f"deletions.{deletion.kind.name}", {"name": deletion.key.name, "reason": deletion.reason})
    for need in plan.needs:
        saying.add(f"needs.{type(need).__name__}", asdict(need))
    saying.add("requeue", plan.requeue_after)
    return saying


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of everything in a schema that has no fields of its own; lists are `[]`."""
    if "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif schema.get("type") == "array":
        yield from leaves(schema["items"], f"{path}[]")
    else:
        yield path


def spec_leaves(resource: ApiResource) -> set[str]:
    """Paths of all fields below `spec` of a kind."""
    schema: dict[str, Any] = render(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return set(leaves(schema["properties"]["spec"]))


def variable_rows(prefix: str, place: str, wrap: Callable[[list[Spec]], Spec], world: str = "usual") -> dict[str, Row]:
    """One row for each leaf of an environment variable; `wrap` makes a spec with these variables."""
    complete: dict[str, Spec] = {
        "secretKeyRef": {"name": "s", "key": "k", "optional": False},
        "configMapKeyRef": {"name": "c", "key": "k", "optional": False},
        "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"},
        "resourceFieldRef": {"resource": "limits.cpu", "containerName": "c", "divisor": "1"},
        "fileKeyRef": {"volumeName": "v", "path": "p", "key": "k", "optional": False},
    }
    rows = {
        f"{prefix}.name": Row(wrap([{"name": "X"}]), wrap([{"name": "Y"}]), f"{place}.name", world),
        f"{prefix}.value": Row(
            wrap([{"name": "X", "value": "1"}]), wrap([{"name": "X", "value": "2"}]), f"{place}.value", world
        ),
    }
    for kind, source in complete.items():
        for leaf, value in source.items():
            changed = {**source, leaf: True if value is False else f"{value}0"}
            rows[f"{prefix}.valueFrom.{kind}.{leaf}"] = Row(
                wrap([{"name": "X", "valueFrom": {kind: source}}]),
                wrap([{"name": "X", "valueFrom": {kind: changed}}]),
                f"{place}.valueFrom.{kind}.{leaf}",
                world,
            )
    return rows


def hardware_rows(prefix: str, place: str, wrap: Callable[[Spec], Spec], world: str = "usual") -> dict[str, Row]:
    """One row for each leaf of hardware; `wrap` makes a spec with this hardware."""
    values = (
        ("gpu", {"requests": 1}, "requests", 1, 2),
        ("gpu", {"requests": 1}, "model", "MI300X", "MI325X"),
        ("gpu", {"requests": 1}, "minVram", "64Gi", "128Gi"),
        ("gpu", {"requests": 1}, "resourceName", "amd.com/gpu", "amd.com/cpx"),
        ("cpu", {"requests": "1"}, "requests", "1", "2"),
        ("cpu", {"requests": "1"}, "limits", "1", "2"),
    )
    return {
        f"{prefix}.{side}.{leaf}": Row(
            wrap({side: {**base, leaf: before}}), wrap({side: {**base, leaf: after}}), f"{place}.{side}.{leaf}", world
        )
        for side, base, leaf, before, after in values
    }


def source_rows(
    prefix: str, place: str, wrap: Callable[[Spec], Spec], world: str = "usual", *, described: bool = True
) -> dict[str, Row]:
    """One row for each leaf of a source of weights; `wrap` makes a spec with this source.

    `described` is whether what only describes the weights shows, too.
    """
    weights = {"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny", "size": "1Gi", "precision": "fp8"}
    changes = {"modelId": "acme/other", "sourceUri": "hf://acme/other", "size": "2Gi"}
    changes |= {"precision": "fp16"} if described else {}
    return {
        **{
            f"{prefix}.{leaf}": Row(wrap(weights), wrap({**weights, leaf: value}), f"{place}.{leaf}", world)
            for leaf, value in changes.items()
        },
        **variable_rows(f"{prefix}.env[]", f"{place}.env[]", lambda env: wrap({**weights, "env": env}), world),
    }


def assert_effect(path: str, row: Row, worlds: Mapping[str, World]) -> None:
    """Fail unless a change of this field, and of no other, shows where the row says."""
    _assert_changes_only(path, row.before, row.after)
    plan = worlds[row.world]
    assert_shows(path, row, plan(row.before), plan(row.after))


def assert_shows(path: str, row: Row, before: Plan, after: Plan) -> None:
    """Fail unless two plans differ where the row says."""
    changed = said(before).differing(said(after))
    assert any(item.startswith(row.shows) for item in changed), (
        f"spec.{path} should change {row.shows}; it changes {sorted(changed)}; {ADD_A_FIELD}"
    )


def assert_no_effect(path: str, ignored: Ignored, worlds: Mapping[str, World]) -> None:
    """Fail if a change of this field shows in any of the worlds."""
    _assert_changes_only(path, ignored.before, ignored.after)
    changed = {name: said(plan(ignored.before)).differing(said(plan(ignored.after))) for name, plan in worlds.items()}
    assert not any(changed.values()), f"spec.{path} has an effect, so it belongs to FIELDS: {changed}"


def assert_complete(resource: ApiResource, fields: Mapping[str, Row], ignored: Mapping[str, Ignored]) -> None:
    """Fail unless the two tables together have exactly the fields of the schema."""
    schema, known = spec_leaves(resource), fields.keys() | ignored.keys()
    assert schema - known == set(), f"add a row to FIELDS that shows the effect of each; {ADD_A_FIELD}"
    assert known - schema == set(), "remove these rows: the schema doesn't have the fields"
    assert fields.keys() & ignored.keys() == set(), "a field either has an effect or has none"


def _assert_changes_only(path: str, before: Spec, after: Spec) -> None:
    specs = Saying(), Saying()
    for saying, spec in zip(specs, (before, after), strict=True):
        saying.add("", spec)
    changed = specs[0].differing(specs[1])
    assert changed, f"the row of spec.{path} changes nothing"
    others = {item for item in changed if item != path and not item.startswith(f"{path}.")}
    assert others == set(), f"the row of spec.{path} changes other fields, too"
