"""Access to image registries: the credentials of pull secrets, and the pauses after failures."""

# tests: tests/unit/controllers/test_image_inspections.py, tests/integration/test_model_controllers.py

import os
from dataclasses import dataclass

from aimd.api.reasons import Reason
from aimd.registry.credentials import Keyring, parse_pull_secret, process_keyring
from aimd.registry.failures import RegistryFailure
from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.kinds import SECRET, SERVICE_ACCOUNT
from aimd.runtime.objects import Category, Failure, Key

SECRET_BACKOFF = (60.0, 600.0)
PERMANENT_BACKOFF = (300.0, 900.0)
TRANSIENT_BACKOFF = (15.0, 300.0)
"""First and longest pause in seconds: for a missing Secret, for a failure that a user has to fix, and for a transient
failure (MDL-INS-4)."""


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
