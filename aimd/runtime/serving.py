"""TLS and authorization for pages that not everyone may read."""

import hashlib
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError
from aimd.runtime.kinds import SUBJECT_ACCESS_REVIEW, TOKEN_REVIEW
from aimd.runtime.objects import Manifest

ADMITTED_SECONDS = 60.0
REFUSED_SECONDS = 30.0
_REMEMBERED = 1000
_MOST_CHECKS = 2
_LIFETIME = timedelta(days=365)

_log = structlog.get_logger()


@dataclass
class ServingCertificate:
    """The certificate and key of a server.

    Errors:
    - OSError or ssl.SSLError from `context` if the files can't be used.
    """

    folder: str = ""
    """Folder of the files. Without one, a self-signed certificate is made for the life of the process."""
    certificate: str = "tls.crt"
    """File name of the certificate; the default is that of a Kubernetes TLS Secret, like that of `key`."""
    key: str = "tls.key"
    """File name of the private key."""
    _loaded: tuple[int, int] = (0, 0)
    _context: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for the listener, which offers only HTTP/1.1."""
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.set_alpn_protocols(["http/1.1"])
        if self.folder:
            self._load()
        else:
            with tempfile.TemporaryDirectory() as made:
                _make_self_signed(Path(made) / "tls.crt", Path(made) / "tls.key")
                self._context.load_cert_chain(Path(made) / "tls.crt", Path(made) / "tls.key")
        return self._context

    def refresh(self) -> None:
        """Use changed files for new connections; if they can't be used, log that and keep the old ones."""
        try:
            if self.folder and self._changed() != self._loaded:
                self._load()
                _log.info("serving certificate renewed", folder=self.folder)
        except (OSError, ssl.SSLError) as error:
            _log.error("serving certificate not renewed", folder=self.folder, error=str(error))

    def _load(self) -> None:
        changed = self._changed()
        # First into a separate context: an unusable pair must not replace the one in use.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
        self._context.load_cert_chain(*self._files)
        self._loaded = changed

    @property
    def _files(self) -> tuple[Path, Path]:
        return Path(self.folder) / self.certificate, Path(self.folder) / self.key

    def _changed(self) -> tuple[int, int]:
        certificate, key = self._files
        return certificate.stat().st_mtime_ns, key.stat().st_mtime_ns


def _make_self_signed(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(encoding, form, serialization.NoEncryption()))


@dataclass
class TokenAccess:
    """Decides which callers may read a page, as controller-runtime's metrics server (OPS-MET-1).

    A caller's bearer token is checked by a TokenReview, its right to `get` the path by a SubjectAccessReview.

    Guarantees:
    - Answers are cached, by a hash of the token: admissions for 60 s, refusals for 30 s.
    - Callers that are refused share a table of their own, so they cannot flush the answers for others; and no more than
      two callers are checked at a time, so they cannot take the requests of reconciles (OPS-MET-4).
    """

    client: Client
    clock: Callable[[], float] = time.monotonic
    _admitted: dict[tuple[bytes, str], tuple[float, int]] = field(default_factory=dict)
    _refused: dict[tuple[bytes, str], tuple[float, int]] = field(default_factory=dict)
    _checks: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_MOST_CHECKS))

    async def status(self, token: str, path: str) -> int:
        """Return the HTTP status for a caller.

        200 if it may read the path, 401 without a valid token, 403 without the right, 500 if the check failed.
        """
        if not token:
            return 401
        caller = hashlib.sha256(token.encode()).digest(), path
        if (known := self._known(caller)) is not None:
            return known
        try:
            async with self._checks:
                known = self._known(caller)  # Another request with the token may have been checked in the meantime.
                return await self._check(caller, token) if known is None else known
        except ApiError as error:
            _log.error("authorization check failed", path=path, error=str(error))
            return 500

    def _known(self, caller: tuple[bytes, str]) -> int | None:
        until, status = self._admitted.get(caller) or self._refused.get(caller) or (0.0, 0)
        return status if self.clock() < until else None

    async def _check(self, caller: tuple[bytes, str], token: str) -> int:
        """Ask the API server, and keep its answer."""
        user = await self._user(token)
        status = 401 if user is None else 200 if await self._is_granted(user, caller[1]) else 403
        table, seconds = (self._admitted, ADMITTED_SECONDS) if status == 200 else (self._refused, REFUSED_SECONDS)
        self._admitted.pop(caller, None)
        self._refused.pop(caller, None)
        table[caller] = (self.clock() + seconds, status)
        if len(table) > _REMEMBERED:
            del table[next(iter(table))]
        return status

    async def _user(self, token: str) -> Manifest | None:
        review = {"apiVersion": TOKEN_REVIEW.api_version, "kind": TOKEN_REVIEW.name, "spec": {"token": token}}
        status = (await self.client.ask(TOKEN_REVIEW, review)).get("status") or {}
        return (status.get("user") or {}) if status.get("authenticated") else None

    async def _is_granted(self, user: Manifest, path: str) -> bool:
        spec: Manifest = {"nonResourceAttributes": {"path": path, "verb": "get"}}
        given = {"user": "username", "uid": "uid", "groups": "groups", "extra": "extra"}
        spec |= {name: user[known] for name, known in given.items() if user.get(known)}
        review = {"apiVersion": SUBJECT_ACCESS_REVIEW.api_version, "kind": SUBJECT_ACCESS_REVIEW.name, "spec": spec}
        answered = await self.client.ask(SUBJECT_ACCESS_REVIEW, review)
        return bool((answered.get("status") or {}).get("allowed"))
