"""The choice among the profiles of the container."""

from collections.abc import Mapping, Sequence

from aimd.sandbox.aim_image.configuration import AUTO, PRECISION_RANK, Configuration
from aimd.sandbox.aim_image.generations import Generation
from aimd.sandbox.aim_image.hardware import Hardware
from aimd.sandbox.aim_image.logs import SELECTION as LOG
from aimd.sandbox.aim_image.profiles import Profile

COMPATIBLE, UNKNOWN = "compatible", "unknown"
_TYPE_RANK = ("optimized", "preview", "unoptimized", "general")


class ProfileNotFound(Exception):
    """No profile can be chosen; the message says why."""


def states(generation: Generation) -> tuple[str, ...]:
    """Return the states that a profile can be in, in the order of reports."""
    device = "gpu_mismatch" if generation.by_schema else "accelerator_mismatch"
    return (COMPATIBLE, device, "precision_mismatch", "model_mismatch", "engine_mismatch", "metric_mismatch", UNKNOWN)


def choose(profiles: Sequence[Profile], configuration: Configuration, hardware: Hardware) -> Profile:
    """Return the profile to run: the one with the asked id, else the best that fits. Raises ProfileNotFound."""
    if configuration.profile_id:
        for profile in profiles:
            if profile.id == configuration.profile_id:
                return profile
        raise ProfileNotFound(f"Specified profile ID '{configuration.profile_id}' not found")
    assessed = assess(profiles, configuration, hardware)
    fitting = assessed[COMPATIBLE]
    selectable = [profile for profile in fitting if profile.selectable(configuration)]
    if selectable:
        return _best(selectable, configuration)
    if configuration.allow_unoptimized and (spare := _unoptimized(fitting, configuration)):
        LOG.warning(f"UNOPTIMIZED PROFILE FALLBACK: no other profile matches; falling back to {spare[0].id}")
        return spare[0]
    if fitting and not configuration.generation.by_schema:
        ids = ", ".join(profile.id for profile in fitting)
        raise ProfileNotFound(
            f"Found {len(fitting)} compatible profile(s) for AIM {configuration.aim_id}, but they require explicit "
            "selection via AIM_PROFILE_ID environment variable. Available profiles have the following "
            f"AIM_PROFILE_ID values: {ids}"
        )
    counts = [f"{len(some)} {state}" for state, some in assessed.items() if some and state != COMPATIBLE]
    breakdown = ", ".join(counts) or "no profiles found"
    raise ProfileNotFound(f"No compatible profile found for AIM {configuration.aim_id}. Profile breakdown: {breakdown}")


def assess(profiles: Sequence[Profile], configuration: Configuration, hardware: Hardware) -> dict[str, list[Profile]]:
    """Return the profiles by state; those that fit from the best to the last."""
    assessed: dict[str, list[Profile]] = {state: [] for state in states(configuration.generation)}
    if not profiles:
        LOG.warning("No valid profiles found in registry")
    for profile in profiles:
        assessed[_state(profile, configuration, hardware)].append(profile)
    assessed[COMPATIBLE] = _ranked(assessed[COMPATIBLE], configuration.generation)
    return assessed


def _state(profile: Profile, configuration: Configuration, hardware: Hardware) -> str:
    """Return the first thing in which a profile does not match."""
    traits = profile.traits
    device_state = states(configuration.generation)[1]
    wrong_count = not configuration.on_cpu and traits.count != hardware.count
    mismatches: Mapping[str, bool] = {
        "engine_mismatch": traits.engine != configuration.wanted_engine,
        "metric_mismatch": traits.metric != configuration.wanted_metric,
        "model_mismatch": not profile.general and profile.aim_id != configuration.aim_id,
        device_state: traits.device != hardware.device or wrong_count,
        "precision_mismatch": configuration.precision not in (AUTO, traits.precision),
    }
    return next((state for state, wrong in mismatches.items() if wrong), COMPATIBLE)


def _ranked(profiles: Sequence[Profile], generation: Generation) -> list[Profile]:
    def rank(profile: Profile) -> tuple[int, int, int]:
        by_type = 0 if generation == Generation.V0_8 else _TYPE_RANK.index(profile.traits.type)
        return profile.priority, PRECISION_RANK.index(profile.traits.precision), by_type

    return sorted(profiles, key=rank)


def _unoptimized(fitting: Sequence[Profile], configuration: Configuration) -> list[Profile]:
    return [
        profile for profile in fitting if profile.traits.type == "unoptimized" and not profile.selectable(configuration)
    ]


def _best(selectable: Sequence[Profile], configuration: Configuration) -> Profile:
    """Return the first profile. In 0.12, raises ProfileNotFound if others differ from it by their variant only."""
    best = selectable[0]
    tied = [profile for profile in selectable if _slot(profile) == _slot(best)]
    if len(tied) == 1 or all(profile.traits.variant is None for profile in tied):
        return best
    raise ProfileNotFound(
        f"No profile selected for AIM {configuration.aim_id}: Multiple profiles match the same (engine, accelerator, "
        "precision, count, metric) selection and differ only by variant. Set AIM_PROFILE_ID to one of: "
        + ", ".join(profile.id for profile in tied)
    )


def _slot(profile: Profile) -> tuple[object, ...]:
    traits = profile.traits
    return traits.engine, traits.device, traits.precision, traits.count, traits.metric
