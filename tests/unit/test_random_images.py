"""Random images of every generation and random requests, through everything that aimd decides.

Files and labels are read, templates planned, discovered and chosen, and the predictor rendered. If a predictor comes of
it, then by the oracle of AIM containers the profile that it pins is in the image and loads there, it is for the
hardware that the pod gets, and the weights that it names are mounted.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from tests.aim_images import QUANTIZED, QWEN, ProfileFile, base_image, image_of
from tests.aim_pods import environment, gpu_count
from tests.aim_runtime_oracle import GENERATIONS, Container, Profile, Start, loaded
from tests.planned_cluster import MI300X, MI325X, Node, PlannedCluster, PublishedImage

IMAGE = "amdenterpriseai/aim-qwen-qwen3-32b:1"
METRICS, PRECISIONS = ("latency", "throughput"), ("fp8", "fp16", "bf16", "int4")
TYPES = ("optimized", "optimized", "preview", "unoptimized", "general")
MODELS = ("MI300X", "MI300X", "MI325X", "MI355X")

profiles = st.builds(
    ProfileFile,
    model_id=st.sampled_from([QWEN, QUANTIZED]),
    model=st.sampled_from(MODELS),
    count=st.sampled_from([1, 1, 2, 8]),
    metric=st.sampled_from(METRICS),
    precision=st.sampled_from(PRECISIONS),
    type=st.sampled_from(TYPES),
    primary=st.booleans(),
)
NOT_SAID_TO_BE_MANUAL: dict[str, Any] = {"metadata": {"manual_selection_only": None}}
strange: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"metadata": {"gpu": "mi300x"}},
        {"metadata": {"gpu": "MI9000X"}},
        {"metadata": {"gpu": "NONE"}},
        {"metadata": {"gpu_count": 9}},
        {"metadata": {"gpu_count": "1"}},
        {"metadata": {"precision": "FP8"}},
        {"metadata": {"precision": "auto"}},
        NOT_SAID_TO_BE_MANUAL,
        {"metadata": {"accelerator_type": "tpu"}},
        {"metadata": {"variant": "long"}},
        {"metadata": None},
        {"engine_args": None},
        {"env_vars": {"A": 1}},
        {"aim_id": "someone/else"},
        {"model_id": "a/b/c"},
        {"model_id": None},
    ]
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "metric": st.sampled_from(METRICS),
        "precision": st.sampled_from(PRECISIONS),
        "hardware": st.fixed_dictionaries(
            {"requests": st.sampled_from([1, 2, 8])},
            optional={"model": st.sampled_from(["MI300X", "mi325x", "AMD Instinct MI300X"])},
        ).map(lambda gpu: {"gpu": gpu}),
    },
)


@st.composite
def images(draw: st.DrawFn) -> PublishedImage:
    """An image whose files are mostly as its generation writes them, with or without a label."""
    generation = draw(st.sampled_from(GENERATIONS))
    drawn = draw(st.lists(profiles, max_size=8))
    label = draw(st.one_of(st.just(()), st.just(True), st.just(True)))
    found = image_of(generation, tuple(drawn), label=label, unreadable=draw(st.sampled_from(["", "", "", "of zstd"])))
    files = dict(found.image.files)
    for number, profile in enumerate(draw(st.lists(profiles, max_size=3))):
        # Images of 0.11 and 0.12 for some accelerators look the same, so files of the latter count as accepted.
        is_blurred = generation.startswith("0.11")
        writers = [name for name in GENERATIONS if name != "0.12" or not is_blurred]
        text = profile.text(draw(st.sampled_from(writers)))
        path = draw(st.sampled_from([profile.path, f"{QWEN}/own-{number}.yaml", f"someone/else/{number}.yaml"]))
        change = draw(strange)
        kept = {} if is_blurred and change == NOT_SAID_TO_BE_MANUAL else change
        files[path] = yaml.safe_dump(_changed(yaml.safe_load(text), kept))
    return replace(found, image=replace(found.image, files=files))


def _changed(document: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in change.items():
        document[key] = {**document[key], **value} if key == "metadata" and value is not None else value
    return document


@st.composite
def services(draw: st.DrawFn, stems: list[str]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A service by image, or by a template of the user."""
    template: dict[str, Any] = {"allowUnoptimized": True} if draw(st.booleans()) else {}
    service: dict[str, Any] = {"model": {"image": IMAGE}}
    written = None
    if draw(st.booleans()):
        service["model"] = {"name": "qwen"}
        template["name"] = "t"
        written = {"modelName": "qwen", **draw(requests)}
        if draw(st.booleans()):
            written["profileId"] = draw(st.sampled_from([*stems, "vllm-mi300x-fp8-tp1-latency", "general/none"]))
    if overrides := draw(st.one_of(st.just({}), requests)):
        service["overrides"] = overrides
    return {**service, **({"template": template} if template else {})}, written


nodes = st.sampled_from([(MI300X, MI325X), (MI300X, MI325X), (MI300X,), (MI325X,), ()])


@pytest.mark.timeout(300)
@settings(max_examples=60)
@given(data=st.data(), image=images(), nodes=nodes)
def test_what_is_pinned_loads_and_finds_its_hardware_and_weights(
    data: st.DataObject, image: PublishedImage, nodes: tuple[Node, ...]
) -> None:
    stems = [path.rsplit("/", 1)[-1].removesuffix(".yaml") for path in sorted(image.image.files)]
    service, template = data.draw(services(stems))
    cluster = PlannedCluster({IMAGE: image}, nodes)
    if template is not None:
        cluster.user_applies(AIM_MODEL, "qwen", {"image": IMAGE})
        cluster.user_applies(AIM_SERVICE_TEMPLATE, "t", template)
    cluster.user_applies(AIM_SERVICE, "chat", service)
    cluster.settle()
    pod = cluster.predictor()
    event("predictor" if pod is not None else "no predictor")
    if pod is None:
        assert cluster.conditions()["Ready"][0] == "False"
        assert cluster.conditions()["Ready"][2]
        return
    wanted = {name: value for name, value in (template or {}).items() if name in ("metric", "precision")}
    wanted |= service.get("overrides") or {}
    outcomes = list(cluster.starts())
    assert outcomes or not nodes, "no node can run the pod"
    for node, outcome in outcomes:
        assert isinstance(outcome, Start), outcome
        profile = outcome.profile
        assert environment(pod["containers"][0])["AIM_PROFILE_ID"] == profile.id
        assert not outcome.rivals
        assert outcome.holds == f"hf://{profile.model_id or QWEN}"
        assert (profile.model, profile.count) == (node.model, gpu_count(pod)) or (profile.model, gpu_count(pod)) == (
            "",
            0,
        )
        assert wanted.get("metric", profile.metric) == profile.metric
        assert wanted.get("precision", profile.precision) == profile.precision


@settings(max_examples=30)
@given(image=images())
def test_every_template_of_an_image_pins_a_profile_that_the_image_loads(image: PublishedImage) -> None:
    """Templates that were made from files are Ready without any Job, or wait for a GPU."""
    cluster = PlannedCluster({IMAGE: image}, (MI300X, MI325X))
    cluster.user_applies(AIM_MODEL, "qwen", {"image": IMAGE})
    cluster.settle()
    ids = {profile.id: profile for profile in loaded(image.image, Container())}
    if not image.unreadable and not image.labels.get("com.amd.aim.model.recommendedDeployments"):
        assert cluster.jobs == []
    for template in cluster.all(AIM_SERVICE_TEMPLATE):
        if template["status"]["status"] == "Ready":
            found = template["status"]["profile"]["metadata"]
            profile_id = template["spec"].get("profileId")
            if profile_id:
                profile = ids[profile_id]
                shown = tuple(found.get(name) for name in ("metric", "precision", "type"))
                assert shown == (profile.metric, profile.precision, profile.type)


IDS = ("my-org/ft", "my-org/other", QWEN)
ANY_ID = st.sampled_from(IDS * 5 + ("llama", "a/b/c", "my-org/general"))
gpus = st.fixed_dictionaries(
    {
        "requests": st.sampled_from([1, 1, 1, 2, 2, 0, 9]),
        "model": st.sampled_from(["MI300X", "MI300X", "mi325x", "AMD Instinct MI300X", "MI9000X", ""]),
    }
)
sources = st.lists(
    st.builds(
        lambda name, scheme: {"modelId": name, "sourceUri": f"{scheme}://{name}", "size": "1Gi"},
        st.sampled_from(IDS),
        st.sampled_from(["hf", "s3"]),
    ),
    max_size=3,
    unique_by=lambda source: source["modelId"],
)
custom = st.fixed_dictionaries(
    {
        "aimId": ANY_ID,
        "modelId": ANY_ID,
        "metric": st.sampled_from(METRICS),
        "precision": st.sampled_from([*PRECISIONS, *PRECISIONS, "auto"]),
        "customProfile": st.just({"engineArgs": {"dtype": "float16"}}),
        "hardware": gpus.map(lambda gpu: {"gpu": gpu}),
    },
    optional={"type": st.sampled_from(["optimized", "preview", "unoptimized"]), "modelSources": sources},
)
own_weights = st.fixed_dictionaries(
    {"modelSources": sources.filter(bool), "hardware": gpus.map(lambda gpu: {"gpu": gpu})},
    optional={"metric": st.sampled_from(METRICS), "precision": st.sampled_from(PRECISIONS)},
)


@pytest.mark.timeout(300)
@settings(max_examples=60)
@given(generation=st.sampled_from(GENERATIONS), spec=custom | own_weights, nodes=nodes, is_base=st.booleans())
def test_templates_with_profiles_and_weights_of_users(
    generation: str, spec: dict[str, Any], nodes: tuple[Node, ...], is_base: bool
) -> None:
    """A custom profile loads or is refused without a Job; own weights run if the image has a profile for them."""
    image = base_image(generation) if is_base else image_of(generation)
    cluster = PlannedCluster({IMAGE: image}, nodes)
    off = {"extractMetadata": False, "createServiceTemplates": False}
    cluster.user_applies(AIM_MODEL, "qwen", {"image": IMAGE, "discovery": off})
    cluster.user_applies(AIM_SERVICE_TEMPLATE, "t", {"modelName": "qwen", **spec})
    cluster.user_applies(AIM_SERVICE, "chat", {"model": {"name": "qwen"}, "template": {"name": "t"}})
    cluster.settle()
    pod = cluster.predictor()
    if pod is None:
        event("refused")
        assert cluster.conditions()["Ready"][2]
        for job in cluster.jobs:
            assert "No compatible profile" not in cluster.conditions()["Ready"][2], job["metadata"]["name"]
        return
    event("custom profile" if "customProfile" in spec else "own weights")
    weights = {source["modelId"]: source["sourceUri"] for source in spec.get("modelSources") or ()}
    for node, outcome in cluster.starts():
        if "customProfile" in spec:
            assert isinstance(outcome, Start), outcome
            assert outcome.profile.id.startswith(f"custom/{spec['aimId']}/")
            assert (outcome.profile.model, outcome.profile.count) == (node.model, gpu_count(pod))
            only = next(iter(weights.values()), f"hf://{spec['modelId']}")
            assert outcome.holds == weights.get(spec["modelId"], only)
        elif isinstance(outcome, Start):
            assert outcome.profile.general
            assert outcome.holds == spec["modelSources"][0]["sourceUri"]
            # Without a number, a GPU is meant that the pod does not request.
            assert (outcome.profile.model, outcome.profile.count) == (node.model, gpu_count(pod) or 1)
        else:
            assert not [item for item in loaded(image.image, Container()) if _suits(item, spec, node, gpu_count(pod))]


def _suits(profile: Profile, spec: Mapping[str, Any], node: Node, count: int) -> bool:
    """Whether a general profile is what own weights ask for."""
    asked = (spec.get("metric", "latency"), spec.get("precision", profile.precision), node.model, count)
    return profile.general and (profile.metric, profile.precision, profile.model, profile.count) == asked
