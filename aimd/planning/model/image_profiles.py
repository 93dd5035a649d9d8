"""Which profiles of an image become templates: those that its label recommends, else those that its files do.

What is chosen is kept in the status, so that the same templates follow from it without another request.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from aimd.api.model import ImageProfile, ImageProfiles, ImageProfileSource, ModelCondition, RecommendedDeployment
from aimd.api.reasons import Reason
from aimd.api.shared import Precision
from aimd.planning.gpus import names_no_gpu, normalize_gpu
from aimd.planning.image_inspection import ProfilesOfImage
from aimd.planning.profiles import GPU, Profile
from aimd.runtime.objects import Condition

MOST_PROFILES: Final = 256
_PRECISIONS = ("int4", "int8", "fp4", "fp8", "fp16", "bf16", "fp32")
"""In the order in which images prefer them when they compute their primary profiles."""
_WAY_OUT = "Describe templates in spec.customTemplates, each with hardware and profile.metric"
_REASONS: Mapping[str, tuple[str, Reason]] = {
    ImageProfileSource.REGISTRY: ("True", Reason.READ_FROM_REGISTRY),
    ImageProfileSource.LABELS: ("False", Reason.RECOMMENDED_BY_LABELS),
    ImageProfileSource.NONE: ("False", Reason.NOTHING_RECOMMENDED),
}


def choose_profiles(deployments: Sequence[RecommendedDeployment], image: ProfilesOfImage) -> ImageProfiles:
    """Return the profiles that become templates, and the way in which they were found (MDL-PRF-1)."""
    profiles, note = _recommended(deployments, image)
    if any(profile.profile_id and profile.engine for profile in profiles):
        source, text = ImageProfileSource.REGISTRY, _summary(profiles)
    elif profiles:
        source, text = ImageProfileSource.LABELS, f"{note}, so a discovery Job asks the image about each template"
    else:
        source, text = ImageProfileSource.NONE, f"{note}, and no label recommends any. {_WAY_OUT}"
    if len(profiles) > MOST_PROFILES:
        text = f"{text}; only the first {MOST_PROFILES} are used"
    left_out = image.read.rejected if image.read is not None else ()
    message = "; ".join([text, *(f"left out: {remark}" for remark in left_out)])
    return ImageProfiles(
        source=source.value, digest=image.digest, message=message, profiles=tuple(profiles[:MOST_PROFILES])
    )


def described_profiles(deployments: Iterable[RecommendedDeployment]) -> tuple[ImageProfile, ...]:
    """Return recommended deployments as profiles, without looking into the image."""
    return tuple(_described(entry, None) for entry in deployments)


def profiles_condition(profiles: ImageProfiles) -> Condition:
    """Return `ImageProfilesRead`: where the templates of the image come from (MDL-PRF-4)."""
    status, reason = _REASONS.get(profiles.source, _REASONS[ImageProfileSource.NONE])
    return Condition(ModelCondition.IMAGE_PROFILES_READ, status, reason, profiles.message)


def _summary(profiles: Sequence[ImageProfile]) -> str:
    asked = sum(not profile.engine for profile in profiles)
    jobs = f"; for {asked} without a file, a discovery Job asks the image" if asked else ""
    return f"The image recommends {len(profiles)} {'profile' if len(profiles) == 1 else 'profiles'}{jobs}"


def _recommended(
    deployments: Sequence[RecommendedDeployment], image: ProfilesOfImage
) -> tuple[Sequence[ImageProfile], str]:
    """Return the profiles, and why none of them is one of a file (MDL-PRF-2)."""
    read = image.read
    if read is None:
        why = f"cannot be read, because {image.unreadable}" if image.unreadable else "do not exist"
        return described_profiles(deployments), f"The profile files of the image {why}"
    if not read.aim_id:
        return described_profiles(deployments), "The image is a base image, without a model of its own (AIM_ID)"
    own = [profile for profile in read.profiles if profile.aim_id == read.aim_id and not profile.is_general]
    note = f"No profile file of the image is for its model {read.aim_id}"
    if not deployments:
        return [_found(profile) for profile in _primary(own)], note
    if own:
        note = "No profile file of the image is as its label recommends"
    return _distinct([(entry, _match(entry, own)) for entry in deployments]), note


def _primary(profiles: Sequence[Profile]) -> Sequence[Profile]:
    """Return the primary profiles by id: as the files say, else computed per accelerator and metric (MDL-PRF-3)."""
    marked = [profile for profile in profiles if profile.primary]
    if not marked:
        best: dict[tuple[str, str, str], Profile] = {}
        for profile in sorted(profiles, key=_preference):
            best.setdefault((profile.accelerator, profile.device, profile.metric), profile)
        marked = list(best.values())
    return sorted(marked, key=lambda profile: profile.id)


def _preference(profile: Profile) -> tuple[bool, int, int, str]:
    precision = _PRECISIONS.index(profile.precision) if profile.precision in _PRECISIONS else len(_PRECISIONS)
    return profile.manual_only or profile.type == "unoptimized", precision, profile.count, profile.id


def _match(entry: RecommendedDeployment, profiles: Sequence[Profile]) -> Profile | None:
    """Return the profile that an entry of the label means: by its id, else by its properties (MDL-PRF-2)."""
    if entry.profile_id:
        named = (profile for profile in profiles if entry.profile_id in (profile.id, profile.stem))
        return min(named, key=lambda profile: profile.id != entry.profile_id, default=None)
    fitting = (profile for profile in profiles if not profile.manual_only and _fits(entry, profile))
    return min(fitting, key=lambda profile: (not profile.primary, *_preference(profile)), default=None)


def _fits(entry: RecommendedDeployment, profile: Profile) -> bool:
    if entry.metric != profile.metric or entry.precision not in ("", Precision.AUTO, profile.precision):
        return False
    counts = names_no_gpu(entry.gpu_model) or entry.gpu_count == profile.gpu_count
    return counts and normalize_gpu(entry.gpu_model) == profile.device


def _distinct(matched: Iterable[tuple[RecommendedDeployment, Profile | None]]) -> Sequence[ImageProfile]:
    """Return the entries as profiles; one like an earlier one gets the precision of its file, for a name of its own.

    An entry without a precision has none in its template either, as templates that exist already.
    """
    seen: dict[tuple[str, int, str, str], str] = {}
    profiles: list[ImageProfile] = []
    for entry, match in matched:
        key = (entry.gpu_model, entry.gpu_count, entry.metric, entry.precision)
        profile = _described(entry, match)
        if match is not None and seen.setdefault(key, match.id) != match.id and not entry.precision:
            profile = profile.model_copy(update={"precision": match.precision})
        profiles.append(profile)
    return profiles


def _described(entry: RecommendedDeployment, match: Profile | None) -> ImageProfile:
    """Return an entry of the label as a profile; a model of CPUs never becomes a GPU (MDL-PRF-5)."""
    given = {"metric": entry.metric, "precision": entry.precision}
    found = {"profile_id": match.id, "type": match.type, "engine": match.engine} if match is not None else {}
    if names_no_gpu(entry.gpu_model):
        cores = match.cpu_count if match is not None else entry.gpu_count
        is_cpu = normalize_gpu(entry.gpu_model) != "NONE"
        hardware = {"cpu_model": entry.gpu_model, "cpu_count": cores} if is_cpu else {}
    else:
        hardware = {"gpu_model": entry.gpu_model, "gpu_count": entry.gpu_count}
    return ImageProfile(**{"profile_id": entry.profile_id, **given, **found, **hardware})


def _found(profile: Profile) -> ImageProfile:
    """Return a profile of a file for the status (MDL-PRF-5)."""
    if profile.accelerator == GPU:
        hardware = {"gpu_model": profile.device, "gpu_count": profile.count}
    else:
        hardware = {"cpu_model": profile.device, "cpu_count": profile.count}
    return ImageProfile(
        profile_id=profile.id,
        metric=profile.metric,
        precision=profile.precision,
        type=profile.type,
        engine=profile.engine,
        **hardware,
    )
