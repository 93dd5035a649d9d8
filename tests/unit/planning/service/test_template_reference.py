"""Which template a service runs with."""

from datetime import datetime

import pytest

from aimd.planning.component import State
from aimd.planning.service.plan import plan_service
from tests.unit.planning.service.makers import Maker
from tests.unit.planning.service.plans import component, reasons, root


@pytest.mark.parametrize(
    ("model_ready", "running", "chosen"),
    [("False", False, "better"), ("True", False, "first"), (None, False, "first"), ("False", True, "first")],
)
def test_what_was_chosen_before_the_model_was_ready_is_chosen_anew(
    observed: Maker,
    service_manifest: Maker,
    model: Maker,
    template: Maker,
    now: datetime,
    model_ready: str | None,
    running: bool,
    chosen: str,
) -> None:
    """Prove SVC-TPL-2."""
    condition = {"type": "ModelReady", "status": model_ready, "reason": "x", "lastTransitionTime": ""}
    stored = {
        "resolvedTemplate": {"name": "first", "scope": "Namespace"},
        "conditions": [condition] if model_ready else [],
    }
    profiles = {"first": "MI300X", "better": "MI350X"}
    templates = [
        template(name, profile={"gpu": gpu, "type": "optimized"}, hardware={"gpu": {"model": gpu}})
        for name, gpu in profiles.items()
    ]
    live = {"metadata": {"name": "x"}} if running else None
    plan = plan_service(
        observed(
            service=service_manifest(status=stored), models=[model()], templates=templates, inference_service=live
        ),
        now,
    )
    assert plan.status["resolvedTemplate"]["name"] == chosen


@pytest.mark.parametrize(
    ("status", "state"),
    [("Pending", "Pending"), ("Progressing", "Pending"), ("NotAvailable", "Pending"), ("Failed", "Failed")],
)
def test_named_templates_that_are_not_ready(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime, status: str, state: str
) -> None:
    manifest = service_manifest(template={"name": "qwen-latency"})
    plan = plan_service(observed(service=manifest, models=[model()], templates=[template(status=status)]), now)
    assert reasons(plan)["Template"] == "TemplateNotReady"
    assert root(plan, now) == state


def test_a_named_template_that_is_missing(
    observed: Maker, service_manifest: Maker, model: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-4."""
    manifest = service_manifest(template={"name": "gone"})
    plan = plan_service(observed(service=manifest, models=[model()]), now)
    assert reasons(plan)["Template"] == "TemplateNotFound"
    assert "AIMServiceTemplate ml-team/gone" in component(plan, "Template").effective_message
    assert root(plan, now) == "Failed"


def test_automatic_selection_without_a_result_is_pending(
    observed: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-4."""
    none = plan_service(observed(models=[model()]), now)
    assert (reasons(none)["Template"], root(none, now)) == ("TemplateNotFound", "Pending")
    failed = plan_service(observed(models=[model()], templates=[template(status="Failed")]), now)
    assert (reasons(failed)["Template"], root(failed, now)) == ("TemplateNotReady", "Pending")
    tied = plan_service(observed(models=[model()], templates=[template("a"), template("b")]), now)
    assert (reasons(tied)["Template"], root(tied, now)) == ("TemplateSelectionAmbiguous", "Pending")


def test_a_template_of_another_model_is_refused(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-5."""
    manifest = service_manifest(template={"name": "foreign"})
    foreign = template("foreign", modelName="other")
    fields = {"service": manifest, "templates": [foreign]}
    different = plan_service(observed(models=[model(), model("other", image="x:1")], **fields), now)
    assert (reasons(different)["Template"], root(different, now)) == ("TemplateModelMismatch", "Failed")
    twin = plan_service(observed(models=[model(), model("other")], **fields), now)
    assert reasons(twin)["Template"] == "Resolved"
    unknown = plan_service(observed(models=[model()], **fields), now)
    assert reasons(unknown)["Template"] == "Resolved"


def test_a_template_by_its_alias(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-3."""
    manifest = service_manifest(template={"name": "short"})
    aliased = template("generated-name-1234", labels={"aim.eai.amd.com/template.alias": "short"})
    plan = plan_service(observed(service=manifest, models=[model()], templates=[aliased]), now)
    assert plan.status["resolvedTemplate"]["name"] == "generated-name-1234"


def test_a_running_service_keeps_its_chosen_template(
    serving: Maker, service_manifest: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-TPL-1 and SVC-TPL-7."""
    stored = {"resolvedTemplate": {"name": "qwen-latency", "scope": "Namespace"}}
    manifest = service_manifest(status=stored)
    origin = {"aim.eai.amd.com/origin": "auto-generated"}
    mine = template(profile={"type": "unoptimized"}, labels=origin)
    better = template("better", profile={"type": "optimized"}, labels=origin)
    plan = plan_service(serving(service=manifest, templates=[mine, better]), now)
    assert plan.status["resolvedTemplate"]["name"] == "qwen-latency"
    assert root(plan, now) == "Degraded"
    assert component(plan, "Template").effective_state is State.READY
    alone = plan_service(serving(service=manifest, templates=[mine]), now)
    assert root(alone, now) == "Running"
    assert "unoptimized" in component(alone, "Template").message
