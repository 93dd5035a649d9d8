# tests: tests/faults/test_registry_faults.py
"""The APIs of the services that do not list repositories with the distribution protocol: Docker Hub, GitHub."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aimd.registry.credentials import ANONYMOUS, Credential, Keyring
from aimd.registry.failures import Problem, RegistryError, RegistryFailure, quoted, registry_error
from aimd.registry.options import RegistryOptions
from aimd.registry.pages import PAGE_LIMIT, Entries, Page, collect, listing_error, path_below
from aimd.registry.reference import DOCKER_HUB, is_repository
from aimd.registry.reply import Reply, parse_json
from aimd.registry.transport import RegistryRequest, Transport

_GITHUB = "ghcr.io"
_GITHUB_VERSION = ("X-GitHub-Api-Version", "2022-11-28")
_PAGE_SIZE = 100
_TOKEN_LIMIT = 1024 * 1024
_NAMESPACE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class DockerHub:
    """Docker Hub's API, which lists the repositories of a namespace that the credentials may see."""

    def __init__(self, transport: Transport, options: RegistryOptions) -> None:
        self._transport = transport
        self._base = options.docker_hub_api.rstrip("/")

    async def repositories(self, namespace: str, keyring: Keyring) -> Entries:
        """Return `namespace/name` of each repository. Raises RegistryError."""
        _require_namespace(namespace, DOCKER_HUB)
        credential, token = await self._log_in(keyring.candidates(f"{DOCKER_HUB}/{namespace}"))
        authorization = f"Bearer {token}" if token else ""
        what = f"the repositories of {DOCKER_HUB}/{namespace}"

        async def read(path: str) -> Page:
            request = RegistryRequest(
                f"{self._base}{path}", DOCKER_HUB, "repositories", PAGE_LIMIT,
                authorization=authorization, credential_id=credential.fingerprint,
            )  # fmt: skip
            with self._transport.deadline(DOCKER_HUB):
                reply = await self._transport.send(request)
            if reply.status != 200:
                raise listing_error(reply, what, DOCKER_HUB)
            document = _mapping(parse_json(reply, "a list of repositories"))
            following = document.get("next")
            return Page(
                _names(document.get("results"), namespace),
                path_below(self._base, following) if isinstance(following, str) and following else "",
            )

        return await collect(what, f"/v2/namespaces/{quote(namespace)}/repositories?page_size={_PAGE_SIZE}", read)

    async def _log_in(self, candidates: tuple[Credential, ...]) -> tuple[Credential, str]:
        """Return the first credential that can log in, with its token, or anonymous access if none can."""
        for credential in candidates:
            if not (credential.username and credential.password):
                continue
            content = json.dumps({"identifier": credential.username, "secret": credential.password}).encode()
            request = RegistryRequest(
                f"{self._base}/v2/auth/token", DOCKER_HUB, "token", _TOKEN_LIMIT, "POST",
                credential_id=credential.fingerprint, content=content, content_type="application/json",
            )  # fmt: skip
            with self._transport.deadline(DOCKER_HUB):
                reply = await self._transport.send(request)
            token = _mapping(parse_json(reply, "a token")).get("access_token") if reply.status == 200 else None
            if isinstance(token, str) and token.isascii() and token.isprintable():
                return credential, token
        return ANONYMOUS, ""


class GitHub:
    """GitHub's API, which lists the container packages of an organization, or of a user if there is none."""

    def __init__(self, transport: Transport, options: RegistryOptions) -> None:
        self._transport = transport
        self._base = options.github_api.rstrip("/")

    async def repositories(self, owner: str, keyring: Keyring) -> Entries:
        """Return `owner/name` of each package. Raises RegistryError, always without a token: GitHub requires one."""
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
        raise registry_error(
            Problem.AUTH,
            f"GitHub lists the packages of {owner} only with a token: add a pull secret for {_GITHUB} whose password "
            "is a token with the scope read:packages, or use filters without *",
        )

    async def _packages(self, kind: str, owner: str, credential: Credential) -> Entries:
        what = f"the container packages of {_GITHUB}/{owner}"
        pages = iter(range(2, 1_000_000))

        async def read(path: str) -> Page:
            request = RegistryRequest(
                f"{self._base}{path}", _GITHUB, "repositories", PAGE_LIMIT, accept="application/vnd.github+json",
                authorization=f"Bearer {credential.password}", credential_id=credential.fingerprint,
                extra_headers=(_GITHUB_VERSION,),
            )  # fmt: skip
            with self._transport.deadline(_GITHUB):
                reply = await self._transport.send(request)
            if reply.status != 200:
                raise listing_error(reply, what, _GITHUB)
            packages = _packages_of(reply)
            full = len(packages) >= _PAGE_SIZE
            return Page(_names(packages, owner.lower()), _packages_path(kind, owner, next(pages)) if full else "")

        return await collect(what, _packages_path(kind, owner, 1), read)


def _packages_path(kind: str, owner: str, page: int) -> str:
    return f"/{kind}/{quote(owner)}/packages?package_type=container&per_page={_PAGE_SIZE}&page={page}"


def _packages_of(reply: Reply) -> list[object]:
    document = parse_json(reply, "a list of packages")
    if not isinstance(document, list):
        raise registry_error(
            Problem.CONTENT, f"{reply.host} sent no list of packages: check the address of GitHub's API"
        )
    return document


def _names(results: object, namespace: str) -> tuple[str, ...]:
    """Return `namespace/name` of each result that has a valid name."""
    entries = results if isinstance(results, list) else ()
    names = (f"{namespace}/{entry.get('name')}" for entry in entries if isinstance(entry, dict))
    return tuple(name for name in names if is_repository(name))


def _mapping(document: object) -> Mapping[str, Any]:
    return document if isinstance(document, dict) else {}


def _require_namespace(namespace: str, registry: str) -> None:
    if not _NAMESPACE.fullmatch(namespace):
        raise registry_error(
            Problem.REFERENCE,
            f"{registry} can only be listed by namespace, and {quoted(namespace)!r} is not one: start the filter with "
            "a namespace, for example organization/name-*",
        )
