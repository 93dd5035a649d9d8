"""Logging in to a registry: basic, or a bearer token from the service that the registry names.

The protocol is that of CNCF Distribution ("Token Authentication Specification" and its OAuth2 variant). An
`Authorization` header that worked is kept for its repository and credential until it expires.
"""

import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from aimd.registry.credentials import ANONYMOUS, Credential
from aimd.registry.failures import Problem, error, quoted
from aimd.registry.hosts import may_be_plain, require_public_address
from aimd.registry.reply import Reply, json_of
from aimd.registry.transport import Ask, Transport

_SCHEME = r"(?<![A-Za-z0-9-])([A-Za-z][A-Za-z0-9-]*)(?:[ \t]+|$|(?=,))(?!=)"
_PARAMETER = r'(?<![A-Za-z_])([A-Za-z_]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s,"]+)'
_CHALLENGE = re.compile(f"{_SCHEME}|{_PARAMETER}")
_KEPT = 2048
_TOKEN_LIMIT = 1024 * 1024
_TOKEN_LIFE = 60.0  # what the protocol assumes when the answer does not say
_LONGEST_LIFE = 3600.0
_BASIC_LIFE = 600.0
_MARGIN = 10.0


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry wants: `scheme` in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of `WWW-Authenticate`, of which one header may hold several; what cannot be read is skipped."""
    found: list[tuple[str, dict[str, str]]] = []
    for scheme, key, value in _CHALLENGE.findall(header[:8192]):
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            found[-1][1].setdefault(key.lower(), text)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


@dataclass(frozen=True, slots=True)
class _Kept:
    """An `Authorization` header and until when it is good."""

    header: str
    until: float


class Tokens:
    """Makes and keeps `Authorization` headers."""

    def __init__(self, transport: Transport, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()

    def known(self, base: str, scope: str, credential: Credential) -> str:
        """A header that worked there lately; empty when there is none."""
        if credential.registry_token:
            return f"Bearer {credential.registry_token}"
        kept = self._kept.get((base, scope, credential.fingerprint))
        return kept.header if kept is not None and kept.until > self._clock() else ""

    async def answer(self, ask: Ask, refusal: Reply, base: str, scope: str, credential: Credential) -> str:
        """The header for a registry that has just refused; empty when there is nothing (else) to answer with.

        Raises RegistryError when the token service does not give what the registry wants.
        """
        self._kept.pop((base, scope, credential.fingerprint), None)
        if credential.registry_token:
            return ""
        challenges = {challenge.scheme: challenge for challenge in parse_challenges(_header(refusal))}
        if (bearer := challenges.get("bearer")) is not None:
            header, life = await self._bearer(ask, bearer, scope, credential)
        elif "basic" in challenges and credential.username:
            header, life = basic(credential), _BASIC_LIFE
        else:
            return ""
        self._keep((base, scope, credential.fingerprint), _Kept(header, self._clock() + life))
        return header

    async def _bearer(self, ask: Ask, challenge: Challenge, scope: str, credential: Credential) -> tuple[str, float]:
        service = challenge.parameters.get("service", "")
        asked = {"service": service, "scope": challenge.parameters.get("scope") or scope}
        realm = _realm(challenge, ask.registry)
        if credential.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credential.identity_token, "client_id": "aimd"}
            content = urlencode({**form, **asked}).encode()
            request = Ask(
                realm, ask.registry, "token", _TOKEN_LIMIT, "POST", who=credential.fingerprint,
                content=content, content_type="application/x-www-form-urlencoded",
            )  # fmt: skip
        else:
            url = str(httpx.URL(realm).copy_merge_params({key: value for key, value in asked.items() if value}))
            login = basic(credential) if credential.username else ""
            request = Ask(url, ask.registry, "token", _TOKEN_LIMIT, authorization=login, who=credential.fingerprint)
        reply = await self._transport.send(request)
        if reply.status != 200:
            raise _no_token(reply, ask.registry, credential)
        return _token(reply, ask.registry)

    def _keep(self, key: tuple[str, str, str], kept: _Kept) -> None:
        self._kept[key] = kept
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def basic(credential: Credential) -> str:
    """The header of basic authentication."""
    return "Basic " + b64encode(f"{credential.username}:{credential.password}".encode(errors="replace")).decode()


def _header(refusal: Reply) -> str:
    headers = refusal.headers
    return ", ".join(headers.get_list("www-authenticate") if isinstance(headers, httpx.Headers) else [])


def _realm(challenge: Challenge, registry: str) -> str:
    """The token service's URL. Raises RegistryError for one to which no credentials may go."""
    text = challenge.parameters.get("realm", "")
    try:
        realm = httpx.URL(text)
    except httpx.InvalidURL:
        realm = httpx.URL("")
    require_public_address(realm)
    if realm.userinfo or (realm.scheme == "http" and not may_be_plain(realm.host)):
        raise error(Problem.UNAVAILABLE, f"{registry} sends people to log in at {quoted(text)!r}, which is not safe")
    return text


def _token(reply: Reply, registry: str) -> tuple[str, float]:
    document = json_of(reply, "a token")
    fields = document if isinstance(document, dict) else {}
    token = fields.get("token") or fields.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise error(Problem.UNAVAILABLE, f"{reply.host} sent no token for {registry}: its login has to be put right")
    life = fields.get("expires_in")
    seconds = float(life) if isinstance(life, int) and 0 < life < _LONGEST_LIFE else _TOKEN_LIFE
    return f"Bearer {token}", max(seconds - _MARGIN, 0.0)


def _no_token(reply: Reply, registry: str, credential: Credential) -> Exception:
    login = f"{reply.host}, where one logs in to {registry},"
    if reply.status not in (400, 401, 403, 404):
        return error(Problem.UNAVAILABLE, f"{login} answered {reply.status}: the registry has to be put right")
    if credential == ANONYMOUS:
        return error(Problem.AUTH, f"{login} wants credentials: give a pull secret for {registry}")
    return error(Problem.AUTH, f"{login} refuses the credentials of the pull secret: renew them")
