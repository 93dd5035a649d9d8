"""Services of every shape on images of every generation: what starts, by the oracle of AIM containers.

Each either starts the right profile with the right weights on the right hardware, or says in a condition why not,
before any pod is created.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.runtime.objects import Kind
from tests.aim_images import (
    LATENCY,
    ON_MI325X,
    QUANTIZED,
    QWEN,
    WIDER,
    ProfileFile,
    base_image,
    image_of,
)
from tests.aim_pods import gpu_count
from tests.aim_runtime_oracle import Start
from tests.planned_cluster import MI300X, MI325X, Node, PlannedCluster, PublishedImage

IMAGE, BASE = "amdenterpriseai/aim-qwen-qwen3-32b:1", "amdenterpriseai/aim-base:1"
NAMES = ("0.8", "0.9", "0.10", "0.11", "0.12")
LLAMA = "meta-llama/Llama-3-8B"
BY_IMAGE: dict[str, Any] = {"model": {"image": IMAGE}}
NAMED: dict[str, Any] = {"model": {"name": "qwen"}, "template": {"name": "t"}}
ONE: dict[str, Any] = {"gpu": {"model": "MI300X", "requests": 1}}
REQUEST: dict[str, Any] = {"metric": "latency", "precision": "fp8", "hardware": ONE}
HF: dict[str, Any] = {"modelId": "my-org/ft", "sourceUri": "hf://my-org/ft", "size": "16Gi"}
S3: dict[str, Any] = {"modelId": "my-org/ft", "sourceUri": "s3://bucket/ft", "size": "16Gi"}
OTHER: dict[str, Any] = {"modelId": "my-org/other", "sourceUri": "hf://my-org/other", "size": "16Gi"}
CUSTOM: dict[str, Any] = {
    "aimId": LLAMA,
    "modelId": LLAMA,
    "metric": "latency",
    "precision": "fp16",
    "hardware": ONE,
    "customProfile": {
        "engineArgs": {"dtype": "float16", "gpu-memory-utilization": 0.95},
        "envVars": {"PYTORCH_TUNABLEOP_ENABLED": "1"},
    },
}
CUSTOM_ID = f"custom/{LLAMA}/vllm-mi300x-fp16-tp1-latency"
GENERAL_ID = "general/vllm-mi300x-fp16-tp1-latency"
EPYC = (
    ProfileFile(
        "Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "EPYC_ZEN5", 124, "throughput", "bf16", "unoptimized", True, accelerator="cpu"
    ),
)
SMALL = (
    ProfileFile(
        "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "CPU", precision="bf16", type="unoptimized", primary=True,
        accelerator="cpu",
    ),
)  # fmt: skip
SWIN = ProfileFile("monai/swinunetr", "monai/swinunetr", precision="fp16", engine="bentoml", primary=True)
BENTO = frozenset({"bentoml"})


@dataclass(frozen=True)
class Shape:
    """Objects that users create, and what is to become of the service.

    `profile` and `weights` are what has to start; a `refusal` is a text in the service's or template's conditions.
    `jobs` is how many discovery Jobs may run, None if that does not matter.
    """

    name: str
    service: Mapping[str, Any]
    profile: str = ""
    weights: str = ""
    refusal: str = ""
    template: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    image: Callable[[str], PublishedImage] = image_of
    nodes: tuple[Node, ...] = (MI300X,)
    jobs: int | None = None
    generations: Sequence[str] = NAMES
    args: Mapping[str, Any] = field(default_factory=dict)


def labeled(generation: str) -> PublishedImage:
    return image_of(generation, label=True)


def squashed(generation: str) -> PublishedImage:
    return image_of(generation, unreadable="the image has one layer only")


def squashed_labeled(generation: str) -> PublishedImage:
    return image_of(generation, label=True, unreadable="the image has one layer only")


def epyc(generation: str) -> PublishedImage:
    return image_of(generation, EPYC, aim_id="Qwen/Qwen3-8B", AIM_ACCELERATOR_TYPE="cpu")


def cpu_labeled(generation: str) -> PublishedImage:
    entry = {"gpuModel": "CPU", "gpuCount": 1, "metric": "latency", "profileId": SMALL[0].stem, "description": ""}
    return image_of(generation, SMALL, aim_id="Qwen/Qwen3-0.6B", label=(entry,), AIM_ACCELERATOR_TYPE="cpu")


def bentoml(generation: str) -> PublishedImage:
    return image_of(generation, (SWIN,), aim_id="monai/swinunetr", engines=BENTO)


def only_unoptimized(generation: str) -> PublishedImage:
    return image_of(generation, (WIDER,))


def labeled_by_id(generation: str) -> PublishedImage:
    entry = {"gpuModel": "MI300X", "gpuCount": 2, "metric": "latency", "profileId": WIDER.stem, "description": ""}
    return image_of(generation, label=(entry,))


def named(template: Mapping[str, Any] | None = None, **model: Any) -> dict[str, Any]:
    """The model and template of a service that names both."""
    shown = None if template is None else {"modelName": "qwen", **template}
    return {"model": {"image": IMAGE, **model}, "template": shown, "service": NAMED}


def by_model(**model: Any) -> dict[str, Any]:
    service = {"model": {"name": "qwen"}, "template": {"allowUnoptimized": "customTemplates" not in model}}
    return {"model": {"image": BASE, **model}, "service": service}


def custom(**changes: Any) -> dict[str, Any]:
    return {**CUSTOM, **changes}


def gpu(**fields: Any) -> dict[str, Any]:
    return {"hardware": {"gpu": {"requests": 1, **fields}}}


def entry(**changes: Any) -> dict[str, Any]:
    """A custom template of a model, as users write one."""
    spec = custom(**changes)
    profile = {"metric": spec.pop("metric"), "precision": spec.pop("precision")}
    return {"name": "tuned", **spec, "profile": profile}


WEIGHTS = f"hf://{QUANTIZED}"
LABELED: dict[str, Any] = {"image": labeled, "profile": LATENCY.stem, "weights": WEIGHTS}
PLAIN: dict[str, Any] = {"profile": LATENCY.stem, "weights": WEIGHTS}
OWN: dict[str, Any] = {"profile": GENERAL_ID, "weights": HF["sourceUri"]}
OWN_S3: dict[str, Any] = {"profile": GENERAL_ID, "weights": S3["sourceUri"]}

SHAPES = (
    # By image, with everything chosen.
    Shape("by image with label", BY_IMAGE, **LABELED),
    Shape("by image without label", BY_IMAGE, **PLAIN, jobs=0),
    Shape("by image with label, throughput", {**BY_IMAGE, "overrides": {"metric": "throughput"}},
          "vllm-mi300x-fp8-tp1-throughput", WEIGHTS, image=labeled),
    Shape("by image without label, throughput", {**BY_IMAGE, "overrides": {"metric": "throughput"}},
          "vllm-mi300x-fp8-tp1-throughput", WEIGHTS, jobs=0),
    Shape("by image on the better GPU", BY_IMAGE, ON_MI325X.stem, WEIGHTS, nodes=(MI300X, MI325X), jobs=0),
    Shape("by image with label, without a GPU that fits", BY_IMAGE, image=labeled, refusal="MI250X",
          nodes=(Node("MI250X", {"amd.com/gpu.device-id": "740c"}),), jobs=0),
    Shape("by image, unoptimized ones only", BY_IMAGE, image=only_unoptimized, refusal="allowUnoptimized", jobs=0),
    Shape("by image, unoptimized ones allowed", {**BY_IMAGE, "template": {"allowUnoptimized": True}},
          WIDER.stem, f"hf://{QWEN}", image=only_unoptimized, jobs=0),
    Shape("by image with a label by profile", {**BY_IMAGE, "template": {"allowUnoptimized": True}},
          WIDER.stem, f"hf://{QWEN}", image=labeled_by_id),
    Shape("by squashed image with label", BY_IMAGE, **{**LABELED, "image": squashed_labeled}),
    Shape("by squashed image without label", BY_IMAGE, image=squashed, refusal="customTemplates", jobs=0),
    Shape("dedicated cache", {**BY_IMAGE, "caching": {"mode": "Dedicated"}}, **PLAIN),
    Shape("engine arguments of the service", {**BY_IMAGE, "env": [
        {"name": "AIM_ENGINE_ARGS", "value": '{"max-model-len": 8192}'}]}, **PLAIN, args={"max-model-len": 8192}),
    Shape("a profile by the service's environment", {**BY_IMAGE, "env": [
        {"name": "AIM_PROFILE_ID", "value": "vllm-mi300x-fp8-tp1-throughput"}]},
        "vllm-mi300x-fp8-tp1-throughput", WEIGHTS),
    Shape("by base image alone", {"model": {"image": BASE}}, refusal="emplate", jobs=0),
    # Named templates.
    Shape("template with profileId", **named({**REQUEST, "profileId": LATENCY.stem}), **PLAIN, jobs=0),
    Shape("template with nothing but a profileId", **named({"profileId": LATENCY.stem}), **PLAIN, jobs=0),
    Shape("template with a manual profile", **named({"profileId": WIDER.stem}), profile=WIDER.stem,
          weights=f"hf://{QWEN}", jobs=0),
    Shape("template with a general profile", **named({"profileId": GENERAL_ID}), profile=GENERAL_ID,
          weights=f"hf://{QWEN}"),
    Shape("template with an unknown profile", **named({**REQUEST, "profileId": "vllm-mi300x-fp8-tp9-latency"}),
          refusal="vllm-mi300x-fp8-tp9-latency"),
    Shape("template that asks", **named(REQUEST), **PLAIN),
    Shape("template that asks for a GPU in lower case", **named({**REQUEST, **gpu(model="mi300x")}), **PLAIN),
    Shape("template that asks by product name", **named({**REQUEST, **gpu(model="AMD Instinct MI300X")}), **PLAIN),
    Shape("template that asks for memory", **named({"metric": "latency", **gpu(minVram="100Gi")}), **PLAIN),
    Shape("template that asks for too much memory", **named({"metric": "latency", **gpu(minVram="300Gi")}),
          refusal="300Gi", jobs=0),
    Shape("template that asks for what is manual", **named({**REQUEST, "precision": "fp16", "hardware": {
        "gpu": {"model": "MI300X", "requests": 2}}}), refusal="No compatible profile"),
    Shape("template of a squashed image", **named({"profileId": LATENCY.stem}), **{**PLAIN, "image": squashed}),
    # Overrides of a named template.
    Shape("other metric than the template's", **{**named({**REQUEST, "profileId": LATENCY.stem}), "service": {
        **NAMED, "overrides": {"metric": "throughput"}}}, profile="vllm-mi300x-fp8-tp1-throughput", weights=WEIGHTS),
    Shape("other precision than the template's", **{**named({**REQUEST, "profileId": LATENCY.stem}), "service": {
        **NAMED, "overrides": {"precision": "fp16"}}}, profile="vllm-mi300x-fp16-tp1-latency", weights=f"hf://{QWEN}"),
    Shape("other GPU than the template's", **{**named({**REQUEST, "profileId": LATENCY.stem}), "service": {
        **NAMED, "overrides": gpu(model="MI325X")}}, profile=ON_MI325X.stem, weights=WEIGHTS, nodes=(MI300X, MI325X)),
    Shape("override that nothing fits", **{**named({**REQUEST, "profileId": LATENCY.stem}), "service": {
        **NAMED, "overrides": {"precision": "int4"}}}, refusal="No compatible profile"),
    # Custom profiles.
    Shape("custom profile", **named(CUSTOM), profile=CUSTOM_ID, weights=f"hf://{LLAMA}",
          args={"dtype": "float16", "gpu-memory-utilization": 0.95}),
    Shape("custom profile on a base image with a fine-tune", **by_model(modelSources=[HF], customTemplates=[entry()]),
          profile=CUSTOM_ID, weights=HF["sourceUri"]),
    Shape("custom profile on a base image with weights in S3", **by_model(modelSources=[S3], customTemplates=[entry()]),
          profile=CUSTOM_ID, weights=S3["sourceUri"]),
    Shape("custom profile of an image's model", **{
        **by_model(image=IMAGE, customTemplates=[entry()]), "service": {
            "model": {"name": "qwen"}, "template": {"name": "tuned"}}},
          profile=CUSTOM_ID, weights=f"hf://{LLAMA}"),
    Shape("custom profile with its own weights", **named(custom(modelId="my-org/ft", modelSources=[HF])),
          profile=CUSTOM_ID, weights=HF["sourceUri"]),
    Shape("custom profile with two sources, one its own", **named(
        custom(modelId="my-org/ft", modelSources=[OTHER, HF])), profile=CUSTOM_ID, weights=HF["sourceUri"]),
    Shape("custom profile with two sources, none its own", **named(custom(modelSources=[OTHER, HF])),
          refusal="modelSources", jobs=0),
    Shape("custom profile for a GPU in lower case", **named(custom(**gpu(model="mi300x"))), profile=CUSTOM_ID,
          weights=f"hf://{LLAMA}"),
    Shape("custom profile for a GPU by product name", **named(custom(**gpu(model="AMD Instinct MI300X"))),
          profile=CUSTOM_ID, weights=f"hf://{LLAMA}"),
    Shape("custom profile, preview", **named(custom(type="preview")), profile=CUSTOM_ID, weights=f"hf://{LLAMA}"),
    Shape("custom profile, optimized", **named(custom(type="optimized")), profile=CUSTOM_ID, weights=f"hf://{LLAMA}"),
    Shape("custom profile of precision auto", **named(custom(precision="auto")), refusal="precision", jobs=0),
    Shape("custom profile for memory", **named(custom(**gpu(minVram="100Gi"))), refusal="hardware.gpu.model", jobs=0),
    Shape("custom profile for a CPU", **named(custom(hardware={"cpu": {"requests": "4"}})),
          refusal="hardware.gpu.model", jobs=0),
    Shape("custom profile without a GPU", **named(custom(hardware={"gpu": {"model": "MI300X", "requests": 0}})),
          refusal="requests", jobs=0),
    Shape("custom profile for nine GPUs", **named(custom(hardware={"gpu": {"model": "MI300X", "requests": 9}})),
          refusal="requests", jobs=0),
    Shape("custom profile with an aimId of three parts", **named(custom(aimId="a/b/c")), refusal="aimId", jobs=0),
    Shape("custom profile with a modelId of one part", **named(custom(modelId="llama")), refusal="modelId", jobs=0),
    Shape("custom profile in the folder of general ones", **named(custom(aimId="my-org/general")),
          refusal="aimId", jobs=0),
    # Own weights.
    Shape("base image with weights", **by_model(modelSources=[HF], custom={"hardware": ONE}), **OWN, jobs=0),
    Shape("base image with weights in S3", **by_model(modelSources=[S3], custom={"hardware": ONE}), **OWN_S3, jobs=0),
    Shape("base image with weights, GPU by product name", **by_model(modelSources=[HF], custom=gpu(model="mi300X")),
          **OWN, jobs=0),
    Shape("base image with weights, by memory", **by_model(modelSources=[HF], custom=gpu(minVram="100Gi")),
          **OWN, jobs=0),
    Shape("base image with weights and a template", **by_model(modelSources=[HF], customTemplates=[
        {"name": "fast", "hardware": ONE, "profile": {"metric": "throughput"}}]),
        profile="general/vllm-mi300x-fp16-tp1-throughput", weights=HF["sourceUri"], jobs=0),
    Shape("model's image with a fine-tune", **by_model(image=IMAGE, modelSources=[HF], custom={"hardware": ONE}),
          **OWN, jobs=0),
    Shape("template with two sources", **named({"modelSources": [HF, OTHER], "hardware": ONE}), **OWN, jobs=0),
    Shape("template with a profile and its weights", **named({
        **REQUEST, "profileId": LATENCY.stem, "modelSources": [{**HF, "modelId": QUANTIZED}]}),
        profile=LATENCY.stem, weights=HF["sourceUri"], jobs=0),
    Shape("service with weights of its own", {"model": {"custom": {
        "baseImage": BASE, "modelSources": [HF], "hardware": ONE}}, "template": {"allowUnoptimized": True}},
        **OWN, jobs=0),
    # Other engines and accelerators.
    Shape("image of another engine", BY_IMAGE, SWIN.stem, image=bentoml, jobs=0, generations=("0.10", "0.11", "0.12")),
    Shape("image for CPUs", {**BY_IMAGE, "template": {"allowUnoptimized": True}}, EPYC[0].stem, "hf://Qwen/Qwen3-8B",
          image=epyc, jobs=0, generations=("0.11", "0.12")),
    Shape("image for CPUs with label", {**BY_IMAGE, "template": {"allowUnoptimized": True}}, SMALL[0].stem,
          "hf://Qwen/Qwen3-0.6B", image=cpu_labeled, jobs=0, generations=("0.11",)),
)  # fmt: skip


def run(shape: Shape, generation: str) -> PlannedCluster:
    cluster = PlannedCluster({IMAGE: shape.image(generation), BASE: base_image(generation)}, shape.nodes)
    objects: tuple[tuple[Kind, str, Mapping[str, Any] | None], ...] = (
        (AIM_MODEL, "qwen", shape.model),
        (AIM_SERVICE_TEMPLATE, "t", shape.template),
        (AIM_SERVICE, "chat", shape.service),
    )
    for kind, name, spec in objects:
        if spec is not None:
            cluster.user_applies(kind, name, spec)
    cluster.settle()
    return cluster


def said(cluster: PlannedCluster) -> str:
    """Every message about what is not right."""
    lines = []
    for kind in (AIM_SERVICE, AIM_SERVICE_TEMPLATE, AIM_MODEL):
        for live in cluster.all(kind):
            conditions = (live.get("status") or {}).get("conditions") or ()
            lines += [f"{live['metadata']['name']}: {item['type']}: {item['message']}" for item in conditions]
    return "\n".join(lines)


@pytest.mark.parametrize("generation", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_a_service_starts_right_or_says_why_not(shape: Shape, generation: str) -> None:
    if generation not in shape.generations:
        pytest.skip("the generation has no such image")
    cluster = run(shape, generation)
    if shape.jobs is not None:
        assert len(cluster.jobs) <= shape.jobs
    pod = cluster.predictor()
    if shape.refusal:
        assert pod is None
        assert shape.refusal in said(cluster)
        return
    assert pod is not None, said(cluster)
    outcomes = list(cluster.starts())
    assert outcomes, "no node can run the pod"
    for node, outcome in outcomes:
        assert isinstance(outcome, Start), outcome
        profile = outcome.profile
        assert (profile.id, outcome.holds, outcome.rivals) == (shape.profile, shape.weights, ())
        assert profile.accelerator == "cpu" or (profile.model, profile.count) == (node.model, gpu_count(pod))
        assert shape.args.items() <= outcome.engine_args.items()
