"""Asking registries about models' images: with which credentials, how many at once, when again after a failure.

A registry that hangs costs its own models a deadline. It may not cost others the workers of the controller, hence few
places for questions under way, and fewer for those to one registry; who finds none asks again in a moment.
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

PLACES = 6
PLACES_PER_REGISTRY = 3
BUSY_SECONDS = 1.0
SECRET_WAITS = (60.0, 600.0)
LASTING_WAITS = (300.0, 900.0)
PASSING_WAITS = (15.0, 300.0)
"""First and longest pause in seconds: after a missing Secret, after what somebody has to change,
after what passes (MDL-INS-4)."""


class ImageInspector(Protocol):
    """Who knows what images say: the registries' cache."""

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> Labels | RegistryFailure: ...


class CredentialsMissing(Exception):
    """A pull secret that is missing or cannot be read."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Credentials:
    """What there is to identify with. `missing` are Secrets that were offered and are not there, or cannot be read."""

    keyring: Keyring
    missing: tuple[str, ...] = ()


class PullSecrets:
    """Reads pull secrets by name when they are needed; never listed, watched or kept (OBJ-APL-8)."""

    def __init__(self, client: Client, system_namespace: str) -> None:
        self.system_namespace = system_namespace
        self._client = client
        self._own = process_keyring(os.environ)

    async def credentials(
        self, namespace: str, names: tuple[str, ...], account: str = "", shared: tuple[str, ...] = ()
    ) -> Credentials | RegistryFailure:
        """Credentials of the named Secrets, which all have to exist, of the account's, and of the process itself
        (MDL-INS-5).

        `shared` are Secrets that others offer; they and the account's may be missing. Raises CredentialsMissing.
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
                missing.append(name)  # No fault yet: Kubernetes passes over an account's, too.
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
class _Answer:
    """A failure that is not asked about again before `until`, unless what was asked has changed."""

    question: InspectImage
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
        self._under_way: Counter[str] = Counter()
        self._answers: dict[Key, _Answer] = {}

    def forget(self, key: Key) -> None:
        """The model is gone."""
        self._answers.pop(key, None)

    async def inspect(self, wanted: InspectImage) -> Inspection:
        """Return what the registry says about a model's image; a failure is repeated until its time is over."""
        known = self._answers.get(wanted.model)
        if known is not None and known.question != wanted:
            known = None
        if known is not None and self._clock() < known.until:
            return replace(known.inspection, again_after=known.until - self._clock())
        reference = parse_reference(wanted.image)
        if isinstance(reference, RegistryFailure):
            inspection = Inspection(failure=reference)
        else:
            with self._place(reference.registry) as taken:
                if not taken:
                    return replace(known.inspection if known else Inspection(), again_after=BUSY_SECONDS)
                inspection = await self._ask(wanted, reference)
        if inspection.metadata is not None:
            self.forget(wanted.model)
            return inspection
        return self._remember(wanted, inspection, known.attempts + 1 if known is not None else 1)

    async def _ask(self, wanted: InspectImage, reference: ImageReference) -> Inspection:
        try:
            credentials = await self._secrets.credentials(
                wanted.model.namespace, wanted.pull_secrets, wanted.service_account, wanted.shared_pull_secrets
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

    def _remember(self, wanted: InspectImage, inspection: Inspection, attempts: int) -> Inspection:
        first, longest = _waits(inspection)
        wait = min(first * 2 ** min(attempts - 1, 10), longest) * (0.9 + 0.2 * self._jitter())
        asked_for = inspection.failure.retry_after if inspection.failure is not None else None
        wait = max(wait, min(asked_for or 0.0, LASTING_WAITS[1]))
        self._answers[wanted.model] = _Answer(wanted, inspection, self._clock() + wait, attempts)
        return replace(inspection, again_after=wait)

    @contextmanager
    def _place(self, registry: str) -> Iterator[bool]:
        """One of the few places for questions under way; False when there is none (MDL-INS-6)."""
        if self._under_way.total() >= PLACES or self._under_way[registry] >= PLACES_PER_REGISTRY:
            yield False
            return
        self._under_way[registry] += 1
        try:
            yield True
        finally:
            self._under_way[registry] -= 1
            self._under_way += Counter()  # Drops registries that nobody asks any more.


def _refused(failure: RegistryFailure, credentials: Credentials) -> Inspection:
    """A refusal for lack of a Secret that may appear at any time is told and waited for as such."""
    if failure.problem is not Problem.AUTH or not credentials.missing:
        return Inspection(failure=failure)
    names = ", ".join(credentials.missing)
    text = f"{failure.message}. Pull secrets that services, templates or the account name are not there: {names}"
    return Inspection(failure=replace(failure, message=text), awaits_secret=True)


def _waits(inspection: Inspection) -> tuple[float, float]:
    if inspection.secret is not None or inspection.awaits_secret:
        return SECRET_WAITS
    passing = inspection.failure is not None and inspection.failure.transient
    return PASSING_WAITS if passing else LASTING_WAITS
