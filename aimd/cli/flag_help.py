"""How the flags of `aimd run` read in `--help` and in docs/configuration.md: types, defaults, groups."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from aimd.cli.settings import WITHOUT_EFFECT, Duration, Flags, Metavar

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Cluster": ("kubeconfig", "watch_namespaces"),
    "Reconciling": (
        "max_concurrent_reconciles",
        "resync_period",
        "discovery_slots",
        "discovery_namespace",
        "discovery_service_accounts",
        "discovery_secrets",
        "graceful_shutdown_timeout",
    ),
    "Downloads": ("downloader_image", "downloader_requests", "artifact_retry_base", "download_images", "allow_debug"),
    "Image registries": (
        "registry_timeout",
        "registry_concurrency",
        "registry_mirrors",
        "registry_allow",
        "service_cidrs",
        "docker_hub_api",
        "github_api",
    ),
    "Leader election": (
        "leader_elect",
        "leader_elect_lease_duration",
        "leader_elect_renew_deadline",
        "leader_elect_retry_period",
    ),
    "Health and metrics": (
        "health_probe_bind_address",
        "metrics_bind_address",
        "metrics_secure",
        "metrics_cert_path",
        "metrics_cert_name",
        "metrics_cert_key",
        "object_metrics",
        "object_metrics_limit",
    ),
    "Logs and traces": ("zap_devel", "zap_encoder", "zap_log_level", "tracing"),
    "Other": ("version",),
}
"""The flags that have an effect, as `--help` groups them."""

_SYNTAX = (
    "Write --flag=value or --flag value; a switch without a value is true. If a flag is repeated, the last one wins,"
    " or, where it says so, the values add up. DURATION is a number with a unit, or several, such as 30s, 1h30m or"
    " 250ms."
)
_INERT = "Without effect, accepted for compatibility"
_INDENT = " " * 6
_TYPES: Mapping[Any, str] = {bool: "switch", int: "whole number", float: "number", str: "text"}
_METAVARS: Mapping[Any, str] = {int: "N", float: "N", str: "TEXT"}


def help_text(width: int) -> str:
    """Return the text of `aimd run --help`, wrapped to a number of columns."""
    lines = ["Usage: aimd run [FLAGS]", "", str(Flags.__doc__), "", *textwrap.wrap(_SYNTAX, width)]
    for title, names in GROUPS.items():
        lines += ["", f"{title}:", *(line for name in names for line in _entry(name, width))]
    inert = ", ".join(flag(name) for name in Flags.model_fields if name in WITHOUT_EFFECT)
    lines += ["", f"{_INERT}:"]
    lines += textwrap.wrap(inert, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)
    return "\n".join(lines)


def flag(name: str) -> str:
    """Return a field's flag as it is written."""
    return "--" + name.replace("_", "-")


def type_text(field: FieldInfo) -> str:
    """Return the type of a flag's value in words."""
    if _is_duration(field):
        return "duration"
    if choices := _choices(field):
        return "one of " + ", ".join(f"`{item}`" for item in choices)
    if get_origin(field.annotation) is tuple:
        return f"list of `{_metavar(field)}`"
    return f"`{_declared(field)}`" if _declared(field) else _TYPES.get(field.annotation, "path")


def default_text(field: FieldInfo) -> str:
    """Return the default of a flag as one would write it, empty if there is none."""
    default: Any = field.default
    if isinstance(default, bool):
        return str(default).lower()
    if _is_duration(field):
        return _duration_text(default)
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default)


def _entry(name: str, width: int) -> Iterator[str]:
    field = Flags.model_fields[name]
    default = default_text(field) if field.annotation is not bool or field.default else ""
    text = f"{field.description} (default {default})" if default else str(field.description)
    yield f"  {flag(name)} {_metavar(field)}".rstrip()
    yield from textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)


def _metavar(field: FieldInfo) -> str:
    if field.annotation is bool:
        return ""
    return _declared(field) or "|".join(_choices(field)) or _METAVARS.get(field.annotation, "PATH")


def _declared(field: FieldInfo) -> str:
    return next((item.text for item in field.metadata if isinstance(item, Metavar)), "")


def _choices(field: FieldInfo) -> tuple[str, ...]:
    """Return the texts that a flag may have besides the empty one, none if any text will do."""
    return tuple(filter(None, get_args(field.annotation))) if get_origin(field.annotation) is Literal else ()


def _is_duration(field: FieldInfo) -> bool:
    return set(get_args(Duration)[1:]) <= set(field.metadata)


def _duration_text(seconds: float) -> str:
    whole = int(seconds)
    for size, unit in ((3600, "h"), (60, "m")):
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"
