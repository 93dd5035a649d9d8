"""The profile that a template pins by `spec.profileId`, read from the image in its registry instead of by a Job.

It takes no pull, no slot and no GPU. Where the registry cannot tell, the image itself is asked (`discovery.py`).
"""

from typing import Any, Final

from aimd.api.reasons import Reason
from aimd.api.service_template import TemplateCondition
from aimd.planning.component import Component
from aimd.planning.environment import AIM_ID, AIM_MODEL_ID
from aimd.planning.image_inspection import Inspection, extracts_metadata
from aimd.planning.jobs import JobPhase, job_phase
from aimd.planning.needs import InspectImage
from aimd.planning.profiles import PROFILES_PATH, Profile, ProfilesRead
from aimd.planning.service_template.discovery import (
    DISCOVERED,
    DiscoveryPlan,
    DiscoveryRun,
    has_results,
    running_jobs_to_delete,
)
from aimd.planning.service_template.discovery_job import DiscoveryContext, spec_hash
from aimd.planning.service_template.discovery_output import DiscoveredProfile, UnusableOutput, read_entry
from aimd.registry.failures import Problem
from aimd.runtime.objects import Category, Condition, Deletion, Failure, Key

_TYPE = TemplateCondition.IMAGE_PROFILE_READY
FOUND: Final = "The profile was read from the image in its registry, without a Job"
PATIENCE: Final = 3
"""Failed requests after which a Job asks the image: nodes may reach a registry that aimd does not."""
AGAIN_SECONDS: Final = 900.0
"""A tag may mean another image later, with the profile that is missing."""
_LISTED = 10


def profile_need(context: DiscoveryContext, run: DiscoveryRun) -> InspectImage | None:
    """Return the need to inspect the image for the pinned profile, None if the registry is not to be asked (TPL-IMG-1).

    The pull secrets are those of a discovery pod; as there, they may be missing.
    """
    if not _is_pinned(context) or has_results(context) or job_phase(run.job) is not JobPhase.ABSENT:
        return None
    metadata = context.template.metadata
    return InspectImage(
        context.kind,
        Key(metadata.namespace, metadata.name),
        metadata.uid,
        context.model.spec.image,
        service_account=context.service_account,
        shared_pull_secrets=context.pull_secrets,
    )


def plan_reading(context: DiscoveryContext, run: DiscoveryRun, inspection: Inspection | None) -> DiscoveryPlan | None:
    """Return the next step of reading the pinned profile, None if a Job has to ask the image (TPL-IMG-2)."""
    if profile_need(context, run) is None:
        return None
    obsolete = running_jobs_to_delete(run, keep_current=True)
    if inspection is None:
        return _waiting("The registry is being queried for the profile of the template", None, obsolete)
    if inspection.is_answered:
        read = inspection.profiles.read
        return _look_up(context, read, obsolete) if read is not None else None
    failure = inspection.failure
    if failure is None:
        text = "Other images are being inspected; the template is waiting"
        return _waiting(text, inspection.again_after, obsolete) if inspection.secret is None else None
    if failure.transient and (failure.problem is Problem.RATE_LIMIT or inspection.attempts < PATIENCE):
        text = f"The profile cannot be read from the image: {failure.message}"
        component = Component.failed(_TYPE, Failure(Category.INFRASTRUCTURE, failure.reason, text))
        return DiscoveryPlan(
            Condition(DISCOVERED, "False", Reason.AWAITING_DISCOVERY, text),
            (component,),
            deletions=obsolete,
            requeue_after=inspection.again_after,
        )
    return None


def _is_pinned(context: DiscoveryContext) -> bool:
    """Return whether the template names a profile of the model's own image, which may be asked for it (TPL-IMG-1)."""
    spec, model = context.template.spec, context.model
    if not spec.profile_id or spec.custom_profile is not None or model.spec.image_metadata is not None:
        return False
    other_model = any(variable.name in (AIM_ID, AIM_MODEL_ID) for variable in spec.env)
    return extracts_metadata(model, context.config) and not other_model


def _look_up(context: DiscoveryContext, read: ProfilesRead, obsolete: tuple[Deletion, ...]) -> DiscoveryPlan | None:
    wanted = context.template.spec.profile_id
    profile = read.by_id(wanted)
    if profile is None:
        # A file that was left out may be the wanted one, and the image may know what to do with it.
        return _missing(wanted, read, obsolete) if not read.rejected else None
    try:
        found = read_profile(profile, read.aim_id)
    except UnusableOutput:
        return None
    condition = Condition(DISCOVERED, "True", Reason.PROFILE_READ_FROM_REGISTRY, FOUND)
    status = {"discovery": {"specHash": spec_hash(context)}}
    return DiscoveryPlan(condition, deletions=obsolete, status=status, profile=found)


def read_profile(profile: Profile, aim_id: str) -> DiscoveredProfile:
    """Return a profile as a dry run of the image would report it (TPL-IMG-3). Raises UnusableOutput.

    A profile that fits any model serves that of the image, `aim_id`.
    """
    model = profile.model_id or aim_id
    if not model:
        raise UnusableOutput("the profile fits any model, and the image has none")
    original: dict[str, Any] = {
        "filename": f"{profile.stem}.yaml",
        "path": f"{PROFILES_PATH}/{profile.path}",
        "profile": dict(profile.document),
    }
    return read_entry(original, ({"name": model, "source": f"hf://{model}"},))


def _missing(wanted: str, read: ProfilesRead, obsolete: tuple[Deletion, ...]) -> DiscoveryPlan:
    """Return the plan for a profile that the image does not have: it would refuse to start with it (TPL-IMG-2)."""
    ids = sorted(profile.id for profile in read.profiles)
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    there = f"its profiles are {', '.join(ids[:_LISTED])}{more}" if ids else "it has none"
    text = f"The image has no profile {wanted}: correct spec.profileId; {there}"
    failure = Failure(Category.INVALID_SPEC, Reason.PROFILE_NOT_FOUND, text)
    return DiscoveryPlan(
        Condition(DISCOVERED, "False", Reason.PROFILE_NOT_FOUND, text),
        (Component.failed(_TYPE, failure),),
        deletions=obsolete,
        requeue_after=AGAIN_SECONDS,
    )


def _waiting(text: str, requeue_after: float | None, obsolete: tuple[Deletion, ...]) -> DiscoveryPlan:
    return DiscoveryPlan(
        Condition(DISCOVERED, "False", Reason.AWAITING_DISCOVERY, text),
        (Component.waiting(_TYPE, Reason.INSPECTION_PENDING, text),),
        deletions=obsolete,
        requeue_after=requeue_after,
    )
