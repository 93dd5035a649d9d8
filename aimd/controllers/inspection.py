"""Inspection of models' images: the credentials, the limit on concurrent requests, and the pauses after failures.

A registry that hangs must not take all workers of the controller. So concurrent inspections are limited, in total and
for each registry; a model over the limit tries again a second later.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from aimd.api.reasons import Reason
from aimd.planning.model.image_metadata import LabelsUnreadable, read_labels
from aimd.planning.model.observed import Inspection
from aimd.planning.needs import InspectImage
from aimd.registry.credentials import Keyring, parse_pull_secret, process_keyring
from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.images import Inspection as Labels
from aimd.registry.reference import ImageReference, parse_reference
from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.kinds import SECRET, SERVICE_ACCOUNT
from aimd.runtime.objects import Category, Failure, Key

MAX_CONCURRENT = 6
MAX_CONCURRENT_PER_REGISTRY = 3
BUSY_SECONDS = 1.0
"""The pause of a model that is over the limit."""
SECRET_BACKOFF = (60.0, 600.0)
PERMANENT_BACKOFF = (300.0, 900.0)
TRANSIENT_BACKOFF = (15.0, 300.0)
"""First and longest pause in seconds: for a missing Secret, for a failure that a user has to fix, and for a transient
failure (MDL-INS-4)."""


class ImageInspector(Protocol):
    """Reads the labels of images; aimd.registry.cache.InspectionCache is one."""

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> Labels | RegistryFailure:
        """Return the labels of an image, or why they cannot be read."""


class CredentialsMissing(Exception):
    """Raised for a pull secret that is missing or cannot be read; `failure` says which and what to do."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials for registries. `missing` are optional Secrets that do not exist or cannot be read."""

    keyring: Keyring
    missing: tuple[str, ...] = ()


class PullSecrets:
    """Reads pull secrets by name when they are needed; they are never listed, watched or cached (OBJ-APL-8)."""

    def __init__(self, client: Client, system_namespace: str) -> None:
        self.system_namespace = system_namespace
        self._client = client
        self._own = process_keyring(os.environ)

    async def credentials(
        self, namespace: str, names: tuple[str, ...], account: str = "", shared: tuple[str, ...] = ()
    ) -> Credentials | RegistryFailure:
        """Return the credentials of the named Secrets, of `shared`, of the service account and of the process.

        The Secrets in `names` must exist; those in `shared` and those of the account may be missing (MDL-INS-5).
        Raises CredentialsMissing.
        """
        keyring = Keyring()
        for name in names:
            found = await self._read(namespace or self.system_namespace, name)
            if isinstance(found, RegistryFailure):
                return found
            keyring += found
        missing: list[str] = []
        for name in (*shared, *await self._secrets_of(namespace or self.system_namespace, account)):
            try:
                found = await self._read(namespace or self.system_namespace, name)
            except CredentialsMissing:
                missing.append(name)  # Kubernetes also ignores missing Secrets of a service account.
                continue
            keyring += found if isinstance(found, Keyring) else Keyring()
        return Credentials(keyring + self._own, tuple(missing))

    async def _read(self, namespace: str, name: str) -> Keyring | RegistryFailure:
        try:
            secret = await self._client.get(SECRET, Key(namespace, name))
        except NotFound:
            text = f"There is no Secret {name} in namespace {namespace}: create it, or remove it from imagePullSecrets"
            raise CredentialsMissing(Failure(Category.MISSING_UPSTREAM, Reason.SECRET_NOT_FOUND, text)) from None
        except ApiError as error:
            text = f"Secret {name} in namespace {namespace} cannot be read: {error}"
            raise CredentialsMissing(Failure(Category.INFRASTRUCTURE, Reason.SECRET_ACCESS_FAILED, text)) from None
        return parse_pull_secret(name, str(secret.get("type") or ""), secret.get("data") or {})

    async def _secrets_of(self, namespace: str, account: str) -> list[str]:
        if not account:
            return []
        try:
            found = await self._client.get(SERVICE_ACCOUNT, Key(namespace, account))
        except ApiError:
            return []
        return [str(item["name"]) for item in found.get("imagePullSecrets") or () if item.get("name")]


@dataclass(frozen=True, slots=True)
class _Failed:
    """A failed inspection. It is not repeated before `until`, unless `need` changes."""

    need: InspectImage
    inspection: Inspection
    until: float
    attempts: int


class ImageInspections:
    """Inspects the images of models of both scopes."""

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
        self._running: Counter[str] = Counter()
        """Concurrent inspections by registry."""
        self._failed: dict[Key, _Failed] = {}

    def forget(self, key: Key) -> None:
        """Drop the failure of a model that no longer exists."""
        self._failed.pop(key, None)

    async def inspect(self, need: InspectImage) -> Inspection:
        """Return the metadata of a model's image; within the pause after a failure, return that failure again."""
        known = self._failed.get(need.model)
        if known is not None and known.need != need:
            known = None
        if known is not None and self._clock() < known.until:
            return replace(known.inspection, again_after=known.until - self._clock())
        reference = parse_reference(need.image)
        if isinstance(reference, RegistryFailure):
            inspection = Inspection(failure=reference)
        else:
            with self._limit(reference.registry) as allowed:
                if not allowed:
                    return replace(known.inspection if known else Inspection(), again_after=BUSY_SECONDS)
                inspection = await self._inspect(need, reference)
        if inspection.metadata is not None:
            self.forget(need.model)
            return inspection
        return self._remember(need, inspection, known.attempts + 1 if known is not None else 1)

    async def _inspect(self, need: InspectImage, reference: ImageReference) -> Inspection:
        try:
            credentials = await self._secrets.credentials(
                need.model.namespace, need.pull_secrets, need.service_account, need.shared_pull_secrets
            )
        except CredentialsMissing as problem:
            return Inspection(secret=problem.failure)
        if isinstance(credentials, RegistryFailure):
            return Inspection(failure=credentials)
        answer = await self._inspector.inspect(reference, credentials.keyring)
        if isinstance(answer, RegistryFailure):
            return _refused(answer, credentials)
        read = read_labels(answer.labels)
        return Inspection(unreadable=read) if isinstance(read, LabelsUnreadable) else Inspection(read.metadata)

    def _remember(self, need: InspectImage, inspection: Inspection, attempts: int) -> Inspection:
        first, longest = _backoff(inspection)
        pause = min(first * 2 ** min(attempts - 1, 10), longest) * (0.9 + 0.2 * self._jitter())
        retry_after = inspection.failure.retry_after if inspection.failure is not None else None
        pause = max(pause, min(retry_after or 0.0, PERMANENT_BACKOFF[1]))
        self._failed[need.model] = _Failed(need, inspection, self._clock() + pause, attempts)
        return replace(inspection, again_after=pause)

    @contextmanager
    def _limit(self, registry: str) -> Iterator[bool]:
        """Yield whether one more inspection may run now, and count it while it runs (MDL-INS-6)."""
        if self._running.total() >= MAX_CONCURRENT or self._running[registry] >= MAX_CONCURRENT_PER_REGISTRY:
            yield False
            return
        self._running[registry] += 1
        try:
            yield True
        finally:
            self._running[registry] -= 1
            self._running += Counter()  # Drops the registries at zero.


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
