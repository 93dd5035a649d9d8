"""Fields of a service that are set and have no effect, reported to the user."""

from collections.abc import Iterator, Mapping

from aimd.api.reasons import Reason
from aimd.api.service import AIMServiceSpec, ServiceCondition
from aimd.planning.service.scaling import wants_autoscaling
from aimd.runtime.objects import Condition


def ignored_fields_condition(spec: AIMServiceSpec, profile_env: Mapping[str, str] | None = None) -> Condition | None:
    """Return the condition `FieldsIgnored`, which does not affect `Ready`; None without such fields (SVC-STA-3).

    `profile_env` are the variables of the profile that runs.
    """
    notes = [*_notes(spec), *_overridden(spec, profile_env or {})]
    return (
        Condition(ServiceCondition.FIELDS_IGNORED, "True", Reason.FIELDS_WITHOUT_EFFECT, "; ".join(notes))
        if notes
        else None
    )


def _notes(spec: AIMServiceSpec) -> Iterator[str]:
    """Yield a sentence for each field that is set and has no effect (SVC-STA-3)."""
    if spec.cache_model is not None:
        yield "spec.cacheModel is deprecated and has no effect: remove it; spec.caching.mode decides who owns the cache"
    if spec.resources is not None and spec.resources.claims:
        names = ", ".join(f"{claim.name}/{claim.request}".rstrip("/") for claim in spec.resources.claims)
        yield f"spec.resources.claims ({names}) has no effect: an inference pod has no resource claims; remove it"
    if spec.replicas != 1 and wants_autoscaling(spec):
        yield (
            f"spec.replicas {spec.replicas} has no effect while autoscaling is on: "
            "remove it, or remove minReplicas, maxReplicas and autoScaling"
        )
    hardware = spec.overrides.hardware if spec.overrides is not None else None
    if hardware is not None and not (spec.template is not None and spec.template.name.strip()):
        narrow = hardware.gpu is not None and bool(hardware.gpu.min_vram)
        unread = [*(["gpu.minVram"] if narrow else []), *(["cpu"] if hardware.cpu is not None else [])]
        for name in unread:
            yield (
                f"spec.overrides.hardware.{name} has no effect on the automatic choice of a template: "
                "name a template in spec.template.name"
            )


def _overridden(spec: AIMServiceSpec, profile_env: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for the variables over which the image sets those of the profile (SVC-ENV-7)."""
    names = [item.name for item in spec.env if item.name in profile_env and item.value != profile_env[item.name]]
    if names:
        listed = ", ".join(sorted(names))
        yield f"spec.env {listed} has no effect: the profile that runs sets it; change the profile, or use another one"
