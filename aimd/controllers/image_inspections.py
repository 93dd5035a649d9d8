"""Inspection of images: the limit on concurrent requests, and the failures that are not repeated at once.

A registry that hangs must not take all workers of a controller. So concurrent inspections are limited: in total, for
each registry, for each namespace, and for each registry within a namespace. A model or template over a limit tries
again a second later, and places go first to namespaces that have none (MDL-INS-6).
"""

import random
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from anyio.to_thread import run_sync

from aimd.controllers.registry_access import (
    PERMANENT_BACKOFF,
    SECRET_BACKOFF,
    TRANSIENT_BACKOFF,
    Credentials,
    CredentialsMissing,
    PullSecrets,
)
from aimd.controllers.turns import Turns
from aimd.planning.image_inspection import Inspection, LabelsUnreadable, ProfilesOfImage
from aimd.planning.model.image_metadata import read_labels
from aimd.planning.needs import InspectImage
from aimd.planning.profiles import ProfilesRead, read_profiles
from aimd.registry.credentials import Keyring
from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.images import Inspection as ImageContent
from aimd.registry.reference import ImageReference, parse_reference
from aimd.runtime.objects import Key, Kind

MAX_CONCURRENT = 6
MAX_CONCURRENT_PER_REGISTRY = 3
MAX_CONCURRENT_PER_NAMESPACE = 3
MAX_CONCURRENT_PER_NAMESPACE_AND_REGISTRY = 2
"""Less than for the registry: one namespace leaves a place to others even if it asks for many large images."""
BUSY_SECONDS = 1.0
"""The pause of an object that is over the limit."""
KEPT_SECONDS = 300.0
"""How long an image without readable profiles is not asked again: its template may wait for the slot of a Job."""
MOST_PARSED = 256
"""Images whose profiles are kept: many templates ask about the same image."""


class ImageInspector(Protocol):
    """Reads labels and profile files of images; aimd.registry.cache.InspectionCache is one."""

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> ImageContent | RegistryFailure:
        """Return labels and profile files of an image, or why they cannot be read."""


@dataclass(frozen=True, slots=True)
class _Known:
    """An inspection that failed, or gave no profiles. It is not repeated before `until`, unless `need` changes."""

    need: InspectImage
    inspection: Inspection
    until: float
    attempts: int


class _Ticket(NamedTuple):
    """An inspection that runs or waits."""

    namespace: str
    registry: str
    kind: Kind
    owner: Key


class ImageInspections:
    """Inspects images for models and templates of both scopes."""

    def __init__(
        self,
        inspector: ImageInspector,
        secrets: PullSecrets,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._inspector = inspector
        self._secrets = secrets
        self._clock = clock
        self._jitter = jitter
        self._running: Counter[_Ticket] = Counter()
        """Concurrent inspections."""
        self._turns: Turns[_Ticket] = Turns(
            share=MAX_CONCURRENT_PER_NAMESPACE,
            kept=1,
            forget_seconds=5 * BUSY_SECONDS,
            namespace_of=lambda ticket: ticket.namespace,
        )
        self._known: dict[tuple[Kind, Key], _Known] = {}
        self._parsed: OrderedDict[str, ProfilesRead] = OrderedDict()
        """Profiles by digest of the image, the latest used last."""

    def forgetting(self, kind: Kind) -> Callable[[Key], None]:
        """Return what drops the knowledge about objects of this kind that no longer exist."""
        return lambda key: self.forget(kind, key)

    def forget(self, kind: Kind, key: Key) -> None:
        """Drop what is known about an object's image."""
        self._known.pop((kind, key), None)

    async def inspect(self, need: InspectImage) -> Inspection:
        """Return what an image says; within the pause after a failure, return that failure again."""
        known = self._known.get((need.kind, need.owner))
        if known is not None and known.need != need:
            known = None
        if known is not None and self._clock() < known.until:
            return self._pausing(known)
        reference = parse_reference(need.image)
        if isinstance(reference, RegistryFailure):
            inspection = Inspection(failure=reference)
        else:
            with self._limit(_Ticket(need.owner.namespace, reference.registry, need.kind, need.owner)) as allowed:
                if not allowed:
                    return replace(known.inspection if known else Inspection(), again_after=BUSY_SECONDS)
                inspection = await self._inspect(need, reference)
        if inspection.metadata is not None:
            self.forget(need.kind, need.owner)
            if inspection.profiles.read is not None:
                return inspection
            kept = self._known[need.kind, need.owner] = _Known(need, inspection, self._clock() + KEPT_SECONDS, 0)
            return self._pausing(kept)
        return self._remember(need, inspection, known.attempts + 1 if known is not None else 1)

    def _pausing(self, known: _Known) -> Inspection:
        """Return what is known, with the time until the next request, unless an answer that lasts is known."""
        lasts = known.inspection.metadata is not None and known.inspection.profiles.settled
        return known.inspection if lasts else replace(known.inspection, again_after=known.until - self._clock())

    async def _inspect(self, need: InspectImage, reference: ImageReference) -> Inspection:
        try:
            credentials = await self._secrets.credentials(
                need.owner.namespace, need.pull_secrets, need.service_account, need.shared_pull_secrets
            )
        except CredentialsMissing as problem:
            return Inspection(secret=problem.failure)
        if isinstance(credentials, RegistryFailure):
            return Inspection(failure=credentials)
        answer = await self._inspector.inspect(reference, credentials.keyring)
        if isinstance(answer, RegistryFailure):
            return _refused(answer, credentials)
        read, profiles = read_labels(answer.labels, answer.env), await self._profiles(answer)
        if isinstance(read, LabelsUnreadable):
            return Inspection(unreadable=read, profiles=profiles)
        return Inspection(read.metadata, profiles)

    async def _profiles(self, content: ImageContent) -> ProfilesOfImage:
        """Return the profiles of an image; its files are parsed once, since a digest always means the same content.

        They are parsed in a thread, because the largest that are accepted take a third of a second.
        """
        found = content.profiles
        if not (found.files or found.remarks):
            return ProfilesOfImage(None, found.unreadable, content.digest, content.settled)
        read = self._parsed.get(content.digest)
        if read is None:
            parsed = await run_sync(read_profiles, found.files, content.env)
            read = self._parsed[content.digest] = replace(parsed, rejected=(*found.remarks, *parsed.rejected))
            if len(self._parsed) > MOST_PARSED:
                self._parsed.popitem(last=False)
        self._parsed.move_to_end(content.digest)
        return ProfilesOfImage(read, digest=content.digest)

    def _remember(self, need: InspectImage, inspection: Inspection, attempts: int) -> Inspection:
        first, longest = _backoff(inspection)
        pause = min(first * 2 ** min(attempts - 1, 10), longest) * (0.9 + 0.2 * self._jitter())
        retry_after = inspection.failure.retry_after if inspection.failure is not None else None
        pause = max(pause, min(retry_after or 0.0, PERMANENT_BACKOFF[1]))
        inspection = replace(inspection, attempts=attempts)
        self._known[need.kind, need.owner] = _Known(need, inspection, self._clock() + pause, attempts)
        return replace(inspection, again_after=pause)

    @contextmanager
    def _limit(self, ticket: _Ticket) -> Iterator[bool]:
        """Yield whether one more inspection may run now, and count it while it runs (MDL-INS-6)."""
        if not self._may_run(ticket):
            yield False
            return
        self._running[ticket] += 1
        try:
            yield True
        finally:
            self._running[ticket] -= 1
            self._running += Counter()  # Drops those at zero.

    def _may_run(self, ticket: _Ticket) -> bool:
        holders = tuple(self._running.elements())
        same_registry = [other for other in holders if other.registry == ticket.registry]
        own = sum(other.namespace == ticket.namespace for other in same_registry)
        if len(same_registry) >= MAX_CONCURRENT_PER_REGISTRY or own >= MAX_CONCURRENT_PER_NAMESPACE_AND_REGISTRY:
            self._turns.leave(ticket)  # It waits for its registry, and takes no turn of others.
            return False
        self._turns.ask(ticket, self._clock())
        if ticket not in self._turns.next(MAX_CONCURRENT, holders):
            return False
        self._turns.take(ticket)
        return True


def _refused(failure: RegistryFailure, credentials: Credentials) -> Inspection:
    """Return the refusal of a registry; it names the missing optional Secrets, since one of them may be the cause."""
    if failure.problem is not Problem.AUTH or not credentials.missing:
        return Inspection(failure=failure)
    names = ", ".join(credentials.missing)
    text = f"{failure.message}. These pull secrets of services, templates or the service account are missing: {names}"
    return Inspection(failure=replace(failure, message=text), awaits_secret=True)


def _backoff(inspection: Inspection) -> tuple[float, float]:
    if inspection.secret is not None or inspection.awaits_secret:
        return SECRET_BACKOFF
    transient = inspection.failure is not None and inspection.failure.transient
    return TRANSIENT_BACKOFF if transient else PERMANENT_BACKOFF
