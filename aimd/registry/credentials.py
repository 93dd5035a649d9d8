"""Pull secrets: parsed like Docker's configuration, and matched to images as the kubelet does (REG-CRD-1).

Credential helpers (`credHelpers`, `credsStore`) are programs on a laptop and are not run, nor are those of clouds.
"""

import hashlib
import json
import secrets
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from aimd.registry.failures import Problem, RegistryFailure, failure, quoted
from aimd.registry.reference import DOCKER_HUB, DOCKER_HUB_ALIASES

DOCKER_CONFIG_JSON: Final = "kubernetes.io/dockerconfigjson"
DOCKER_CFG: Final = "kubernetes.io/dockercfg"
_KEYS = {DOCKER_CONFIG_JSON: ".dockerconfigjson", DOCKER_CFG: ".dockercfg"}

# With a salt per process, a fingerprint identifies credentials inside this process only.
_SALT = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A user name and password, or a token. Without any of them it is anonymous."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def fingerprint(self) -> str:
        """A salted hash that identifies the credential; empty for the anonymous one."""
        return "" if self == ANONYMOUS else _fingerprint(self._fields())

    def _fields(self) -> tuple[str, ...]:
        return (self.username, self.password, self.identity_token, self.registry_token)

    def __repr__(self) -> str:
        return "Credential(anonymous)" if self == ANONYMOUS else f"Credential({self.username!r}, …)"


ANONYMOUS: Final = Credential()


@dataclass(frozen=True, slots=True)
class Keyring:
    """Credentials, each with the pattern of its images: `host[:port][/path]`, with wildcards in labels of the host.

    `unreadable` names the entries of pull secrets that could not be parsed.
    """

    entries: tuple[tuple[str, Credential], ...] = ()
    unreadable: tuple[str, ...] = ()

    def __add__(self, other: "Keyring") -> "Keyring":
        return Keyring(self.entries + other.entries, self.unreadable + other.unreadable)

    def candidates(self, name: str) -> tuple[Credential, ...]:
        """Return the credentials for `registry/repository` in the order to try.

        The longest pattern of a host comes first, wildcards come last, then anonymous access.
        """
        ordered = sorted(self.entries, key=lambda entry: entry[0], reverse=True)
        spellings = _spellings(name)
        found = [credential for pattern, credential in ordered if any(_matches(pattern, text) for text in spellings)]
        return tuple(dict.fromkeys([*found, ANONYMOUS]))

    def fingerprint(self, name: str) -> str:
        """Return a hash of the credentials for `registry/repository`; empty if there are none."""
        known = self.candidates(name)[:-1]
        return _fingerprint([credential.fingerprint for credential in known]) if known else ""


def parse_pull_secret(name: str, secret_type: str, data: Mapping[str, str]) -> Keyring | RegistryFailure:
    """Parse the credentials of a Secret; `data` is base64 text, as the API server sends it.

    An entry that cannot be parsed is only listed in `unreadable`. A Secret without a valid document is a failure.
    """
    key = _KEYS.get(secret_type)
    if key is None:
        return _unusable(name, f"has type {quoted(secret_type)!r}, but a pull secret has type {DOCKER_CONFIG_JSON}")
    try:
        document = json.loads(b64decode(data[key], validate=True))
    except KeyError:
        return _unusable(name, f"has no key {key}: create it with kubectl create secret docker-registry")
    except (ValueError, RecursionError):  # base64, UTF-8 and JSON errors are ValueErrors
        return _unusable(name, f"contains no JSON in {key}: create it with kubectl create secret docker-registry")
    hosts = document.get("auths") if secret_type == DOCKER_CONFIG_JSON and isinstance(document, dict) else document
    if not isinstance(hosts, dict):
        return _unusable(name, f"contains no registries in {key}: create it with kubectl create secret docker-registry")
    return keyring_of(hosts, origin=f"Secret {name}")


def keyring_of(hosts: Mapping[str, Any], origin: str) -> Keyring:
    """Return the credentials of the `auths` of a Docker configuration; `origin` names it in `unreadable`."""
    entries: list[tuple[str, Credential]] = []
    unreadable: list[str] = []
    for host, entry in hosts.items():
        pattern, credential = _pattern(host), _credential(entry)
        if pattern and credential is not None:
            entries.append((pattern, credential))
        else:
            unreadable.append(f"{origin}, entry {quoted(host)!r}")
    return Keyring(tuple(entries), tuple(unreadable))


def process_keyring(environment: Mapping[str, str]) -> Keyring:
    """Return the credentials of the process's own Docker configuration; empty if there is none that can be parsed."""
    home = environment.get("HOME", "")
    folder = environment.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else "")
    try:
        document = json.loads((Path(folder) / "config.json").read_bytes()) if folder else {}
    except (OSError, ValueError, RecursionError):
        return Keyring()
    hosts = document.get("auths") if isinstance(document, dict) else None
    return keyring_of(hosts, origin="Docker configuration") if isinstance(hosts, dict) else Keyring()


def _credential(entry: object) -> Credential | None:
    """Parse one entry; None if it is malformed. `auth` takes precedence over user name and password."""
    if not isinstance(entry, dict):
        return None
    fields = {key: entry.get(key) or "" for key in ("username", "password", "auth", "identitytoken", "registrytoken")}
    if not all(isinstance(value, str) for value in fields.values()):
        return None
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        padded = fields["auth"] + "=" * (-len(fields["auth"]) % 4)
        try:
            decoded = b64decode(padded, validate=True).decode()
        except ValueError:  # not base64, or not UTF-8 inside
            return None
        username, colon, password = decoded.partition(":")
        if not colon:
            return None
    return Credential(username, password.rstrip("\0"), fields["identitytoken"], fields["registrytoken"])


def _pattern(host: str) -> str:
    """Return the pattern of an entry, without scheme and without the `/v1/` or `/v2/` that Docker writes."""
    text = host.partition("://")[2] if host.startswith(("https://", "http://")) else host
    authority, slash, path = text.partition("/")
    path = f"{slash}{path}"
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    if path in ("/v1", "/v2", "/"):
        path = ""
    return authority.lower() + path if authority else ""


def _spellings(name: str) -> Sequence[str]:
    """Return the image's name with each name of its registry."""
    registry, _, repository = name.partition("/")
    registries = DOCKER_HUB_ALIASES if registry == DOCKER_HUB else (registry,)
    return [f"{registry}/{repository}" for registry in registries]


def _matches(pattern: str, name: str) -> bool:
    """Match as the kubelet does: equal ports, as many labels, wildcards in each label, the path as a prefix."""
    (labels, port, path), (own_labels, own_port, own_path) = _parts(pattern), _parts(name)
    return (
        port == own_port
        and len(labels) == len(own_labels)
        and own_path.startswith(path)
        and all(_label_matches(label, own) for label, own in zip(labels, own_labels, strict=True))
    )


def _label_matches(pattern: str, label: str) -> bool:
    """Match one label; Go negates a class with ^, and an IPv6 address in brackets is not a class."""
    return pattern == label or fnmatchcase(label, pattern.replace("[^", "[!"))


def _parts(text: str) -> tuple[Sequence[str], str, str]:
    authority, slash, path = text.partition("/")
    host, bracket, port = authority.rpartition("]") if authority.startswith("[") else authority.partition(":")
    return (host + bracket.strip(":")).split("."), port.strip(":"), f"{slash}{path}"


def _fingerprint(fields: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(fields).encode(errors="surrogatepass"), key=_SALT, digest_size=16).hexdigest()


def _unusable(name: str, why: str) -> RegistryFailure:
    return failure(Problem.AUTH, f"Secret {name} {why}")
