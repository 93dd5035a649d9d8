"""Settings of a download job, read from its environment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aimd.downloads.backoff import DEFAULT_SECONDS
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.object_store import ObjectStoreAccess

OBJECT_STORE = "S3"
KNOWN_PROTOCOLS = frozenset({"XET", "HF_TRANSFER", "HTTP", OBJECT_STORE})

TERMINATION_LOG = Path("/dev/termination-log")
"""Default path of a container's termination message."""

_SHORTEST = 0.05
"""Lower bound of intervals and timeouts in seconds, so that `0` does not keep the job busy."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """Debug switches with which test suites simulate a download (ART-RUN-9); durations in seconds."""

    hang: bool = False
    fail: bool = False
    download: bool = False
    download_seconds: float = 10.0
    verify_seconds: float = 10.0
    verify_fails: bool = False
    protocols: bool = False
    protocol_seconds: float = 2.0
    failing_protocols: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DownloadSettings:
    """What to download, where to, and the limits; durations in seconds.

    `uri` is the source URI as given, not validated yet. `protocols` is the sequence to try left to right, `sequence`
    its text as given. `retry_timeout` limits the retries of a server that fails or cannot be reached. With
    `connections` 0, their number depends on the size.
    """

    uri: str
    target: Path
    endpoint: str = ""
    token: str = ""
    sequence: str = ""
    protocols: tuple[str, ...] = ()
    expected_bytes: int = 0
    progress_interval: float = 5.0
    stall_timeout: float = 120.0
    retry_timeout: float = DEFAULT_SECONDS
    connections: int = 0
    object_store: ObjectStoreAccess = field(default_factory=ObjectStoreAccess)
    artifact_name: str = ""
    artifact_namespace: str = ""
    service_account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    api_server: str = ""
    termination_log: Path = TERMINATION_LOG
    simulation: Simulation = Simulation()


def settings_from(environment: Mapping[str, str], uri: str, target: Path | None = None) -> DownloadSettings:
    """Read the environment of the job. Raises DownloadFailure for a value that is not valid."""
    sequence = environment.get("AIM_DOWNLOADER_PROTOCOL", "")
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    defaults = DownloadSettings(uri, Path())
    return DownloadSettings(
        uri=uri,
        target=target or Path(environment.get("TARGET_DIR") or environment.get("MOUNT_PATH") or "/cache"),
        endpoint=_endpoint(environment),
        token=environment.get("HF_TOKEN", "").strip(),  # a secret's value often ends with a line break
        sequence=sequence,
        protocols=tuple(word.strip().upper() for word in sequence.split(",") if word.strip()),
        expected_bytes=int(_number(environment, "EXPECTED_SIZE_BYTES", 0)),
        progress_interval=max(_SHORTEST, _number(environment, "PROGRESS_INTERVAL", 5.0)),
        stall_timeout=max(_SHORTEST, _number(environment, "STALL_TIMEOUT", 120.0)),
        retry_timeout=_number(environment, "RETRY_TIMEOUT", DEFAULT_SECONDS),
        object_store=_object_store(environment),
        artifact_name=environment.get("ARTIFACT_NAME", ""),
        artifact_namespace=environment.get("ARTIFACT_NAMESPACE", ""),
        service_account=Path(environment.get("AIMD_SERVICE_ACCOUNT_DIR") or defaults.service_account),
        api_server=f"https://{f'[{host}]' if ':' in host else host}:{port}" if host else "",
        termination_log=termination_log(environment),
        simulation=_simulation(environment),
    )


def termination_log(environment: Mapping[str, str]) -> Path:
    """Return the path of the termination message."""
    return Path(environment.get("AIMD_TERMINATION_LOG") or TERMINATION_LOG)


def _endpoint(environment: Mapping[str, str]) -> str:
    endpoint = environment.get("HF_ENDPOINT", "").strip().rstrip("/")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise DownloadFailure(
            Reason.BAD_REQUEST, f"HF_ENDPOINT={endpoint!r} is not valid: set an http:// or https:// URL"
        )
    return endpoint


def _object_store(environment: Mapping[str, str]) -> ObjectStoreAccess:
    """Return how to reach the object store, without credentials: botocore reads them itself."""
    endpoint = (environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or "").strip()
    plain = environment.get("S3_NO_SSL", "").strip().lower() in ("1", "true", "yes")
    scheme, separator, host = endpoint.rpartition("://")
    if separator and scheme not in ("http", "https"):
        raise DownloadFailure(
            Reason.BAD_REQUEST, f"AWS_ENDPOINT_URL={endpoint!r} is not valid: set an http:// or https:// URL"
        )
    if endpoint:
        endpoint = f"{'http' if plain else scheme or 'https'}://{host.rstrip('/')}"
    return ObjectStoreAccess(
        endpoint=endpoint,
        region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "",
        ca_bundle=environment.get("AWS_CA_BUNDLE", ""),
    )


def _simulation(environment: Mapping[str, str]) -> Simulation:
    failing = environment.get("AIM_DEBUG_SIMULATE_HF_FAIL_PROTOCOLS", "")
    return Simulation(
        hang=_switch(environment, "AIM_DEBUG_CAUSE_HANG"),
        fail=_switch(environment, "AIM_DEBUG_CAUSE_FAILURE"),
        download=_switch(environment, "AIM_DEBUG_SIMULATE_DOWNLOAD"),
        download_seconds=_number(environment, "AIM_DEBUG_DOWNLOAD_DURATION", 10.0),
        verify_seconds=_number(environment, "AIM_DEBUG_VERIFY_DURATION", 10.0),
        verify_fails=_switch(environment, "AIM_DEBUG_VERIFY_FAIL"),
        protocols=_switch(environment, "AIM_DEBUG_SIMULATE_HF_DOWNLOAD"),
        protocol_seconds=_number(environment, "AIM_DEBUG_SIMULATE_HF_DURATION", 2.0),
        failing_protocols=frozenset(word.strip().upper() for word in failing.split(",") if word.strip()),
    )


def _switch(environment: Mapping[str, str], name: str) -> bool:
    return bool(environment.get(name))


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise DownloadFailure(Reason.BAD_REQUEST, f"{name}={text!r} is not valid: set a number of 0 or more")
    return number
