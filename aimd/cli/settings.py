"""The operator's flags.

The flags are those that existing manifests pass, in Go's syntax: one or two dashes, `--flag=value`, `--flag value`,
`--switch`, `--switch=false`, the last one wins. What has no effect here is accepted and named in the log.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from aimd.cli.environment import NAMESPACE_PATTERN, without_credentials

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


Duration = Annotated[float, BeforeValidator(_seconds_of)]
Namespace = Annotated[str, StringConstraints(pattern=NAMESPACE_PATTERN)]


class Flags(BaseSettings):
    """Runs the operator until it is told to stop."""

    model_config = SettingsConfigDict(
        cli_prog_name="aimd run", cli_kebab_case=True, cli_hide_none_type=True, cli_avoid_json=True, frozen=True
    )

    kubeconfig: Path | None = Field(None, description="path of a kubeconfig; empty: KUBECONFIG, else the pod's account")
    watch_namespaces: tuple[Namespace, ...] = Field((), description="comma list of namespaces; empty: all")
    downloader_image: str = Field("", description="image of download jobs that name none; empty: that of this release")
    downloader_requests: tuple[str, ...] = Field(
        (), description="what download pods ask for, as <resource>=<quantity>; repeated; none: cpu=500m and memory=1Gi"
    )
    artifact_retry_base: Duration = Field(
        600.0, ge=1, description="shortest wait after a download that failed for good; doubles with each, up to 6h"
    )
    max_concurrent_reconciles: tuple[str, ...] = Field(
        (str(DEFAULT_WORKERS),), description="workers of each controller; <controller>=<n>, repeated, sets those of one"
    )
    resync_period: Duration = Field(36_000.0, ge=1, description="how often everything is looked at again, e.g. 10h")
    graceful_shutdown_timeout: Duration = Field(
        25.0, description="time for running passes to end; must be below the pod's grace period, e.g. 25s"
    )

    leader_elect: bool = Field(False, description="take turns with other replicas by a Lease")
    leader_elect_lease_duration: Duration = Field(
        15.0, ge=1, description="how long a silent leader is waited for, e.g. 15s"
    )
    leader_elect_renew_deadline: Duration = Field(10.0, description="when a leader that cannot renew stops, e.g. 10s")
    leader_elect_retry_period: Duration = Field(2.0, gt=0, description="time between attempts, e.g. 2s")

    health_probe_bind_address: str = Field(":8081", description="address of /healthz and /readyz; 0: off")
    metrics_bind_address: str = Field("0", description="address of /metrics; 0: off")
    metrics_secure: bool = Field(
        True, description="HTTPS, for whose token may get the non-resource URL /metrics; false: plain HTTP for all"
    )
    metrics_cert_path: str = Field(
        "", description="folder of the certificate of /metrics, read again when renewed; empty: self-signed"
    )
    metrics_cert_name: str = Field("tls.crt", description="file name of the certificate")
    metrics_cert_key: str = Field("tls.key", description="file name of its key")

    zap_devel: bool = Field(False, description="development logging: text for people, from debug on")
    zap_encoder: Literal["", "json", "console"] = Field("", description="form of the log: json (default) or console")
    zap_log_level: str = Field("", description="lowest level: debug, info (default), error, or a verbosity above 0")
    zap_stacktrace_level: str = Field("", description="no effect: a traceback is logged where it helps")
    zap_time_encoding: str = Field("", description="no effect: times are RFC 3339")

    tracing: bool = Field(
        False, description="spans of reconciles and their API requests by OTLP over HTTP, as the variables OTEL_* say"
    )

    registry_timeout: Duration = Field(30.0, gt=0, description="longest question to a registry, in all, e.g. 30s")
    registry_concurrency: int = Field(8, ge=1, description="requests at once to one registry")
    registry_mirrors: tuple[str, ...] = Field(
        (), description="<registry>=<URL>, comma list or repeated: who is asked instead, e.g. docker.io=https://mirror"
    )
    docker_hub_api: str = Field("", description="URL where Docker Hub lists repositories; empty: its own")
    github_api: str = Field("", description="URL where GitHub lists the packages of ghcr.io; empty: its own")
    discovery_slots: int = Field(10, ge=1, description="discovery jobs running at once in the whole cluster")
    object_metrics: bool = Field(True, description="metrics with names of objects")
    object_metrics_limit: int = Field(
        5000, ge=0, description="most series of a family with names of objects; a family with more is left out"
    )

    kube_api_qps: float = Field(50.0, description="no effect: requests at once are limited, not their rate")
    kube_api_burst: int = Field(100, description="no effect, as above")
    enable_http2: bool = Field(False, description="no effect: HTTP/1.1 only")
    webhook_cert_path: str = Field("", description="no effect: there is no webhook")
    webhook_cert_name: str = Field("tls.crt", description="no effect")
    webhook_cert_key: str = Field("tls.key", description="no effect")

    version: bool = Field(False, description="print the version and exit")

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
            raise ValueError("write <host>:<port> or :<port>; 0 switches it off")
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
            from aimd.planning.quantities import parse_quantity  # what `--version` starts without
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
            raise ValueError("write debug, info, error or a whole number above 0")
        return value

    @model_validator(mode="after")
    def _leaders_take_turns(self) -> Self:
        """As client-go asks for; otherwise two could lead, or none for long."""
        if not self.leader_elect_lease_duration > self.leader_elect_renew_deadline > self.leader_elect_retry_period:
            raise ValueError(
                "--leader-elect-lease-duration must be above -renew-deadline, and that above -retry-period"
            )
        return self

    @property
    def log_level(self) -> str:
        """`debug`, `info` or `error`."""
        level = self.zap_log_level or ("debug" if self.zap_devel else "info")
        return "debug" if level.isdigit() else level

    @property
    def log_json(self) -> bool:
        """Whether each log line is a JSON object; otherwise text for people."""
        return (self.zap_encoder or ("console" if self.zap_devel else "json")) == "json"

    @property
    def mirrors(self) -> dict[str, str]:
        """The URL that is asked instead, by registry."""
        pairs = (entry.partition("=") for entry in self.registry_mirrors)
        return {registry: url for registry, _, url in pairs}

    @property
    def without_effect(self) -> list[str]:
        """The given flags that change nothing, as they are written."""
        return sorted("--" + name.replace("_", "-") for name in self.model_fields_set & WITHOUT_EFFECT)

    @property
    def in_force(self) -> dict[str, object]:
        """Every flag that has an effect and its value, as it is logged; flags hold no secrets."""
        names = (name for name in type(self).model_fields if name not in WITHOUT_EFFECT | {"version"})
        return {name.replace("_", "-"): _plain(getattr(self, name)) for name in names}

    @property
    def named_controllers(self) -> frozenset[str]:
        """The controllers whose number of workers is set by name."""
        return frozenset(self._worker_counts) - {""}

    @property
    def job_requests(self) -> dict[str, str]:
        """Resource requests of download pods by resource; empty: the defaults."""
        return dict(entry.split("=", 1) for entry in self.downloader_requests)

    def workers_of(self, controller: str) -> int:
        """How many keys that controller works on at once."""
        counts = self._worker_counts
        return counts.get(controller, counts.get("", DEFAULT_WORKERS))

    @property
    def _worker_counts(self) -> dict[str, int]:
        pairs = (entry.rpartition("=") for entry in self.max_concurrent_reconciles)
        return {controller: int(count) for controller, _, count in pairs}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags come from the command line alone: a stray variable `VERSION` must not change them."""
        return (init_settings,)


def parse_flags(arguments: Sequence[str]) -> Flags:
    """The flags of a command line; ends the process with status 2 and one clear line when one is unknown or wrong."""
    try:
        return Flags(_cli_parse_args=[*_uniform(arguments)])
    except ValidationError as error:
        for detail in error.errors():
            flag = str(detail["loc"][0]).replace("_", "-") if detail["loc"] else ""
            where = f"--{flag}={without_credentials(str(detail['input']))}: " if flag else ""
            problem = without_credentials(detail["msg"].removeprefix("Value error, "))
            print(f"aimd run: {where}{problem}", file=sys.stderr)
        raise SystemExit(2) from None


def _uniform(arguments: Sequence[str]) -> Iterator[str]:
    """Go's spellings of a flag as one: `--flag=value`."""
    rest = iter(arguments)
    for argument in rest:
        name, equals, text = argument.lstrip("-").partition("=")
        field = Flags.model_fields.get(name.replace("-", "_"))
        if not argument.startswith("-") or field is None:
            yield argument
        elif equals:
            yield f"--{name}={text}"
        elif field.annotation is bool:
            yield f"--{name}=true"
        else:
            value = next(rest, None)
            yield f"--{name}" if value is None else f"--{name}={value}"


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in parts.netloc


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
