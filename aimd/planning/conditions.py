"""How the health of components becomes conditions and one status word. The rules are in docs/rules/object.md.

Evaluated once per reconcile, after apply, so that a failing write shows (OBJ-STA-4).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aimd.api.reasons import Reason
from aimd.api.shared import CommonCondition
from aimd.planning.component import DOWNSTREAM, READY, UPSTREAM, Component, State, has_category, worst
from aimd.planning.time import parse_timestamp, timestamp
from aimd.runtime.objects import Applied, Category, Condition, Failure

INFRASTRUCTURE_GRACE = timedelta(seconds=10)
MAXIMUM_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Event:
    """An event to record about a condition; `before` is what was stored of it, if anything."""

    type: str
    message: str
    condition: Condition
    before: Condition | None = None

    @property
    def reason(self) -> str:
        """Reason of the event: that of the condition."""
        return self.condition.reason

    @property
    def changed(self) -> bool:
        """Whether status or reason changed; False for the repetition of a fault that lasts."""
        return self.before is None or _turn(self.before) != _turn(self.condition)


@dataclass(frozen=True, slots=True)
class Summary:
    """Conditions to store, the status word, events, and whether to retry with back-off."""

    conditions: tuple[Condition, ...]
    state: State
    events: tuple[Event, ...]
    retry: bool


def summarize(  # noqa: PLR0913 (everything that a status is made of)
    components: Sequence[Component],
    *,
    applied: Applied,
    previous: Sequence[Condition],
    generation: int,
    now: datetime,
    extra_conditions: Sequence[Condition] = (),
) -> Summary:
    """Return conditions and status word of an object.

    `previous` are the stored conditions; those of components no longer reported are dropped (OBJ-CND-3). Transition
    times move when status or reason changes (OBJ-CND-4).
    """
    stored = {condition.type: condition for condition in previous}
    reported = _with_apply_failures([component for component in components if component.type], applied)
    failures = [failure for component in reported for failure in component.failures]
    framework = _framework_conditions(failures, stored)
    grace = _within_grace(framework, stored, now)

    by_component = {item.type: _component_condition(item, stored, grace=grace) for item in reported}
    state, ready_condition = _root(reported, by_component, failures, framework)
    fresh = [*framework.values(), *by_component.values(), *extra_conditions, ready_condition]
    conditions = _stamped(fresh, previous, generation, now)
    return Summary(
        conditions=conditions,
        state=state,
        events=_events(conditions, stored, {item.type: item for item in reported}),
        retry=has_category(failures, Category.INFRASTRUCTURE, Category.UNKNOWN),
    )


def _first(failures: Iterable[Failure], *categories: Category) -> Failure | None:
    return next((failure for failure in failures if failure.category in categories), None)


def _with_apply_failures(components: list[Component], applied: Applied) -> list[Component]:
    """Add the children that could not be written (OBJ-STA-4).

    Such a child is trouble of the component that is named after its kind; it is added if there is none.
    """
    for kind, key, failure in applied.failures:
        named = replace(failure, message=f"{kind.name} {key}: {failure.message}")
        index = next((i for i, component in enumerate(components) if component.name == kind.name), None)
        if index is None:
            components = [*components, Component.failed(f"{kind.name}{READY}", named, DOWNSTREAM)]
        elif all(failure.category is Category.MISSING_DOWNSTREAM for failure in components[index].failures):
            broken = Component.failed(components[index].type, named, components[index].direction)
            components = [*components[:index], broken, *components[index + 1 :]]
    return components


_FRAMEWORK: Mapping[str, tuple[tuple[tuple[Category, ...], str], ...]] = {
    CommonCondition.DEPENDENCIES_REACHABLE: (
        ((Category.INFRASTRUCTURE, Category.UNKNOWN), Reason.INFRASTRUCTURE_ERROR),
    ),
    CommonCondition.AUTH_VALID: (((Category.AUTH,), Reason.AUTH_ERROR),),
    CommonCondition.CONFIG_VALID: (
        ((Category.INVALID_SPEC,), Reason.INVALID_SPEC),
        ((Category.MISSING_UPSTREAM,), Reason.REFERENCE_NOT_FOUND),
    ),
}
_FRAMEWORK_HEALTHY: Mapping[str, tuple[Reason, str]] = {
    CommonCondition.DEPENDENCIES_REACHABLE: (Reason.REACHABLE, "All dependencies are reachable"),
    CommonCondition.AUTH_VALID: (Reason.AUTHENTICATION_VALID, "Credentials are accepted"),
    CommonCondition.CONFIG_VALID: (Reason.CONFIGURATION_VALID, "The configuration is valid"),
}


def _framework_conditions(failures: Sequence[Failure], stored: Mapping[str, Condition]) -> dict[str, Condition]:
    """Return the framework conditions: added by a first failure, True after recovery, else absent (OBJ-CND-2)."""
    conditions: dict[str, Condition] = {}
    for type_, causes in _FRAMEWORK.items():
        found = next(
            ((_first(failures, *kinds), reason) for kinds, reason in causes if has_category(failures, *kinds)), None
        )
        if found is not None and found[0] is not None:
            conditions[type_] = Condition(type_, "False", found[1], found[0].message)
        elif type_ in stored:
            conditions[type_] = Condition(type_, "True", *_FRAMEWORK_HEALTHY[type_])
    return conditions


def _within_grace(framework: Mapping[str, Condition], stored: Mapping[str, Condition], now: datetime) -> bool:
    """Return whether dependencies have been unreachable for less than the grace (OBJ-CND-6)."""
    if (
        CommonCondition.DEPENDENCIES_REACHABLE not in framework
        or framework[CommonCondition.DEPENDENCIES_REACHABLE].status == "True"
    ):
        return False
    before = stored.get(CommonCondition.DEPENDENCIES_REACHABLE)
    if before is None or before.status == "True":
        return True
    since = parse_timestamp(before.last_transition_time)
    return since is not None and now - since < INFRASTRUCTURE_GRACE


def _component_condition(component: Component, stored: Mapping[str, Condition], *, grace: bool) -> Condition:
    status = "True" if component.effective_state is State.READY else "False"
    before = stored.get(component.type)
    if grace and before is not None and has_category(component.failures, Category.INFRASTRUCTURE):
        status = before.status
    return Condition(component.type, status, component.effective_reason, component.effective_message)


def _root(
    components: Sequence[Component],
    conditions: Mapping[str, Condition],
    failures: Sequence[Failure],
    framework: Mapping[str, Condition],
) -> tuple[State, Condition]:
    """Return the status word and the Ready condition (OBJ-CND-1, OBJ-STA-2)."""
    for type_ in (CommonCondition.AUTH_VALID, CommonCondition.CONFIG_VALID):
        broken = framework.get(type_)
        if broken is not None and broken.status == "False":
            return State.FAILED, Condition(READY, "False", broken.reason, broken.message)
    by_type = {component.type: component for component in components}
    states = {type_: _counted(by_type.get(type_), condition) for type_, condition in conditions.items()}
    state = worst(states.values())
    unreachable = has_category(failures, Category.INFRASTRUCTURE, Category.UNKNOWN)
    if state is State.READY:
        return state, Condition(READY, "True", Reason.ALL_COMPONENTS_READY, "All components are ready")
    culprit = next((t for t, s in states.items() if s in (State.FAILED, State.DEGRADED, State.NOT_AVAILABLE)), None)
    if culprit is not None:
        ready_condition = _blame(conditions[culprit], conditions[culprit].reason)
    elif unreachable:
        ready_condition = Condition(
            READY, "False", Reason.INFRASTRUCTURE_ERROR, framework[CommonCondition.DEPENDENCIES_REACHABLE].message
        )
    else:
        waiting = min(states, key=lambda type_: states[type_].rank)
        ready_condition = _blame(conditions[waiting], Reason.PROGRESSING)
    return (State.DEGRADED if unreachable else state), ready_condition


def _blame(condition: Condition, reason: str) -> Condition:
    detail = condition.message or condition.reason
    return Condition(READY, "False", reason, f"{condition.type.removesuffix(READY)}: {detail}")


def _counted(component: Component | None, condition: Condition) -> State:
    """Return what a component counts as: waiting for others is Pending, for own children Progressing (OBJ-STA-3)."""
    if component is not None and component.counts_as is not None:
        return component.counts_as
    if condition.status == "True":
        return State.READY
    if component is None:
        return State.PROGRESSING
    state = component.effective_state
    if state in (State.FAILED, State.DEGRADED, State.NOT_AVAILABLE, State.PENDING):
        return state
    return State.PENDING if component.direction is UPSTREAM else State.PROGRESSING


def _stamped(
    fresh: Sequence[Condition], previous: Sequence[Condition], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions to store: existing types in their place, then new ones (OBJ-CND-4, OBJ-CND-5).

    Transition times change with status or reason. Long messages are cut.
    """
    stored = {condition.type: condition for condition in previous}
    result: dict[str, Condition] = {}
    for condition in fresh:
        before = stored.get(condition.type)
        unchanged = before is not None and _turn(before) == _turn(condition)
        result[condition.type] = replace(
            condition,
            type=str(condition.type),
            reason=str(condition.reason),
            message=_cut(condition.message),
            observed_generation=generation,
            last_transition_time=before.last_transition_time if before and unchanged else timestamp(now),
        )
    ordered = [condition.type for condition in previous if condition.type in result]
    ordered += [type_ for type_ in result if type_ not in stored]
    return tuple(result[type_] for type_ in ordered)


def _cut(message: str) -> str:
    return message if len(message) <= MAXIMUM_MESSAGE else message[: MAXIMUM_MESSAGE - 1] + "…"


def _events(
    conditions: Sequence[Condition], stored: Mapping[str, Condition], components: Mapping[str, Component]
) -> tuple[Event, ...]:
    """Return Normal events for changes and Warnings for lasting faults; the recorder thins these out (OBJ-EVT-1)."""
    events = []
    for condition in conditions:
        name = condition.type.removesuffix(READY) or "Object"
        text = condition.message or f"{name} is {'ready' if condition.status == 'True' else 'not ready'}"
        warning = _is_fault(condition, components.get(condition.type))
        event = Event("Warning" if warning else "Normal", text, condition, stored.get(condition.type))
        if event.changed or warning:
            events.append(event)
    return tuple(events)


def _turn(condition: Condition) -> tuple[str, str]:
    """Return what has to differ for a condition to count as changed."""
    return condition.status, condition.reason


def _is_fault(condition: Condition, component: Component | None) -> bool:
    if condition.status == "True":
        return False
    if condition.type in _FRAMEWORK:
        return True
    if condition.type == READY:
        return condition.reason != Reason.PROGRESSING
    return component is not None and component.effective_state in (State.FAILED, State.DEGRADED, State.NOT_AVAILABLE)
