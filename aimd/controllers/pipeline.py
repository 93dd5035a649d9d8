"""One reconcile, the same for every kind: observe → plan → apply → summarize → report (docs/architecture.md).

A kind's controller says what it watches, how it observes and which plan is its own; pausing, finalizers, gates,
status, events and retries live here once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from pydantic import ValidationError

from aimd.api.core import ApiObject
from aimd.api.reasons import Reason
from aimd.api.shared import CommonCondition
from aimd.planning.component import Component, State, may_apply
from aimd.planning.conditions import Event, Summary, summarize
from aimd.planning.plan import Plan
from aimd.runtime.apply import Applier
from aimd.runtime.client import Client
from aimd.runtime.controller import Runnable, Watch
from aimd.runtime.events import EventRecorder
from aimd.runtime.finalizers import add_finalizer, remove_finalizer
from aimd.runtime.informer import Informer
from aimd.runtime.objects import (
    Applied,
    Category,
    Condition,
    Failure,
    Kind,
    Manifest,
    Request,
    Result,
    metadata_of,
)
from aimd.runtime.status import StatusWriter
from aimd.runtime.store import Cache

PAUSED = "aim.eai.amd.com/reconciliation-paused"

Clock = Callable[[], datetime]
_log = structlog.get_logger()


def utc_now() -> datetime:
    """The current moment, UTC."""
    return datetime.now(UTC)


ObjectT = TypeVar("ObjectT", bound=ApiObject)
ObservedT = TypeVar("ObservedT")


class KindReconciler(ABC, Generic[ObjectT, ObservedT]):
    """Reconciles one kind.

    Subclasses name the kind and its watches, `observe` it from the cache (and rare, named live reads) and `plan`
    it purely; `finalize` is asked before the finalizer goes.
    """

    name: ClassVar[str]
    finalizer: ClassVar[str] = ""
    has_status_word: ClassVar[bool] = True
    workers: int = 8

    def __init__(self, client: Client, cache: Cache, kind: Kind, model: type[ObjectT], clock: Clock = utc_now) -> None:
        self.client = client
        self.cache = cache
        self.kind = kind
        self.model = model
        self.clock = clock
        self._applier = Applier(client, cache, self.field_manager)
        self._status = StatusWriter(client, cache, self.field_manager)
        self._events = EventRecorder(client, self.field_manager)

    @property
    def runnables(self) -> Sequence[Runnable]:
        """What runs beside the workers: the writing of events."""
        return (self._events,)

    @property
    def field_manager(self) -> str:
        """Field manager, event source and `managed-by` of this controller, as the reference names them."""
        return f"aim-{self.name}-controller"

    @property
    @abstractmethod
    def informers(self) -> Sequence[Informer]:
        """The informers this controller reads."""

    @property
    @abstractmethod
    def watches(self) -> Sequence[Watch]:
        """Which changes wake which keys."""

    @abstractmethod
    async def observe(self, obj: ObjectT) -> ObservedT:
        """Everything the decision needs; missing and forbidden are values."""

    @abstractmethod
    def plan(self, observed: ObservedT, now: datetime) -> Plan:
        """The decision; pure and total."""

    async def finalize(self, obj: ObjectT) -> bool:
        """Cleans up before the object goes; False when it must be asked again."""
        return True

    def status_word(self, state: State) -> str:
        """The state as this kind's `status.status` shows it."""
        return str(state)

    async def reconcile(self, request: Request) -> Result:
        """One turn of one object (OBJ-APL-6)."""
        live = self.cache[self.kind].get(request.key)
        if live is None:
            return Result()
        if metadata_of(live).get("deletionTimestamp"):
            return await self._finalize(live)
        if self.finalizer and self.finalizer not in (metadata_of(live).get("finalizers") or ()):
            live = await add_finalizer(self.client, self.kind, live, self.finalizer)
        if (metadata_of(live).get("annotations") or {}).get(PAUSED) == "true":
            return Result()
        return await self._converge(live)

    async def _converge(self, live: Manifest) -> Result:
        now = self.clock()
        plan = await self._decide(live, now)
        allowed = may_apply(plan.components)
        applied = await self._applier.apply(plan.desired, plan.deletions) if allowed else Applied()
        previous = _stored_conditions(live)
        summary = summarize(
            plan.components,
            applied=applied,
            previous=previous,
            generation=int(metadata_of(live).get("generation") or 0),
            now=now,
            extra_conditions=plan.extra_conditions,
            sticky=plan.sticky,
        )
        await self._report(live, plan, summary)
        return Result(requeue_after=plan.requeue_after, retry=summary.retry, written=applied.written)

    async def _decide(self, live: Manifest, now: datetime) -> Plan:
        try:
            obj = self.cache.parse(self.model, live)
        except ValidationError as error:
            return _unreadable(error)
        return self.plan(await self.observe(obj), now)

    async def _report(self, live: Manifest, plan: Plan, summary: Summary) -> None:
        status: dict[str, Any] = {
            **plan.status,
            "status": self.status_word(summary.state),
            "observedGeneration": int(metadata_of(live).get("generation") or 0),
            "conditions": [_render(condition) for condition in summary.conditions],
        }
        if not self.has_status_word:
            del status["status"]
        await self._status.write(self.kind, live, status)
        _tell_status(str((live.get("status") or {}).get("status") or ""), str(status.get("status") or ""))
        for event in summary.events:
            if event.changed:
                _tell_condition(event)
            self._events.submit(self.kind, live, type=event.type, reason=event.reason, message=event.message)

    async def _finalize(self, live: Manifest) -> Result:
        if self.finalizer not in (metadata_of(live).get("finalizers") or ()):
            return Result()
        try:
            done = await self.finalize(self.cache.parse(self.model, live))
        except ValidationError:
            done = True
        if not done:
            return Result(retry=True)
        await remove_finalizer(self.client, self.kind, live, self.finalizer)
        return Result()


def _tell_status(before: str, after: str) -> None:
    """A user's trouble is a warning; errors are the operator's own (OPS-LOG-1)."""
    if after not in ("", before):
        log = _log.warning if after in ("Failed", "Degraded", "NotAvailable") else _log.info
        log("status changed", **{"from": before, "to": after})


def _tell_condition(event: Event) -> None:
    log = _log.warning if event.type == "Warning" else _log.info
    before, now = event.before, event.condition
    turn = {"from": f"{before.status}/{before.reason}" if before else "", "to": f"{now.status}/{now.reason}"}
    log("condition changed", condition=now.type, status=now.status, reason=now.reason, message=event.message, **turn)


def _unreadable(error: ValidationError) -> Plan:
    """The plan for an object that cannot be parsed: nothing but saying so (OBJ-APL-7)."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    failure = Failure(Category.INVALID_SPEC, Reason.INVALID_SPEC, f"{where}: {first['msg']}; correct this field")
    return Plan(components=(Component(CommonCondition.SPEC_READY, failures=(failure,), blocks_apply=True),))


def _stored_conditions(live: Mapping[str, Any]) -> tuple[Condition, ...]:
    stored = (live.get("status") or {}).get("conditions") or ()
    return tuple(
        Condition(
            type=item.get("type", ""),
            status=item.get("status", ""),
            reason=item.get("reason", ""),
            message=item.get("message", ""),
            last_transition_time=item.get("lastTransitionTime", ""),
            observed_generation=item.get("observedGeneration"),
        )
        for item in stored
    )


def _render(condition: Condition) -> Manifest:
    rendered: Manifest = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.last_transition_time,
    }
    if condition.observed_generation is not None:
        rendered["observedGeneration"] = condition.observed_generation
    return rendered
