"""Requests with one credential after the other, until one is accepted (REG-CRD-2).

As for the kubelet, a refused credential does not end the search: the next one may have access, and a public image needs
none. "Not found" does not end it either, because many registries return it to credentials without access. The result
is the document, else that it does not exist, else that access was denied.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aimd.registry.credentials import ANONYMOUS, Credential, Keyring
from aimd.registry.failures import Problem, RegistryError, RegistryFailure, failure, registry_error
from aimd.registry.options import RegistryOptions
from aimd.registry.reply import Reply
from aimd.registry.tokens import Tokens
from aimd.registry.transport import RegistryRequest, Transport


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about: `repository` selects credentials, `what` is for messages, `scope` for token services."""

    registry: str
    repository: str
    what: str
    scope: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document to read: `path` is below the registry's base URL, `limit` is in bytes."""

    path: str
    operation: str
    limit: int
    accept: str = "application/json"
    method: str = "GET"


def repository_target(registry: str, repository: str, identifier: str = "") -> Target:
    """Return the target for a repository, or for the image in it with this tag or digest."""
    separator = "@" if ":" in identifier else ":"
    what = f"{registry}/{repository}" + (f"{separator}{identifier}" if identifier else "")
    return Target(registry, repository, what, f"repository:{repository}:pull")


class Access:
    """Reads documents of registries."""

    def __init__(self, transport: Transport, tokens: Tokens, options: RegistryOptions) -> None:
        self._transport = transport
        self._tokens = tokens
        self._options = options

    async def get_first(self, target: Target, document: Document, keyring: Keyring) -> tuple[Reply, Credential]:
        """Return the first successful response, and its credential (REG-CRD-2).

        Raises RegistryError with the most informative of the refusals.
        """
        credentials = keyring.candidates(self._known_as(target))
        refusals: list[RegistryFailure] = []
        for credential in credentials:
            try:
                return await self.get(target, document, credential), credential
            except RegistryError as problem:
                if problem.failure.problem not in (Problem.AUTH, Problem.NOT_FOUND):
                    raise
                refusals.append(problem.failure)
        raise RegistryError(_best(refusals, target, keyring.unreadable, known=len(credentials) > 1))

    def credentials_id(self, target: Target, keyring: Keyring) -> str:
        """Return a hash of the credentials that are tried for the target; empty if there are none."""
        return keyring.fingerprint(self._known_as(target))

    async def get(self, target: Target, document: Document, credential: Credential) -> Reply:
        """Return a 200 response for one credential; log in once if the registry requires it. Raises RegistryError."""
        base = self._options.endpoint(target.registry)
        header = self._tokens.known(base, target.scope, credential)
        request = RegistryRequest(
            f"{base}{document.path}", target.registry, document.operation, document.limit, document.method,
            document.accept, authorization=header, credential_id=credential.fingerprint,
        )  # fmt: skip
        reply = await self._transport.send(request)
        if reply.status == 401:
            header = await self._tokens.log_in(request, reply, base, target.scope, credential)
            if header:
                reply = await self._transport.send(replace(request, authorization=header))
        if reply.status == 200:
            return reply
        raise _refusal(reply, target, credential)

    def _known_as(self, target: Target) -> str:
        """Return the name to select credentials by; a mirror gets only those for its own host."""
        if self._options.mirrored(target.registry):
            return f"{self._options.endpoint(target.registry).partition('://')[2]}/{target.repository}"
        return f"{target.registry}/{target.repository}"


def _refusal(reply: Reply, target: Target, credential: Credential) -> RegistryError:
    code, words = reply.first_error[0], reply.quoted_error
    if reply.status == 404:
        if code == "MANIFEST_UNKNOWN":
            text = f"{target.what} does not exist in its repository: correct the tag or digest"
        else:
            text = f"{target.what} does not exist, or requires credentials: correct its name, or add a pull secret"
        return registry_error(Problem.NOT_FOUND, f"{text} ({reply.host} returned 404{words})")
    if reply.status in (401, 403):
        denied = "anonymous access" if credential == ANONYMOUS else "this pull secret"
        return registry_error(
            Problem.AUTH, f"{reply.host} returned {reply.status} for {target.what}{words} and refuses {denied}"
        )
    return registry_error(
        Problem.CONTENT,
        f"{reply.host} returned {reply.status} for {target.what}{words}, which an image registry would not: correct "
        "the registry's name",
    )


def _best(
    refusals: Sequence[RegistryFailure], target: Target, unreadable: Sequence[str], *, known: bool
) -> RegistryFailure:
    """Return "does not exist" if a credential with access found that, else the first refusal (REG-CRD-2)."""
    missing = [refusal for refusal in refusals if refusal.problem is Problem.NOT_FOUND]
    if missing:
        return missing[0]
    spoiled = f"; {', '.join(unreadable)} cannot be parsed" if unreadable else ""
    if known:
        advice = f"renew the pull secret for {target.registry}, or give it access"
    else:
        advice = f"name a pull secret for {target.registry} in imagePullSecrets, or correct the name"
    text = f"{target.registry} denies access to {target.what}: {advice} ({refusals[0].message}{spoiled})"
    return failure(Problem.AUTH, text)
