"""Asking a registry with one credential after the other until one is let in.

As kubelet does, a refused credential is no reason to stop: the next one may do, and a public image needs none. "Not
found" goes on as well, because many registries say it to whoever may not see. What counts in the end is the best
answer: the thing itself, else that it does not exist, else that nobody was let in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aimd.registry.credentials import ANONYMOUS, Credential, Keyring
from aimd.registry.failures import Problem, RegistryError, RegistryFailure, error, failure
from aimd.registry.options import RegistryOptions
from aimd.registry.reply import Reply
from aimd.registry.tokens import Tokens
from aimd.registry.transport import Ask, Transport


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked about: `repository` for choosing credentials, `what` for messages, `scope` for token services."""

    registry: str
    repository: str
    what: str
    scope: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document: `path` is below the registry's base URL, `limit` is in bytes."""

    path: str
    operation: str
    limit: int
    accept: str = "application/json"
    method: str = "GET"


def repository_target(registry: str, repository: str, identifier: str = "") -> Target:
    """A repository, or an image in it."""
    separator = "@" if ":" in identifier else ":"
    what = f"{registry}/{repository}" + (f"{separator}{identifier}" if identifier else "")
    return Target(registry, repository, what, f"repository:{repository}:pull")


class Access:
    """Reading requests to registries."""

    def __init__(self, transport: Transport, tokens: Tokens, options: RegistryOptions) -> None:
        self._transport = transport
        self._tokens = tokens
        self._options = options

    async def first(self, target: Target, wanted: Wanted, keyring: Keyring) -> tuple[Reply, Credential]:
        """The first answer that is one, and who got it (REG-CRD-2). Raises RegistryError with the best of the
        refusals.
        """
        credentials = keyring.candidates(self._known_as(target))
        refusals: list[RegistryFailure] = []
        for credential in credentials:
            try:
                return await self.get(target, wanted, credential), credential
            except RegistryError as problem:
                if problem.failure.problem not in (Problem.AUTH, Problem.NOT_FOUND):
                    raise
                refusals.append(problem.failure)
        raise RegistryError(_best(refusals, target, keyring.unreadable, known=len(credentials) > 1))

    async def get(self, target: Target, wanted: Wanted, credential: Credential) -> Reply:
        """A 200 answer for one credential; logs in when the registry asks for it, once. Raises RegistryError."""
        base = self._options.endpoint(target.registry)
        header = self._tokens.known(base, target.scope, credential)
        ask = Ask(
            f"{base}{wanted.path}", target.registry, wanted.operation, wanted.limit, wanted.method, wanted.accept,
            authorization=header, who=credential.fingerprint,
        )  # fmt: skip
        reply = await self._transport.send(ask)
        if reply.status == 401:
            header = await self._tokens.answer(ask, reply, base, target.scope, credential)
            if header:
                reply = await self._transport.send(replace(ask, authorization=header))
        if reply.status == 200:
            return reply
        raise _refusal(reply, target, credential)

    def _known_as(self, target: Target) -> str:
        """The name to choose credentials by; a mirror gets only what is meant for its own host."""
        if self._options.mirrored(target.registry):
            return f"{self._options.endpoint(target.registry).partition('://')[2]}/{target.repository}"
        return f"{target.registry}/{target.repository}"


def _refusal(reply: Reply, target: Target, credential: Credential) -> RegistryError:
    code, words = reply.first_error[0], reply.own_words
    if reply.status == 404:
        if code == "MANIFEST_UNKNOWN":
            text = f"{target.what} does not exist, though its repository may: correct the tag or digest"
        else:
            text = f"{target.what} does not exist, or only for others: correct its name, or give a pull secret"
        return error(Problem.NOT_FOUND, f"{text}; {reply.host} answered 404{words}")
    if reply.status in (401, 403):
        who = "nobody without credentials" if credential == ANONYMOUS else "not with this pull secret"
        return error(Problem.AUTH, f"{reply.host} answered {reply.status} for {target.what}{words}: {who}")
    return error(
        Problem.CONTENT,
        f"{reply.host} answered {reply.status} for {target.what}{words}, which is no answer of a registry: correct "
        "the registry's name",
    )


def _best(
    refusals: Sequence[RegistryFailure], target: Target, unreadable: Sequence[str], *, known: bool
) -> RegistryFailure:
    """ "It does not exist" from anybody who was let in, else the refusal of the first who was not (REG-CRD-2)."""
    missing = [refusal for refusal in refusals if refusal.problem is Problem.NOT_FOUND]
    if missing:
        return missing[0]
    spoiled = f"; {', '.join(unreadable)} cannot be read" if unreadable else ""
    if known:
        advice = f"renew the pull secret for {target.registry}, or give it access"
    else:
        advice = f"name a pull secret for {target.registry} in imagePullSecrets, or correct the name"
    text = f"{target.registry} does not let aimd read {target.what}: {advice} ({refusals[0].message}{spoiled})"
    return failure(Problem.AUTH, text)
