"""Custom profiles in a service: ConfigMap, mount and checksum."""

from datetime import datetime

from aimd.planning.plan import Plan
from aimd.planning.service.plan import plan_service
from tests.unit.planning.service.makers import Maker

PROFILE = {
    "aimId": "meta-llama/Llama-3-8B",
    "modelId": "meta-llama/Llama-3-8B",
    "metric": "latency",
    "precision": "fp16",
    "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
}


def test_config_map_mount_and_checksum(
    observed: Maker, model: Maker, template: Maker, cache: Maker, now: datetime
) -> None:
    """Prove SVC-PRF-1 and SVC-PRF-2."""

    def plan(dtype: str) -> Plan:
        chosen = template(**PROFILE, customProfile={"engineArgs": {"dtype": dtype}})
        return plan_service(observed(models=[model()], templates=[chosen], caches=[cache()]), now)

    first = plan("float16")
    assert [desired.kind.name for desired in first.desired] == ["ConfigMap", "InferenceService"]
    config_map, inference_service = (desired.manifest for desired in first.desired)
    assert config_map["metadata"]["name"].startswith("qwen-chat-custom-profile-")
    assert config_map["metadata"]["labels"]["aim.eai.amd.com/service"] == "qwen-chat"
    predictor = inference_service["spec"]["predictor"]
    mount = next(item for item in predictor["containers"][0]["volumeMounts"] if item["name"] == "custom-profile")
    assert mount["mountPath"] == "/workspace/aim-runtime/profiles/custom/meta-llama/Llama-3-8B"
    assert mount["readOnly"] is True
    other = plan("bfloat16").desired[1].manifest["spec"]["predictor"]
    assert predictor["annotations"] != other["annotations"]
    assert predictor["containers"] == other["containers"]


def test_a_profile_that_cannot_be_written_stops_here(
    observed: Maker, model: Maker, template: Maker, cache: Maker, now: datetime
) -> None:
    """Prove SVC-PRF-3."""
    chosen = template(**PROFILE, customProfile={"engineArgs": "x"})
    plan = plan_service(observed(models=[model()], templates=[chosen], caches=[cache()]), now)
    assert not plan.desired
    assert next(item for item in plan.components if item.name == "Template").reason == "TemplateNotReady"


def test_the_config_map_goes_with_the_profile(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, cache: Maker, live: Maker, now: datetime
) -> None:
    """Prove SVC-DEL-1."""
    chosen = template(**PROFILE, customProfile={})
    fields = {"models": [model()], "caches": [cache()]}
    first = plan_service(observed(templates=[chosen], **fields), now)
    ours = live(first.desired[0].manifest)
    plan = plan_service(observed(templates=[template()], profile_config_map=ours, **fields), now)
    assert [deletion.kind.name for deletion in plan.deletions] == ["ConfigMap"]
