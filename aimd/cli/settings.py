"""The flags of `aimd run`.

Flags have the names that existing manifests set, in Go's syntax: one or two dashes, `--flag=value`, `--flag value`,
`--switch`, `--switch=false`; the last one wins. Flags without effect are accepted and logged.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from aimd.cli.environment import NAMESPACE_PATTERN

_WORKERS = re.compile(r"(?:[a-z][a-z-]*=)?[1-9]\d*")

DEFAULT_WORKERS = 8

WITHOUT_EFFECT = frozenset(
    (
        *("webhook_cert_path", "webhook_cert_name", "webhook_cert_key", "enable_http2"),
        *("zap_stacktrace_level", "zap_time_encoding", "kube_api_qps", "kube_api_burst"),
    )
)
"""Flags that are accepted and change nothing."""


def _seconds_of(value: object) -> object:
    """Return the seconds of a duration as Go writes it (`1h30m`, `250ms`, `0`); pass on what is not a text."""
    if not isinstance(value, str):
        return value
    from aimd.planning.durations import parse_duration  # `--version` starts without it.

    return float(parse_duration(value))


@dataclass(frozen=True, slots=True)
class Metavar:
    """What stands for the value of a flag in `--help`."""

    text: str


Duration = Annotated[float, BeforeValidator(_seconds_of), Metavar("DURATION")]
Namespace = Annotated[str, StringConstraints(pattern=NAMESPACE_PATTERN)]
Address = Annotated[str, Metavar("HOST:PORT")]
Url = Annotated[str, Metavar("URL")]
FileName = Annotated[str, Metavar("NAME")]


class Flags(BaseSettings):
    """Run the operator until SIGTERM or SIGINT."""

    model_config = SettingsConfigDict(cli_kebab_case=True, cli_avoid_json=True, frozen=True)

    kubeconfig: Path | None = Field(
        None, description="path to a kubeconfig; if unset, KUBECONFIG, then the pod's service account"
    )
    watch_namespaces: Annotated[tuple[Namespace, ...], Metavar("NAMESPACE")] = Field(
        (), description="namespaces to watch, separated by commas or repeated; if unset, all"
    )
    downloader_image: Annotated[str, Metavar("IMAGE")] = Field(
        "", description="image of the jobs of artifacts that do not name one; if unset, the image of this release"
    )
    downloader_requests: Annotated[tuple[str, ...], Metavar("RESOURCE=QUANTITY")] = Field(
        (), description="resource request of download pods, repeatable; if unset, cpu=500m and memory=1Gi"
    )
    download_images: Annotated[tuple[str, ...], Metavar("GLOB")] = Field(
        (),
        description="images that artifacts may name for their jobs, beside the operator's own, separated by commas or"
        " repeated, for example registry.example.com/tools/*; if unset, all",
    )
    allow_debug: bool = Field(
        default=False,
        description="pass the variables AIM_DEBUG_*, which simulate downloads, on to download jobs; for test clusters,"
        " and always if the API server is at a loopback address",
    )
    artifact_retry_base: Duration = Field(
        600.0, ge=1, description="wait before a failed download starts again; doubles with each failure, up to 6h"
    )
    max_concurrent_reconciles: Annotated[tuple[str, ...], Metavar("[CONTROLLER=]N")] = Field(
        (str(DEFAULT_WORKERS),),
        description="reconciles that run at the same time, per controller; CONTROLLER=N, repeatable, sets it for one"
        " controller",
    )
    resync_period: Duration = Field(36_000.0, ge=1, description="interval at which all objects are reconciled again")
    graceful_shutdown_timeout: Duration = Field(
        25.0,
        description="how long to wait for in-flight reconciles on shutdown; must be shorter than the termination grace"
        " period of the pod",
    )

    leader_elect: bool = Field(default=False, description="enable leader election between replicas, using a Lease")
    leader_elect_lease_duration: Duration = Field(
        15.0, ge=1, description="how long a standby waits before taking over from a silent leader"
    )
    leader_elect_renew_deadline: Duration = Field(
        10.0, description="how long a leader tries to renew its Lease before it stops"
    )
    leader_elect_retry_period: Duration = Field(
        2.0, gt=0, description="interval between attempts to acquire or renew the Lease"
    )

    health_probe_bind_address: Address = Field(":8081", description="address of /healthz and /readyz; 0 disables them")
    metrics_bind_address: Address = Field("0", description="address of /metrics; 0 disables it")
    metrics_secure: bool = Field(
        default=True,
        description="serve /metrics over HTTPS to callers authorized for the non-resource URL /metrics; if false, over"
        " plain HTTP to all callers",
    )
    metrics_cert_path: Annotated[str, Metavar("FOLDER")] = Field(
        "",
        description="folder with the certificate of /metrics, read again when it is renewed; if unset, a self-signed"
        " certificate",
    )
    metrics_cert_name: FileName = Field("tls.crt", description="file name of the certificate of /metrics")
    metrics_cert_key: FileName = Field("tls.key", description="file name of the key of /metrics")

    zap_devel: bool = Field(default=False, description="development logging: human-readable, from level debug")
    zap_encoder: Literal["", "json", "console"] = Field("", description="log format; if unset, json")
    zap_log_level: Annotated[str, Metavar("LEVEL")] = Field(
        "", description="lowest level to log: debug, info, error, or a verbosity above 0; if unset, info"
    )
    zap_stacktrace_level: str = Field("", description="no effect: tracebacks are logged with unexpected errors")
    zap_time_encoding: str = Field("", description="no effect: times are RFC 3339")

    tracing: bool = Field(
        default=False,
        description="send spans of reconciles and their API requests by OTLP over HTTP, configured by the environment"
        " variables OTEL_*",
    )

    registry_timeout: Duration = Field(
        30.0, gt=0, description="timeout of one look-up in an image registry, retries included"
    )
    registry_concurrency: int = Field(8, ge=1, description="concurrent requests to one image registry")
    registry_mirrors: Annotated[tuple[str, ...], Metavar("REGISTRY=URL")] = Field(
        (),
        description="mirror to use instead of an image registry, separated by commas or repeated, for example"
        " docker.io=https://mirror.example.com",
    )
    registry_allow: Annotated[tuple[str, ...], Metavar("HOST|CIDR")] = Field(
        (),
        description="image registries that need no public address, separated by commas or repeated: host names,"
        " *.domain, IP addresses or CIDRs, without ports; never loopback, link-local, metadata or service addresses",
    )
    service_cidrs: Annotated[tuple[str, ...], Metavar("CIDR")] = Field(
        (),
        description="networks of the cluster's Services, where no image registry is contacted; if unset, those that the"
        " API server states",
    )
    docker_hub_api: Url = Field(
        "", description="API that lists the repositories of Docker Hub; if unset, Docker Hub's own"
    )
    github_api: Url = Field("", description="API that lists the packages of ghcr.io; if unset, GitHub's own")
    discovery_slots: int = Field(10, ge=1, description="discovery jobs that run at the same time in the whole cluster")
    discovery_namespace: Annotated[str, StringConstraints(pattern=f"^$|{NAMESPACE_PATTERN}"), Metavar("NAMESPACE")] = (
        Field("", description="namespace of the discovery jobs of cluster templates; if unset, the operator's")
    )
    discovery_service_accounts: Annotated[tuple[str, ...], Metavar("NAME")] = Field(
        (),
        description="service accounts that pods may use by name in the namespaces of the operator and of discovery,"
        " separated by commas or repeated; the operator's own is never allowed; if unset, none",
    )
    discovery_secrets: Annotated[tuple[str, ...], Metavar("NAME")] = Field(
        (),
        description="Secrets and ConfigMaps from which cluster templates may take variables in these namespaces,"
        " separated by commas or repeated; if unset, none",
    )
    object_metrics: bool = Field(default=True, description="export metrics with the names of objects as labels")
    object_metrics_limit: int = Field(
        5000,
        ge=0,
        description="maximum number of series of a metric with object names; a metric with more series is left out",
    )

    kube_api_qps: float = Field(50.0, description="no effect: aimd limits concurrent requests, not their rate")
    kube_api_burst: int = Field(100, description="no effect: aimd limits concurrent requests, not their rate")
    enable_http2: bool = Field(default=False, description="no effect: aimd serves HTTP/1.1 only")
    webhook_cert_path: str = Field("", description="no effect: aimd has no webhook")
    webhook_cert_name: str = Field("tls.crt", description="no effect: aimd has no webhook")
    webhook_cert_key: str = Field("tls.key", description="no effect: aimd has no webhook")

    version: bool = Field(default=False, description="print the version and exit")

    @field_validator("kubeconfig", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("watch_namespaces", mode="before")
    @classmethod
    def _without_blanks(cls, value: Iterable[str]) -> tuple[str, ...]:
        return tuple(stripped for namespace in value if (stripped := namespace.strip()))

    @field_validator("health_probe_bind_address", "metrics_bind_address", mode="after")
    @classmethod
    def _can_be_listened_at(cls, value: str) -> str:
        _, colon, port = value.rpartition(":")
        if value not in ("", "0") and not (colon and port.isdecimal() and int(port) < 2**16):
            raise ValueError("write <host>:<port> or :<port>, or 0 to disable it")
        return value

    @field_validator("max_concurrent_reconciles", mode="after")
    @classmethod
    def _are_counts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [entry for entry in value if not _WORKERS.fullmatch(entry)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: write <n> or <controller>=<n> with n above 0")
        return value

    @field_validator("registry_mirrors", mode="after")
    @classmethod
    def _name_mirrors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [entry for entry in value if not (entry.partition("=")[0] and _is_url(entry.partition("=")[2]))]
        if wrong:
            raise ValueError("write <registry>=<URL>, the URL with https:// or http:// and without credentials")
        return value

    @field_validator("registry_allow", mode="after")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            from aimd.registry.addresses import address_policy  # `--version` starts without it.

            address_policy(value)
        return value

    @field_validator("service_cidrs", mode="after")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(entry)) for entry in value)

    @field_validator("docker_hub_api", "github_api", mode="after")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value and not _is_url(value):
            raise ValueError("write a URL with https:// or http:// and without credentials")
        return value

    @field_validator("downloader_requests", mode="after")
    @classmethod
    def _are_quantities(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            from aimd.planning.quantities import parse_quantity  # `--version` starts without it.
        for entry in value:
            resource, _, quantity = entry.partition("=")
            if not resource:
                raise ValueError("write <resource>=<quantity>, for example cpu=500m")
            parse_quantity(quantity)
        return value

    @field_validator("zap_log_level", mode="after")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        if value not in ("", "debug", "info", "error") and not re.fullmatch(r"[1-9]\d*", value):
            raise ValueError("write debug, info, error, or a whole number above 0")
        return value

    @model_validator(mode="after")
    def _lease_outlasts_renewal(self) -> Self:
        """Require what client-go requires; otherwise two replicas could lead, or none for a long time."""
        if not self.leader_elect_lease_duration > self.leader_elect_renew_deadline > self.leader_elect_retry_period:
            raise ValueError(
                "--leader-elect-lease-duration must be above --leader-elect-renew-deadline, and that above"
                " --leader-elect-retry-period"
            )
        return self

    @property
    def log_level(self) -> str:
        """Return the lowest level to log: `debug`, `info` or `error`."""
        level = self.zap_log_level or ("debug" if self.zap_devel else "info")
        return "debug" if level.isdigit() else level

    @property
    def log_json(self) -> bool:
        """Return whether each log line is a JSON object; otherwise it is human-readable text."""
        return (self.zap_encoder or ("console" if self.zap_devel else "json")) == "json"

    @property
    def mirrors(self) -> dict[str, str]:
        """Return the URL of the mirror by image registry."""
        pairs = (entry.partition("=") for entry in self.registry_mirrors)
        return {registry: url for registry, _, url in pairs}

    @property
    def without_effect(self) -> list[str]:
        """Return the flags on the command line that have no effect, as they are written."""
        return sorted("--" + name.replace("_", "-") for name in self.model_fields_set & WITHOUT_EFFECT)

    @property
    def in_effect(self) -> dict[str, object]:
        """Return every flag that has an effect with its value, for the log; flags hold no secrets."""
        names = (name for name in type(self).model_fields if name not in WITHOUT_EFFECT | {"version"})
        return {name.replace("_", "-"): _plain(getattr(self, name)) for name in names}

    @property
    def named_controllers(self) -> frozenset[str]:
        """Return the controllers whose number of workers is set by name."""
        return frozenset(self._worker_counts) - {""}

    @property
    def job_requests(self) -> dict[str, str]:
        """Return the resource requests of download pods by resource, empty for the defaults."""
        return dict(entry.split("=", 1) for entry in self.downloader_requests)

    def workers_of(self, controller: str) -> int:
        """Return how many objects a controller reconciles at the same time."""
        counts = self._worker_counts
        return counts.get(controller, counts.get("", DEFAULT_WORKERS))

    @property
    def _worker_counts(self) -> dict[str, int]:
        pairs = (entry.rpartition("=") for entry in self.max_concurrent_reconciles)
        return {controller: int(count) for controller, _, count in pairs}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the signature is pydantic's)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read flags from the command line alone: an environment variable `VERSION` must not change them."""
        return (init_settings,)


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in parts.netloc


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
