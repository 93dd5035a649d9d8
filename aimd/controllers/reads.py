"""Live reads: what is not worth caching is read when a plan needs it (aimd.planning.needs).

A read that fails gives the value Refused, so that the plan can decide without it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from aimd.planning.needs import (
    MOST_LIVE_READS,
    DiscoverySlot,
    InspectImage,
    ListImages,
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
from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, Forbidden, NotFound
from aimd.runtime.kinds import EVENT
from aimd.runtime.objects import Key, Kind, metadata_of, uid_of
from aimd.runtime.store import Cache

_LIMITED = (ReadLog, ReadEvents, ReadObject, ReadReference)
_TOO_MANY = Refused(f"not read: one pass reads at most {MOST_LIVE_READS} objects")
Answers = Mapping[type[Any], Callable[[Any], Awaitable[Any]]]
_log = structlog.get_logger()


class LiveReads:
    """Answers needs: from the API server and the cache itself, and other types of needs by `answers`.

    `release` is called at the end of each reconcile, to give back what was granted during it.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        answers: Answers,
        release: Callable[[Kind, Key], None],
    ) -> None:
        self._client = client
        self._cache = cache
        self._answers = answers
        self.release = release

    async def read(self, known: Reads, needs: tuple[Need, ...]) -> Reads:
        """Return `known` with answers to those needs that have none; one after the other.

        What a plan can do without is refused beyond the limit of one pass (OBJ-BND-3).
        """
        answers: dict[Need, Any] = dict(known.answers)
        done = sum(isinstance(need, _LIMITED) for need in answers)
        for need in needs:
            if need in answers:
                continue
            done += isinstance(need, _LIMITED)
            answers[need] = (
                _TOO_MANY if isinstance(need, _LIMITED) and done > MOST_LIVE_READS else await self._read(need)
            )
        return Reads(answers)

    async def _read(self, need: Need) -> Any:
        match need:
            case ReadLog():
                return await self._log(need)
            case ReadEvents():
                return await self._events(need)
            case ReadObject():
                return await self._object(need)
            case ReadList():
                return tuple(
                    await self._client.list(need.kind, namespace=need.namespace, label_selector=need.label_selector)
                )
            case ReadReference():
                return await self._reference(need)
            case Lookup():
                return self._cache[need.kind].get(need.key)
            case DiscoverySlot() | InspectImage() | ListImages():
                return await self._answers[type(need)](need)

    async def _log(self, need: ReadLog) -> str | Refused:
        try:
            return await self._client.logs(
                need.pod, container=need.container, tail_lines=need.lines, limit_bytes=need.limit_bytes
            )
        except (NotFound, Forbidden) as error:
            return self._refused(need, error)
        except ApiError as error:
            if need.required:
                raise
            return self._refused(need, error)

    async def _events(self, need: ReadEvents) -> tuple[Any, ...] | Refused:
        selector = f"involvedObject.uid={need.uid}"
        try:
            return tuple(await self._client.list(EVENT, namespace=need.about.namespace, field_selector=selector))
        except ApiError as error:
            return self._refused(need, error)

    async def _object(self, need: ReadObject) -> Any:
        try:
            return await self._client.get(need.kind, need.key)
        except ApiError as error:
            return self._refused(need, error)

    async def _reference(self, need: ReadReference) -> Reference | Refused:
        try:
            found = await self._client.get(need.kind, need.object)
        except NotFound:
            return Reference(exists=False)
        except ApiError as error:
            return self._refused(need, error)
        present = {**(found.get("data") or {}), **(found.get("binaryData") or {})}
        missing = tuple(key for key in need.keys if key not in present)
        version = f"{uid_of(found)}/{metadata_of(found).get('resourceVersion')}"
        return Reference(exists=True, missing_keys=missing, version=version)

    def _refused(self, need: Need, error: ApiError) -> Refused:
        _log.debug("live read refused", need=str(need), error=str(error))
        return Refused(error.message, missing=isinstance(error, NotFound))
