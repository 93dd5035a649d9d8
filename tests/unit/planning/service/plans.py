"""Words about plans of a service, which its tests share."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from aimd.api.service import AIMService
from aimd.planning.component import Component, State
from aimd.planning.conditions import Summary, summarize
from aimd.planning.plan import Plan
from aimd.planning.service.observed import ObservedService
from aimd.runtime.objects import Applied, Condition, Manifest

GATEWAY = {"enabled": True, "gatewayRef": {"name": "inference-gateway", "namespace": "gateways"}}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def kinds(plan: Plan) -> list[str]:
    """Return the kinds of the objects that must exist, in order."""
    return [desired.kind.name for desired in plan.desired]


def reasons(plan: Plan) -> dict[str, str]:
    """Return the reason of each component by its name."""
    return {component.name: component.effective_reason for component in plan.components}


def component(plan: Plan, name: str) -> Component:
    """Return the component of a name."""
    return next(item for item in plan.components if item.name == name)


def summary(plan: Plan, now: datetime, previous: Sequence[Condition] = ()) -> Summary:
    """Return the conditions and the state that follow from a plan."""
    return summarize(plan.components, applied=Applied(), previous=previous, generation=1, now=now)


def root(plan: Plan, now: datetime) -> str:
    """Return the status word of a service with this plan."""
    words = {State.PROGRESSING: "Starting", State.READY: "Running"}
    state = summary(plan, now).state
    return words.get(state, str(state))


def rendered(plan: Plan, kind: str) -> Manifest:
    """Return the first rendered object of a kind."""
    return next(desired.manifest for desired in plan.desired if desired.kind.name == kind)


def with_service(observed: ObservedService, manifest: Manifest, inference_service: Manifest | None) -> ObservedService:
    """Return what was observed with another service and InferenceService."""
    service = AIMService.model_validate(manifest)
    return replace(observed, service=service, manifest=manifest, inference_service=inference_service)
