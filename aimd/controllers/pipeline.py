"""One reconcile, the same for every kind: observe → plan → apply → summarize → report (docs/architecture.md).

A kind's controller is a `Definition`: what it watches, how it observes, which plan is its own. Pausing, finalizers,
live reads, gates, status, Events and retries are here, once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import structlog
from anyio.lowlevel import checkpoint
from pydantic import ValidationError

from aimd.api.core import ApiObject
from aimd.api.reasons import Reason
from aimd.api.shared import CommonCondition
from aimd.controllers.predicates import intent_changed
from aimd.controllers.reader import Reader
from aimd.controllers.reads import LiveReads
from aimd.controllers.relation import AnyTie, informers_of, watches_of
from aimd.planning.component import Component, Direction, State, may_apply
from aimd.planning.conditions import Event, Summary, summarize
from aimd.planning.kinds import MODELS
from aimd.planning.labels import PAUSED_ANNOTATION, made_by, made_for
from aimd.planning.needs import NO_READS, Reads
from aimd.planning.objects import annotations_of, conditions_of, generation_of, is_being_deleted, status_word
from aimd.planning.plan import Plan
from aimd.planning.status_size import bounded, remarked, without_refused
from aimd.planning.unreadable import problem_of
from aimd.runtime.apply import Applier
from aimd.runtime.client import Client
from aimd.runtime.controller import Runnable, Watch
from aimd.runtime.errors import Forbidden, Invalid, NotFound
from aimd.runtime.events import EventRecorder
from aimd.runtime.finalizers import add_finalizer, remove_finalizer
from aimd.runtime.handlers import for_object
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import (
    Applied,
    Category,
    Condition,
    Deletion,
    Desired,
    Failure,
    Key,
    Kind,
    Manifest,
    Request,
    Result,
    key_of,
    metadata_of,
    uid_of,
)
from aimd.runtime.ownership import Owner
from aimd.runtime.predicates import Predicate
from aimd.runtime.status import StatusWriter
from aimd.runtime.store import Cache

NAME_TAKEN_SECONDS = 15.0
"""Interval at which a name is tried again that an object of somebody else has."""

READ_ROUNDS = 5
"""Times that a plan may ask for live reads in one reconcile; a plan that asks on is a mistake in the program."""

Clock = Callable[[], datetime]
_log = structlog.get_logger()


def utc_now() -> datetime:
    """Return the current moment, UTC."""
    return datetime.now(UTC)


ObjectT = TypeVar("ObjectT", bound=ApiObject)
ObservedT = TypeVar("ObservedT")


def _nothing(_obj: Any, _reader: Reader) -> Iterable[Sequence[Deletion]]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Definition(Generic[ObjectT, ObservedT]):
    """What makes the controller of one kind.

    `observe` collects what the decision depends on by lookups in the cache: the parsed object, its manifest, the typed
    cache, and the live reads that the plan asked for. `plan` decides; pure and total. `ties` are the relations to other
    kinds and `informers` say what of each kind is watched; `own_changes` filters changes of the object itself.

    `on_deletion` gives what has to be deleted before `finalizer` is removed, in batches: other work of the process goes
    on between two of them (OBJ-BND-1). `status_word` renders a state as
    `status.status`; None for a kind without that field. `forget` is called with keys that no longer exist.
    """

    name: str
    kind: Kind
    observe: Callable[[ObjectT, Manifest, Reader, Reads], ObservedT]
    plan: Callable[[ObservedT, datetime], Plan]
    informers: Sequence[Informer]
    ties: Sequence[AnyTie] = ()
    own_changes: Predicate = intent_changed
    other_watches: Sequence[Watch] = ()
    finalizer: str = ""
    on_deletion: Callable[[ObjectT, Reader], Iterable[Sequence[Deletion]]] = _nothing
    status_word: Callable[[State], str] | None = str
    forget: Callable[[Key], None] | None = None
    workers: int = 8


class KindReconciler(Generic[ObjectT, ObservedT]):
    """Reconciles the objects of one kind by its definition.

    Level-based: a reconcile looks at what there is, not at what has changed, so that running it twice gives the same.
    Raises what the client raises; the controller of the runtime logs it and retries with back-off.
    """

    def __init__(
        self,
        definition: Definition[ObjectT, ObservedT],
        client: Client,
        cache: Cache,
        reads: LiveReads,
        clock: Clock = utc_now,
    ) -> None:
        self.definition = definition
        self.workers = definition.workers
        """How many objects are reconciled at once."""
        self._client = client
        self._cache = cache
        self._reader = Reader(cache)
        self._reads = reads
        self._clock = clock
        self._applier = Applier(client, cache, self.field_manager)
        self._status = StatusWriter(client, cache, self.field_manager)
        self._events = EventRecorder(client, self.field_manager)

    @property
    def name(self) -> str:
        """The name in logs and metrics."""
        return self.definition.name

    @property
    def kind(self) -> Kind:
        """The kind that is reconciled."""
        return self.definition.kind

    @property
    def runnables(self) -> Sequence[Runnable]:
        """What runs beside the workers: the writing of Events."""
        return (self._events,)

    @property
    def field_manager(self) -> str:
        """Field manager, Event source and `managed-by` of this controller, as the reference names them."""
        return f"aim-{self.name}-controller"

    @property
    def informers(self) -> Sequence[Informer]:
        """The informers this controller reads."""
        return informers_of(self.definition.ties, self._reader, self.definition.informers)

    @property
    def watches(self) -> Sequence[Watch]:
        """Which changes wake which keys."""
        own = Watch(self.kind, for_object, self.definition.own_changes)
        return (own, *watches_of(self.definition.ties), *self.definition.other_watches)

    async def reconcile(self, request: Request) -> Result:
        """Bring one object closer to its desired state (OBJ-APL-6)."""
        live = self._cache[self.kind].get(request.key)
        if live is None:
            if self.definition.forget is not None:
                self.definition.forget(request.key)
            return Result()
        if is_being_deleted(live):
            return await self._finalize(live)
        finalizer = self.definition.finalizer
        if finalizer and finalizer not in (metadata_of(live).get("finalizers") or ()):
            live = await add_finalizer(self._client, self.kind, live, finalizer)
        if annotations_of(live).get(PAUSED_ANNOTATION) == "true":
            return Result()
        try:
            return await self._converge(live)
        finally:
            self._reads.release(self.kind, request.key)

    async def _converge(self, live: Manifest) -> Result:
        now = self._clock()
        plan = await self.decide(live, now)
        allowed = may_apply(plan.components)
        applied = await self._apply(live, plan.desired, plan.deletions) if allowed else Applied()
        summary = summarize(
            plan.components,
            applied=applied,
            previous=conditions_of(live),
            generation=generation_of(live),
            now=now,
            extra_conditions=plan.extra_conditions,
        )
        reported = await self._report(live, plan, summary)
        return Result(_requeue_after(plan, applied), retry=summary.retry or not reported, written=applied.written)

    async def _apply(self, live: Manifest, desired: Sequence[Desired], deletions: Sequence[Deletion]) -> Applied:
        """Write and delete for the object what is its own (OBJ-OWN-1)."""
        key, controller = key_of(live), self.definition.name
        marks, shared = made_for(controller, key.name), made_by(controller)
        return await self._applier.apply(
            desired, deletions, Owner(self.kind.name, key.name, uid_of(live), marks=marks, shared=shared)
        )

    async def decide(self, live: Manifest, now: datetime) -> Plan:
        """Return the plan of an object; asks for live reads until the plan needs no more of them."""
        obj = self._parse(live)
        if isinstance(obj, Plan):
            return obj
        reads = NO_READS
        for _ in range(READ_ROUNDS):
            plan = self.definition.plan(self.definition.observe(obj, live, self._reader, reads), now)
            if all(need in reads for need in plan.needs):
                return plan
            reads = await self._reads.read(reads, plan.needs)
        raise RuntimeError(f"the plan of {self.kind.name} {key_of(live)} asks for ever more live reads")

    def _parse(self, live: Manifest) -> ObjectT | Plan:
        """Return the object, or the plan that only says why it cannot be used (OBJ-APL-7, OBJ-BND-2)."""
        model = MODELS[self.kind]
        try:
            obj: ObjectT = self._cache.parse(model, live)  # type: ignore[assignment]  # MODELS has the kind's own model
        except ValidationError as error:
            return _only_says(Reason.INVALID_SPEC, problem_of(error))
        return _only_says(Reason.SPEC_TOO_LARGE, obj.excess) if obj.excess else obj

    async def _report(self, live: Manifest, plan: Plan, summary: Summary) -> bool:
        """Write the status and Events; return whether the status could be written."""
        status: dict[str, Any] = {**plan.status, "observedGeneration": generation_of(live)}
        if self.definition.status_word is not None:
            status["status"] = self.definition.status_word(summary.state)
        fitting, cut = bounded(status)
        status = fitting | {"conditions": [_render(remarked(condition, cut)) for condition in summary.conditions]}
        reported = await self._write_status(live, status)
        _log_status(status_word(live), str(status.get("status") or ""))
        for event in summary.events:
            if event.changed:
                _log_condition(event)
            self._events.submit(self.kind, live, type=event.type, reason=event.reason, message=event.message)
        return reported

    async def _write_status(self, live: Manifest, status: Manifest) -> bool:
        """Write the status, without fields that the API server finds invalid; return whether that was possible.

        A status is refused as a whole. What was tried must be in it all the same, or it would be tried for ever
        (OBJ-TEN-3); and an object whose spec the API server finds invalid by now is reported by Events alone.
        """
        try:
            await self._status.write(self.kind, live, status)
        except Invalid as error:
            accepted = without_refused(status, error.message)
            _log.warning("status refused", left_out=sorted(status.keys() - accepted.keys()), error=error.message)
            if len(accepted) == len(status):
                return False
            await self._status.write(self.kind, live, accepted)
        return True

    async def _finalize(self, live: Manifest) -> Result:
        """Delete what goes with the object, then let it go; a refusal for lack of rights does not hold it."""
        finalizer = self.definition.finalizer
        if finalizer not in (metadata_of(live).get("finalizers") or ()):
            return Result()
        obj = self._parse(live)
        if not isinstance(obj, Plan) and not await self._is_ending(key_of(live).namespace):
            for deletions in self.definition.on_deletion(obj, self._reader):
                applied = await self._apply(live, (), deletions)
                if any(failure.category is not Category.AUTH for _, _, failure in applied.failures):
                    return Result(retry=True)
                await checkpoint()
        await remove_finalizer(self._client, self.kind, live, finalizer)
        return Result()

    async def _is_ending(self, namespace: str) -> bool:
        """Return whether the namespace is being deleted or cannot be read: then its objects go with it (TC-DEL-2)."""
        try:
            live = await self._client.get(NAMESPACE, Key("", namespace))
        except (NotFound, Forbidden):
            return True
        return is_being_deleted(live)


def _requeue_after(plan: Plan, applied: Applied) -> float | None:
    """Return when to reconcile again; the deletion of an object of another owner causes no reconcile (OBJ-OWN-1)."""
    taken = any(failure.reason == Reason.NAME_TAKEN for _, _, failure in applied.failures)
    waits = (plan.requeue_after, NAME_TAKEN_SECONDS if taken else None)
    return min((seconds for seconds in waits if seconds is not None), default=None)


def _only_says(reason: Reason, problem: str) -> Plan:
    failure = Failure(Category.INVALID_SPEC, reason, problem)
    return Plan(components=(Component.blocked(CommonCondition.SPEC_READY, failure, Direction.UNSPECIFIED),))


def _log_status(before: str, after: str) -> None:
    """Log a change of the status word: a user's trouble is a warning, errors are the operator's own (OPS-LOG-1)."""
    if after not in ("", before):
        log = _log.warning if after in ("Failed", "Degraded", "NotAvailable") else _log.info
        log("status changed", **{"from": before, "to": after})


def _log_condition(event: Event) -> None:
    log = _log.warning if event.type == "Warning" else _log.info
    before, now = event.before, event.condition
    turn = {"from": f"{before.status}/{before.reason}" if before else "", "to": f"{now.status}/{now.reason}"}
    log("condition changed", condition=now.type, status=now.status, reason=now.reason, message=event.message, **turn)


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
