"""A missing model, a missing template, weights that are not there: named, contained, and healed by themselves."""

from typing import Any

from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.hub import make_repository
from tests.e2e.world import REPOSITORY_BYTES, World, condition, model, service, status_word, template
from tests.waiting import wait_until


async def test_a_missing_model_is_named_and_heals(world: World) -> None:
    await world.apply(template(world.namespace), service(world.namespace))
    failed = await wait_until("Failed", world.service, lambda live: status_word(live) == "Failed")
    assert condition(failed, "ModelReady")["reason"] == "ModelNotFound"
    assert "tiny" in condition(failed, "ModelReady")["message"]
    assert world.namespace in condition(failed, "ModelReady")["message"]
    assert condition(failed, "Ready")["reason"] == "ReferenceNotFound"
    await world.apply(model(world.namespace))
    await world.wait_running()
    assert not world.operator.tracebacks


async def test_a_missing_template_is_named_and_heals_while_others_come_up(world: World) -> None:
    await world.apply(
        model(world.namespace),
        template(world.namespace, "other"),
        service(world.namespace),
        service(world.namespace, "bystander", template={"name": "other"}),
    )
    failed = await wait_until("Failed", world.service, lambda live: status_word(live) == "Failed")
    assert condition(failed, "TemplateReady")["reason"] == "TemplateNotFound"
    assert "tiny-latency" in condition(failed, "TemplateReady")["message"]
    await world.wait_running("bystander")
    await world.apply(template(world.namespace))
    await world.wait_running()
    assert not world.operator.tracebacks


async def test_weights_that_are_not_there_fail_with_a_reason_and_heal(world: World) -> None:
    repository = "acme/comes-later"
    await world.apply(
        model(world.namespace), template(world.namespace, repository=repository), service(world.namespace)
    )
    failed = await wait_until("Failed", world.service, lambda live: status_word(live) == "Failed")
    assert condition(failed, "CacheReady")["reason"] == "CacheFailed"
    artifacts = await world.client.list(AIM_ARTIFACT, namespace=world.namespace)
    assert [status_word(artifact) for artifact in artifacts] == ["Failed"]
    assert condition(artifacts[0], "Ready")["reason"] == "InvalidSpec"
    assert repository in condition(artifacts[0], "Ready")["message"]
    reasons = {item["reason"] for item in artifacts[0]["status"]["conditions"]}
    assert "SourceNotFound" in reasons
    make_repository(world.sandbox.hub_root, repository, REPOSITORY_BYTES)
    await world.wait_running(timeout=180)
    assert not world.operator.tracebacks


async def test_no_trouble_of_the_predictor_or_its_route_keeps_a_fix_from_rolling_out(world: World) -> None:
    """One fault after the other, each repaired by the edit that brings the next."""

    async def edit(**spec: Any) -> None:
        await world.client.patch(AIM_SERVICE, Key(world.namespace, "chat"), {"spec": spec}, reason="test")

    async def until_reason(type_: str, reason: str, word: str, quoting: str = "") -> None:
        def holds(live: Manifest) -> bool:
            found = condition(live, type_)
            told = (found.get("reason"), status_word(live)) == (reason, word)
            return told and quoting in found.get("message", "")

        await wait_until(reason, world.service, holds)

    too_many = {"limits": {"amd.com/gpu": "20"}}
    await world.apply(model(world.namespace), template(world.namespace), service(world.namespace, resources=too_many))
    await until_reason("InferenceServicePodsReady", "FailedScheduling", "Pending")
    await edit(resources=None, env=[{"name": "AIM_MODEL_ID", "value": "acme/elsewhere"}])
    await until_reason("InferenceServicePodsReady", "CrashLoopBackOff", "Failed", quoting="acme/elsewhere")
    await edit(env=None, routing={"gatewayRef": {"name": "nobody-s"}})
    await until_reason("HTTPRouteReady", "HTTPRoutePending", "Starting")
    await edit(routing=None)
    await world.wait_running()
    assert not world.operator.tracebacks
