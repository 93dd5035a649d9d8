"""What `list-profiles` prints: as text, as a table, and from 0.11 on as JSON or YAML.

Left out: colors, and their legend below the table.
"""

# tests: tests/unit/sandbox/aim_image/test_commands.py

from collections.abc import Mapping, Sequence
from typing import Any

from aimd.sandbox.aim_image.configuration import AUTO, Configuration
from aimd.sandbox.aim_image.generations import NO_DEVICE
from aimd.sandbox.aim_image.hardware import Hardware
from aimd.sandbox.aim_image.profiles import Profile
from aimd.sandbox.aim_image.selection import UNKNOWN

Assessed = Mapping[str, Sequence[Profile]]
_COLUMNS = ("Precision", "Engine", "TP", "Metric", "Type", "Priority", "Manual Only", "Compatibility")


def serialized(assessed: Assessed) -> list[dict[str, Any]]:
    """Return the profiles as data."""
    return [
        {"profile_id": profile.id, "compatibility": state, "profile": profile.document}
        for state, profiles in assessed.items()
        for profile in by_priority(profiles)
    ]


def by_priority(profiles: Sequence[Profile]) -> list[Profile]:
    """Return the profiles in the order of their folders and ids."""
    return sorted(profiles, key=lambda profile: (profile.priority, profile.id))


def text(assessed: Assessed, configuration: Configuration, hardware: Hardware) -> str:
    """Return the report as text, grouped by state."""
    term = _term(configuration)
    lines = [
        "AIM Profile Compatibility Report",
        "=" * 50,
        *_identity(configuration),
        f"Precision: {_precision(configuration)}",
        f"Engine: {configuration.engine}",
        f"Metric: {configuration.metric}",
        f"{term} Count: {_count(configuration)}",
        f"{term} Model: {_device(hardware.device, configuration)}",
        "",
        f"Total profiles analyzed: {sum(len(profiles) for profiles in assessed.values())}",
        "",
    ]
    for state, profiles in assessed.items():
        if profiles:
            lines += [f"{state.upper().replace('_', ' ')} ({len(profiles)} profiles):", "-" * 40]
            lines += [line for profile in profiles for line in _entry(profile, configuration)]
            lines.append("")
    return "\n".join(lines)


def table(assessed: Assessed, configuration: Configuration, hardware: Hardware) -> str:
    """Return the report as a table."""
    rows = [(profile, state) for state, profiles in assessed.items() for profile in profiles]
    term = _term(configuration)
    lines = [
        "AIM Profile Compatibility Report",
        "=" * 100,
        *_identity(configuration),
        f"{term} Count: {_count(configuration)} | {term} Model: {_device(hardware.device, configuration)} | "
        f"Precision: {_precision(configuration)} | Engine: {configuration.engine} | Metric: {configuration.metric}",
        "",
    ]
    if not rows:
        return "\n".join([*lines, "No profiles found."])
    return "\n".join([*lines, f"Total profiles analyzed: {len(rows)}", "", *_grid(rows, configuration), ""])


def unchecked(profiles: Sequence[Profile], configuration: Configuration, *, as_table: bool) -> str:
    """Return the report of all profiles without a look at the hardware."""
    if not profiles:
        return "No profiles found."
    lines = [
        "AIM Profile Compatibility Report (No Compatibility Checks)",
        "=" * (100 if as_table else 50),
        *_identity(configuration),
        f"Total profiles discovered: {len(profiles)}",
        "",
    ]
    if as_table:
        rows = [(profile, UNKNOWN) for profile in by_priority(profiles)]
        return "\n".join([*lines, *_grid(rows, configuration)])
    names = {profile.id: _device(profile.traits.device, configuration) for profile in profiles}
    for name in sorted(set(names.values())):
        some = sorted((profile for profile in profiles if names[profile.id] == name), key=lambda profile: profile.id)
        lines += [f"{name} ({len(some)} profiles):", "-" * 40]
        for profile in some:
            traits = profile.traits
            lines += [
                _title(profile, configuration),
                f"    Precision: {traits.precision}",
                f"    Engine: {traits.engine}",
                f"    TP: {traits.count}",
                f"    Metric: {traits.metric}",
                f"    Type: {traits.type}",
                f"    Priority: {profile.priority}",
            ]
        lines.append("")
    return "\n".join(lines)


def _grid(rows: Sequence[tuple[Profile, str]], configuration: Configuration) -> list[str]:
    heads = ("Profile", _term(configuration), *_COLUMNS)
    cells = [_cells(profile, state, configuration) for profile, state in rows]
    widths = [max(len(head), *(len(row[column]) for row in cells)) for column, head in enumerate(heads)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (heads, *cells)
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _cells(profile: Profile, state: str, configuration: Configuration) -> tuple[str, ...]:
    traits = profile.traits
    return (
        profile.id,
        _device(traits.device, configuration),
        traits.precision,
        traits.engine,
        str(traits.count),
        traits.metric,
        traits.type,
        str(profile.priority),
        "No" if _auto(profile, configuration) else "Yes",
        state,
    )


def _entry(profile: Profile, configuration: Configuration) -> list[str]:
    traits = profile.traits
    return [
        _title(profile, configuration),
        f"    {_term(configuration)}: {_device(traits.device, configuration)}",
        f"    Precision: {traits.precision}",
        f"    Engine: {traits.engine}",
        f"    Type: {traits.type}",
        f"    Priority: {profile.priority}",
    ]


def _title(profile: Profile, configuration: Configuration) -> str:
    return f"  • {profile.id}{'' if _auto(profile, configuration) else ' [manual-only]'}"


def _auto(profile: Profile, configuration: Configuration) -> bool:
    return profile.selectable(configuration)


def _identity(configuration: Configuration) -> list[str]:
    return [f"AIM ID: {configuration.aim_id}", f"Model ID: {configuration.model_id}"]


def _term(configuration: Configuration) -> str:
    return "GPU" if configuration.generation.by_schema else "Accelerator"


def _count(configuration: Configuration) -> str:
    return AUTO if configuration.count is None else str(configuration.count)


def _precision(configuration: Configuration) -> str:
    unset = configuration.precision == AUTO and not configuration.generation.by_schema
    return "None" if unset else configuration.precision


def _device(device: str | None, configuration: Configuration) -> str:
    return device or (NO_DEVICE if configuration.generation.by_schema else "None")
