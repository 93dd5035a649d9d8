"""The services that list repositories in their own way: Docker Hub, and GitHub for ghcr.io."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aimd.registry.credentials import ANONYMOUS, Credential, Keyring
from aimd.registry.failures import Problem, RegistryError, RegistryFailure, error, quoted
from aimd.registry.options import RegistryOptions
from aimd.registry.pages import PAGE_LIMIT, Entries, Page, collect, path_below, unexpected
from aimd.registry.reference import DOCKER_HUB, is_repository
from aimd.registry.reply import Reply, json_of
from aimd.registry.transport import Ask, Transport

_GITHUB = "ghcr.io"
_GITHUB_VERSION = ("X-GitHub-Api-Version", "2022-11-28")
_PAGE_SIZE = 100
_TOKEN_LIMIT = 1024 * 1024
_NAMESPACE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class DockerHub:
    """Docker Hub's API: repositories of a namespace; private ones, too, for credentials that may see them."""

    def __init__(self, transport: Transport, options: RegistryOptions) -> None:
        self._transport = transport
        self._base = options.docker_hub_api.rstrip("/")

    async def repositories(self, namespace: str, keyring: Keyring) -> Entries:
        """`namespace/name` of each. Raises RegistryError."""
        _require_namespace(namespace, DOCKER_HUB)
        credential, token = await self._log_in(keyring.candidates(f"{DOCKER_HUB}/{namespace}"))
        authorization = f"Bearer {token}" if token else ""
        what = f"the repositories of {DOCKER_HUB}/{namespace}"

        async def read(path: str) -> Page:
            ask = Ask(
                f"{self._base}{path}", DOCKER_HUB, "repositories", PAGE_LIMIT,
                authorization=authorization, who=credential.fingerprint,
            )  # fmt: skip
            with self._transport.deadline(DOCKER_HUB):
                reply = await self._transport.send(ask)
            if reply.status != 200:
                raise unexpected(reply, what, DOCKER_HUB)
            document = _mapping(json_of(reply, "a list of repositories"))
            following = document.get("next")
            return Page(
                _names(document.get("results"), namespace),
                path_below(self._base, following) if isinstance(following, str) and following else "",
            )

        return await collect(what, f"/v2/namespaces/{quote(namespace)}/repositories?page_size={_PAGE_SIZE}", read)

    async def _log_in(self, candidates: tuple[Credential, ...]) -> tuple[Credential, str]:
        """The first credential that is let in, and its token; nobody when none is, as with the registry itself."""
        for credential in candidates:
            if not (credential.username and credential.password):
                continue
            content = json.dumps({"identifier": credential.username, "secret": credential.password}).encode()
            ask = Ask(
                f"{self._base}/v2/auth/token", DOCKER_HUB, "token", _TOKEN_LIMIT, "POST",
                who=credential.fingerprint, content=content, content_type="application/json",
            )  # fmt: skip
            with self._transport.deadline(DOCKER_HUB):
                reply = await self._transport.send(ask)
            token = _mapping(json_of(reply, "a token")).get("access_token") if reply.status == 200 else None
            if isinstance(token, str) and token.isascii() and token.isprintable():
                return credential, token
        return ANONYMOUS, ""


class GitHub:
    """GitHub's API: container packages of an organization, or of a user where there is no such organization."""

    def __init__(self, transport: Transport, options: RegistryOptions) -> None:
        self._transport = transport
        self._base = options.github_api.rstrip("/")

    async def repositories(self, owner: str, keyring: Keyring) -> Entries:
        """`owner/name` of each. Raises RegistryError; GitHub tells nothing to whoever has no token."""
        _require_namespace(owner, _GITHUB)
        credentials = [found for found in keyring.candidates(f"{_GITHUB}/{owner}") if found.password]
        refusals: list[RegistryFailure] = []
        for credential in credentials:
            for kind in ("orgs", "users"):
                try:
                    return await self._packages(kind, owner, credential)
                except RegistryError as problem:
                    if problem.failure.problem not in (Problem.AUTH, Problem.NOT_FOUND):
                        raise
                    refusals.append(problem.failure)
                    if problem.failure.problem is Problem.AUTH:
                        break
        if refusals:
            raise RegistryError(refusals[-1])
        raise error(
            Problem.AUTH,
            f"GitHub lists the packages of {owner} for tokens only: give the source a pull secret for {_GITHUB} whose "
            "password is a token with read:packages, or name the repositories without *",
        )

    async def _packages(self, kind: str, owner: str, credential: Credential) -> Entries:
        what = f"the container packages of {_GITHUB}/{owner}"
        pages = iter(range(2, 1_000_000))

        async def read(path: str) -> Page:
            ask = Ask(
                f"{self._base}{path}", _GITHUB, "repositories", PAGE_LIMIT, accept="application/vnd.github+json",
                authorization=f"Bearer {credential.password}", who=credential.fingerprint, more=(_GITHUB_VERSION,),
            )  # fmt: skip
            with self._transport.deadline(_GITHUB):
                reply = await self._transport.send(ask)
            if reply.status != 200:
                raise unexpected(reply, what, _GITHUB)
            packages = _packages_of(reply)
            full = len(packages) >= _PAGE_SIZE
            return Page(_names(packages, owner.lower()), _packages_path(kind, owner, next(pages)) if full else "")

        return await collect(what, _packages_path(kind, owner, 1), read)


def _packages_path(kind: str, owner: str, page: int) -> str:
    return f"/{kind}/{quote(owner)}/packages?package_type=container&per_page={_PAGE_SIZE}&page={page}"


def _packages_of(reply: Reply) -> list[object]:
    document = json_of(reply, "a list of packages")
    if not isinstance(document, list):
        raise error(Problem.CONTENT, f"{reply.host} sent no list of packages: check the address of GitHub's API")
    return document


def _names(results: object, namespace: str) -> tuple[str, ...]:
    """`namespace/name` of each result that has a name."""
    entries = results if isinstance(results, list) else ()
    names = (f"{namespace}/{entry.get('name')}" for entry in entries if isinstance(entry, dict))
    return tuple(name for name in names if is_repository(name))


def _mapping(document: object) -> Mapping[str, Any]:
    return document if isinstance(document, dict) else {}


def _require_namespace(namespace: str, registry: str) -> None:
    if not _NAMESPACE.fullmatch(namespace):
        raise error(
            Problem.REFERENCE,
            f"{registry} can only be listed by namespace, and {quoted(namespace)!r} is none: start the filter with "
            "one, for example organization/name-*",
        )
