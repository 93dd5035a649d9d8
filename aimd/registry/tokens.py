"""Login to a registry: basic authentication, or a bearer token from the token service that the registry names.

The protocol is that of CNCF Distribution ("Token Authentication Specification" and its OAuth2 variant). An
`Authorization` header is cached for its repository and credential until it expires.
"""

import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from aimd.registry.credentials import ANONYMOUS, Credential
from aimd.registry.failures import Problem, RegistryError, quoted, registry_error
from aimd.registry.hosts import authority, parse_url
from aimd.registry.reply import Reply, parse_json
from aimd.registry.transport import RegistryRequest, Transport

_SCHEME = r"(?<![A-Za-z0-9-])([A-Za-z][A-Za-z0-9-]*)(?:[ \t]+|$|(?=,))(?!=)"
_PARAMETER = r'(?<![A-Za-z_])([A-Za-z_]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s,"]+)'
_CHALLENGE = re.compile(f"{_SCHEME}|{_PARAMETER}")
_MOST_HEADERS = 2048
_TOKEN_LIMIT = 1024 * 1024
_TOKEN_LIFE = 60.0  # the default of the protocol
_LONGEST_LIFE = 3600.0
_BASIC_LIFE = 600.0
_MARGIN = 10.0


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge of `WWW-Authenticate`: its scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Parse the challenges of a `WWW-Authenticate` header, which may contain several; skip malformed parts."""
    found: list[tuple[str, dict[str, str]]] = []
    for scheme, key, value in _CHALLENGE.findall(header[:8192]):
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            found[-1][1].setdefault(key.lower(), text)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


@dataclass(frozen=True, slots=True)
class _Header:
    """An `Authorization` header, and the time at which it expires."""

    header: str
    until: float


class Tokens:
    """Creates and caches `Authorization` headers."""

    def __init__(self, transport: Transport, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, str], _Header] = OrderedDict()

    def known(self, base: str, scope: str, credential: Credential) -> str:
        """Return the cached header for a scope and a credential; empty if there is none."""
        if credential.registry_token:
            return f"Bearer {credential.registry_token}"
        kept = self._kept.get((base, scope, credential.fingerprint))
        return kept.header if kept is not None and kept.until > self._clock() else ""

    async def log_in(
        self, request: RegistryRequest, refusal: Reply, base: str, scope: str, credential: Credential
    ) -> str:
        """Return a new header for a registry that has refused `request`; empty if the credential allows no other.

        Raises RegistryError if the token service returns no token.
        """
        self._kept.pop((base, scope, credential.fingerprint), None)
        if credential.registry_token:
            return ""
        challenges = {challenge.scheme: challenge for challenge in parse_challenges(_header(refusal))}
        if (bearer := challenges.get("bearer")) is not None:
            header, life = await self._bearer(request, bearer, scope, credential)
        elif "basic" in challenges and credential.username:
            header, life = basic(credential), _BASIC_LIFE
        else:
            return ""
        self._keep((base, scope, credential.fingerprint), _Header(header, self._clock() + life))
        return header

    async def _bearer(
        self, refused: RegistryRequest, challenge: Challenge, scope: str, credential: Credential
    ) -> tuple[str, float]:
        """Return a header with a token, and its lifetime in seconds."""
        service = challenge.parameters.get("service", "")
        parameters = {"service": service, "scope": challenge.parameters.get("scope") or scope}
        realm = self._realm(challenge, refused)
        if credential.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credential.identity_token, "client_id": "aimd"}
            content = urlencode({**form, **parameters}).encode()
            request = RegistryRequest(
                realm, refused.registry, "token", _TOKEN_LIMIT, "POST", credential_id=credential.fingerprint,
                content=content, content_type="application/x-www-form-urlencoded",
            )  # fmt: skip
        else:
            url = str(httpx.URL(realm).copy_merge_params({key: value for key, value in parameters.items() if value}))
            login = basic(credential) if credential.username else ""
            request = RegistryRequest(
                url, refused.registry, "token", _TOKEN_LIMIT, authorization=login, credential_id=credential.fingerprint
            )
        reply = await self._transport.send(request)
        if reply.status != 200:
            raise _no_token(reply, refused.registry, credential)
        return _token(reply, refused.registry)

    def _realm(self, challenge: Challenge, refused: RegistryRequest) -> str:
        """Return the URL of the token service: HTTPS, or the registry's own host (REG-NET-5). Raises RegistryError."""
        text = challenge.parameters.get("realm", "")
        realm = parse_url(text, Problem.UNAVAILABLE)
        own = authority(realm) == authority(parse_url(refused.url)) and not self._transport.speaks_tls(refused.url)
        if realm.userinfo or (realm.scheme == "http" and not own):
            raise registry_error(
                Problem.UNAVAILABLE,
                f"{refused.registry} names {quoted(text)!r} as its token service, which is neither HTTPS nor the "
                "registry's own host: correct the registry's configuration",
            )
        return text

    def _keep(self, key: tuple[str, str, str], header: _Header) -> None:
        self._kept[key] = header
        if len(self._kept) > _MOST_HEADERS:
            self._kept.popitem(last=False)


def basic(credential: Credential) -> str:
    """Return the header of basic authentication."""
    return "Basic " + b64encode(f"{credential.username}:{credential.password}".encode(errors="replace")).decode()


def _header(refusal: Reply) -> str:
    headers = refusal.headers
    return ", ".join(headers.get_list("www-authenticate") if isinstance(headers, httpx.Headers) else [])


def _token(reply: Reply, registry: str) -> tuple[str, float]:
    document = parse_json(reply, "a token")
    fields = document if isinstance(document, dict) else {}
    token = fields.get("token") or fields.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise registry_error(
            Problem.UNAVAILABLE, f"{reply.host} sent no token for {registry}: check the token service of the registry"
        )
    life = fields.get("expires_in")
    seconds = float(life) if isinstance(life, int) and 0 < life < _LONGEST_LIFE else _TOKEN_LIFE
    return f"Bearer {token}", max(seconds - _MARGIN, 0.0)


def _no_token(reply: Reply, registry: str, credential: Credential) -> RegistryError:
    service = f"{reply.host}, the token service of {registry},"
    if reply.status not in (400, 401, 403, 404):
        return registry_error(Problem.UNAVAILABLE, f"{service} returned {reply.status}: check the registry")
    if credential == ANONYMOUS:
        return registry_error(Problem.AUTH, f"{service} requires credentials: add a pull secret for {registry}")
    return registry_error(Problem.AUTH, f"{service} refuses the credentials of the pull secret: renew them")
