"""The client: verbs on kinds and keys, with retries where a repetition is harmless."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

import anyio
import structlog

from aimd.runtime import errors
from aimd.runtime.client import wire
from aimd.runtime.client.credentials import TokenSource
from aimd.runtime.client.session import ClientOptions, Session, open_session
from aimd.runtime.client.wire import Call, Page, Patch, Response, Selection, WatchStream
from aimd.runtime.errors import ApiError, WritesSuspended
from aimd.runtime.jitter import jitter
from aimd.runtime.kinds import POD
from aimd.runtime.metrics import ClientMetrics
from aimd.runtime.objects import Key, Kind, Manifest, key_of, metadata_of, uid_of

_UNCLEAR = (errors.Unavailable, errors.ServerTimeout, errors.ConnectionFailed, errors.RequestTimeout)
"""The server may have carried the request out."""

_log = structlog.get_logger()


class WriteObserver(Protocol):
    """Called for every write that succeeded, before the write returns."""

    def written(self, kind: Kind, manifest: Manifest) -> None:
        """Handle an object that was written, as the server stored it."""

    def deleted(self, kind: Kind, key: Key, uid: str) -> None:
        """Handle an object that was deleted; `uid` is empty if the server didn't return it."""


class Client:
    """Access to the API server.

    Guarantees:
    - Every request has a deadline. A request is sent again only if the server didn't process it, or if a repetition is
      harmless; never after a 500, a 403 or a conflict.
    - Every write has a reason, and is counted by it in `<prefix>_api_writes_total`.
    - Observers get the server's response to a write before the write returns.
    - Nothing is written while `fence` returns False.

    Caveats:
    - After RequestTimeout or ConnectionFailed it is unknown whether a write was carried out.
    - With `ClientOptions.dry_run` observers are not called.

    Errors:
    - Every method raises only ApiError and its subclasses; all may raise Forbidden, Unauthorized, RequestTimeout,
      ConnectionFailed, Unavailable, TooManyRequests. Docstrings name what else to expect.
    """

    def __init__(
        self, unary: Session, watching: Session, tokens: TokenSource, options: ClientOptions, metrics: ClientMetrics
    ) -> None:
        self.options = options
        self.metrics = metrics
        self.observers: list[WriteObserver] = []
        """Called for every write, in order."""
        self.fence: Callable[[], bool] = lambda: True
        """Returns whether this process may write now."""
        self._unary = unary
        self._watching = watching
        self._tokens = tokens
        self._limiter = anyio.CapacityLimiter(options.max_concurrent_requests)
        self._warnings: set[str] = set()

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return self._unary.server

    # Reading

    async def get(self, kind: Kind, key: Key) -> Manifest:
        """Read an object from the server. Raises NotFound."""
        return (await self._call(Call("GET", kind, key.namespace, key.name))).manifest()

    async def list(
        self, kind: Kind, *, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> list[Manifest]:
        """List all objects that match, over all pages; an empty `namespace` means all namespaces."""
        selection = Selection(kind, namespace, label_selector, field_selector)
        page = await self.list_page(selection)
        items = page.items
        while page.continue_token:
            page = await self.list_page(selection, continue_token=page.continue_token)
            items.extend(page.items)
        return items

    async def list_page(self, selection: Selection, *, continue_token: str = "", limit: int = 250) -> Page:
        """Read one page of a list; the first one shows the server's newest state. Raises Gone if the token expired.

        Nothing else runs while a page is decoded: 250 pods take 30 ms on a slow core.
        """
        kind = selection.kind
        params = {**selection.parameters(), "limit": str(limit)}
        if continue_token:
            params["continue"] = continue_token
        accept = wire.METADATA_LIST if selection.metadata_only else wire.JSON
        response = await self._call(Call("GET", kind, selection.namespace, params=params, accept=accept))
        listed = await wire.decode_list(response.body)
        items, api_version, name = listed.get("items") or [], kind.api_version, kind.name
        for item in items:
            item["apiVersion"], item["kind"] = api_version, name
        metadata = listed.get("metadata") or {}
        return Page(items, str(metadata.get("resourceVersion") or ""), str(metadata.get("continue") or ""))

    async def logs(self, pod: Key, *, container: str = "", tail_lines: int = 50, limit_bytes: int = 0) -> str:
        """Read the last lines of a container's log; of these the first `limit_bytes`, if set. Raises NotFound."""
        params = {"tailLines": str(tail_lines)} | ({"container": container} if container else {})
        params |= {"limitBytes": str(limit_bytes)} if limit_bytes else {}
        response = await self._call(Call("GET", POD, pod.namespace, pod.name, "log", params, accept="*/*"))
        response.check()
        return response.body.decode(errors="replace")

    @asynccontextmanager
    async def watch(
        self, selection: Selection, resource_version: str, *, idle_timeout: float = 75.0
    ) -> AsyncIterator[WatchStream]:
        """Watch for changes after `resource_version`, with bookmarks; the server ends the stream after 5 to 10 minutes.

        Without a version the stream starts with every object as ADDED and a bookmark that ends this list; a server that
        doesn't support this responds with 400 or 422. Raises RequestTimeout after `idle_timeout` seconds of silence,
        ConnectionFailed if the stream breaks, Gone if the version is too old.
        """
        params = selection.parameters() | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(int(jitter(300, 600))),
        }
        if not resource_version:
            params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        accept = wire.METADATA if selection.metadata_only else wire.JSON
        token = self._tokens.header()
        call = Call("GET", selection.kind, selection.namespace, params=params, accept=accept)
        async with self._watching.stream(call, token, idle_timeout) as stream:
            if isinstance(stream, WatchStream):
                yield stream
                return
        if stream.status == 401:
            await self._tokens.refresh(token)
        raise stream.error()

    async def ask(self, kind: Kind, question: Manifest) -> Manifest:
        """Post an object that is answered but not stored, such as a TokenReview; standbys may do that, too."""
        return (await self._call(Call("POST", kind, body=question))).manifest()

    # Writing

    async def create(self, kind: Kind, manifest: Manifest, *, reason: str, field_manager: str = "") -> Manifest:
        """Create an object and return it as stored. Raises AlreadyExists, Invalid."""
        namespace, params = key_of(manifest).namespace, _manager(field_manager)
        call = Call("POST", kind, namespace, "", "", params, manifest, verb="create", reason=reason)
        return await self._write(replace(call, repeatable=False))

    async def apply(self, kind: Kind, manifest: Manifest, *, field_manager: str, reason: str) -> Manifest:
        """Apply an object (server-side, forced) and return it as stored.

        Raises Invalid; with `metadata.resourceVersion`, Conflict if the object has changed.
        """
        params = {**_manager(field_manager), "force": "true"}
        key = key_of(manifest)
        call = Call("PATCH", kind, key.namespace, key.name, "", params, manifest, verb="apply", reason=reason)
        return await self._write(replace(call, content_type=wire.APPLY_PATCH))

    async def patch(  # noqa: PLR0913  A patch has these parts.
        self, kind: Kind, key: Key, body: Patch, *, reason: str, subresource: str = "", field_manager: str = ""
    ) -> Manifest:
        """Patch an object and return it as stored. Raises NotFound, Invalid, Conflict."""
        where = (kind, key.namespace, key.name, subresource)
        call = Call("PATCH", *where, _manager(field_manager), body, wire.MERGE_PATCH, verb="patch", reason=reason)
        if isinstance(body, list):
            call = replace(call, content_type=wire.JSON_PATCH, repeatable=False)
        return await self._write(call)

    async def replace(self, kind: Kind, manifest: Manifest, *, reason: str, subresource: str = "") -> Manifest:
        """Replace an object and return it as stored. Raises NotFound, and Conflict if it has changed."""
        key = key_of(manifest)
        call = Call("PUT", kind, key.namespace, key.name, subresource, {}, manifest, verb="update", reason=reason)
        return await self._write(call)

    async def delete(  # noqa: PLR0913  Kubernetes' delete options.
        self,
        kind: Kind,
        key: Key,
        *,
        reason: str,
        uid: str = "",
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        """Delete an object. Raises NotFound; with `uid`, Conflict if the name belongs to another object."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if self.options.dry_run:
            options["dryRun"] = ["All"]  # The server reads options from the body or the query, not from both.
        call = Call("DELETE", kind, key.namespace, key.name, body=options, verb="delete", reason=reason)
        deleted = (await self._call(call)).manifest()
        if self.options.dry_run:
            return
        if metadata_of(deleted).get("deletionTimestamp"):
            self._observe(kind, deleted)
            return
        # It is gone. For some kinds the server returns a `Status`, for others the object as it was.
        gone = uid or uid_of(deleted) or str((deleted.get("details") or {}).get("uid") or "")
        for observer in self.observers:
            observer.deleted(kind, key, gone)

    @asynccontextmanager
    async def separate(self, request_timeout: float) -> AsyncIterator["Client"]:
        """Yield a client with connections of its own, without fence, observers and retries: for leader election."""
        options = replace(self.options, request_timeout=request_timeout, max_attempts=1, max_concurrent_requests=2)
        session = self._unary.sibling(options, options.max_concurrent_requests)
        try:
            yield Client(session, self._watching, self._tokens, options, self.metrics)
        finally:
            await session.aclose()

    # Internals

    async def _write(self, call: Call) -> Manifest:
        if self.options.dry_run:
            return (await self._call(replace(call, params={**call.params, "dryRun": "All"}))).manifest()
        stored = (await self._call(call)).manifest()
        self._observe(call.kind, stored)
        return stored

    def _observe(self, kind: Kind, stored: Manifest) -> None:
        """Call the observers, if the server returned the object and not a `Status`."""
        if stored.get("kind") == kind.name:
            for observer in self.observers:
                observer.written(kind, stored)

    async def _call(self, call: Call) -> Response:
        attempt = 1
        while True:
            try:
                return await self._attempt(call)
            except ApiError as error:
                delay = self._retry_delay(call, error, attempt)
                if delay is None:
                    raise
                attempt += 1
                code = str(error.status) if error.status else "<error>"
                self.metrics.retries.labels(code, call.method, self._unary.host).inc()
                await anyio.sleep(delay)

    async def _attempt(self, call: Call) -> Response:
        """Send the call; once more if the token has expired."""
        async with self._limiter:
            token = self._tokens.header()
            response = await self._send(call, token)
            if response.status == 401 and await self._tokens.refresh(token):
                response = await self._send(call, self._tokens.header())
        for warning in response.warnings:
            self._warn(call, warning)
        response.check()
        return response

    async def _send(self, call: Call, token: dict[str, str]) -> Response:
        if call.verb:
            if not self.fence():
                raise WritesSuspended(f"{call.verb} of {call.kind} not sent: this process does not hold the lease")
            self.metrics.writes.labels(call.kind.name, call.verb, call.reason).inc()
        name = f"{call.verb or call.method.lower()} {call.kind}"
        with self.options.tracer.request(name, call.fields) as set_attribute:
            response = await self._unary.send(call, token)
            set_attribute("http.response.status_code", response.status)
            return response

    def _retry_delay(self, call: Call, error: ApiError, attempt: int) -> float | None:
        """Return the seconds until the next attempt; None if the caller gets the error."""
        if attempt >= self.options.max_attempts or error.status == 500:
            return None
        never_started = isinstance(error, errors.TooManyRequests) or error.reason == "ConnectionRefused"
        unclear = isinstance(error, _UNCLEAR)
        if not never_started and not (unclear and call.repeatable):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.options.max_retry_delay else None
        return min(0.1 * 2.0**attempt, self.options.max_retry_delay) * jitter(0.5, 1.0)

    def _warn(self, call: Call, warning: str) -> None:
        if warning not in self._warnings and len(self._warnings) < 1000:
            self._warnings.add(warning)
            _log.warning("API server warning", kind=call.kind.name, verb=call.verb or "get", warning=warning)


@asynccontextmanager
async def connect(options: ClientOptions | None = None) -> AsyncIterator[Client]:
    """Yield a client for the configured API server; it connects at the first call.

    Raises ConnectionFailed if no usable configuration is found.
    """
    options = options or ClientOptions()
    metrics = ClientMetrics(options.metric_prefix)
    unary, tokens = await open_session(options, metrics.count)
    watching = unary.sibling(options, connections=None)
    try:
        yield Client(unary, watching, tokens, options, metrics)
    finally:
        await unary.aclose()
        await watching.aclose()


def _manager(name: str) -> dict[str, str]:
    return {"fieldManager": name} if name else {}
