"""What is read live about a discovery."""

from datetime import UTC, datetime
from typing import Any

from aimd.api.model import AIMModel
from aimd.api.service_template import AIMServiceTemplate
from aimd.planning.needs import ReadEvents, ReadList, ReadLog, Reads, Refused
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service_template.discovery import DiscoveryRun
from aimd.planning.service_template.needs import discovery_needs, with_reads
from aimd.planning.service_template.observed import ObservedTemplate
from aimd.runtime.kinds import POD
from aimd.runtime.objects import Key, Manifest
from tests.unit.planning.pod_makers import ended, pod

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(condition: str = "") -> Manifest:
    conditions = [{"type": condition, "status": "True"}] if condition else []
    return {"metadata": {"name": "j", "namespace": "team", "uid": "ju"}, "status": {"conditions": conditions}}


def observed(condition: str = "", *pods: Manifest) -> ObservedTemplate:
    template = {"metadata": {"name": "t", "namespace": "team", "uid": "u"}, "spec": {"modelName": "m"}}
    model = {"metadata": {"name": "m", "namespace": "team"}, "spec": {"image": "i:1"}}
    return ObservedTemplate(
        AIMServiceTemplate.model_validate(template),
        ResolvedConfig(),
        AIMModel.model_validate(model),
        run=DiscoveryRun(job(condition), pods=pods),
    )


def kinds(found: ObservedTemplate) -> list[type[Any]]:
    return [type(need) for need in discovery_needs(found, NOW)]


def test_a_completed_job_needs_the_log_of_its_pod() -> None:
    found = observed("Complete", pod("Succeeded"))
    (need,) = discovery_needs(found, NOW)
    assert isinstance(need, ReadLog)
    assert (need.pod.name, need.container, need.required) == ("p", "discovery", True)
    assert with_reads(found, Reads({need: "text"})).run.log == "text"
    assert "cannot be read: no" in with_reads(found, Reads({need: Refused("no")})).run.unreadable


def test_a_pod_that_the_cache_lacks_is_listed_before_it_counts_as_gone() -> None:
    found = observed("Complete")
    (need,) = discovery_needs(found, NOW)
    assert need == ReadList(POD, "team", "job-name=j")
    assert with_reads(found, Reads()).run.unreadable == ""
    assert "gone" in with_reads(found, Reads({need: ()})).run.unreadable


def test_failed_pods_need_their_log_and_pending_ones_their_events() -> None:
    assert kinds(observed("Failed", pod("Failed", container=ended(1)))) == [ReadLog]
    assert discovery_needs(observed("", pod("Pending")), NOW) == (ReadEvents(Key("", "p"), "uid-p"),)
    assert kinds(observed("", pod("Running"))) == []
