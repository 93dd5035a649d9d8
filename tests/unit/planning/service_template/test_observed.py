"""What follows from what was observed of a template."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aimd.api.model import AIMModel
from aimd.api.service_template import AIMServiceTemplate
from aimd.planning.gpus import inventory_of
from aimd.planning.needs import NO_READS, DiscoverySlot, Reads
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service_template.needs import discovery_needs, with_reads
from aimd.planning.service_template.observed import ObservedTemplate, discovery_context, wants_discovery

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def observed(image: str = "i:1", **spec: Any) -> ObservedTemplate:
    template = {"metadata": {"name": "t", "namespace": "team", "uid": "u"}, "spec": {"modelName": "m", **spec}}
    model = {"metadata": {"name": "m", "namespace": "team"}, "spec": {"image": image}}
    return ObservedTemplate(
        AIMServiceTemplate.model_validate(template),
        ResolvedConfig(),
        AIMModel.model_validate(model),
        inventory=inventory_of([]),
    )


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (observed(), True),
        (observed(image=""), False),
        (observed(modelSources=[{"modelId": "a/b", "sourceUri": "hf://a/b"}]), False),
        (observed(hardware={"gpu": {"model": "MI300X", "requests": 1}}), False),
    ],
)
def test_when_a_job_is_due(found: ObservedTemplate, wanted: bool) -> None:
    """Prove TPL-DSC-7."""
    assert wants_discovery(found, found.run, NOW) is wanted


def test_a_due_job_needs_a_slot_and_may_start_with_it() -> None:
    found = observed()
    context = discovery_context(found)
    assert context is not None
    slot = DiscoverySlot(context.kind, found.key)
    assert discovery_needs(found, NOW) == (slot,)
    assert not with_reads(found, NO_READS).run.may_start
    assert with_reads(found, Reads({slot: True})).run.may_start
