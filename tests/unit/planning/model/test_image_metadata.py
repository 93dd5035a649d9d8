"""Labels of images: both prefixes, four ways to write deployments, and a reason for what cannot be read."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import ImageMetadata, ModelMetadata, OciMetadata, RecommendedDeployment
from aimd.planning.image_inspection import LabelsUnreadable
from aimd.planning.model.image_metadata import MOST_BYTES, LabelsRead, read_labels

NEW, OLD = "com.amd.aim.", "org.amd.silogen."
DEPLOYMENTS = f"{NEW}model.recommendedDeployments"


def read(labels: dict[str, str]) -> ModelMetadata:
    result = read_labels(labels)
    assert isinstance(result, LabelsRead)
    assert result.metadata.model is not None
    return result.metadata.model


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [("n", None, "n"), (None, "o", "o"), ("n", "o", "n"), ("", "o", "o"), (None, None, ""), ("", None, "")],
)
def test_the_new_prefix_wins_unless_empty(new: str | None, old: str | None, expected: str) -> None:
    """Prove MDL-LBL-1."""
    pairs = {f"{NEW}model.canonicalName": new, f"{OLD}model.canonicalName": old}
    assert read({key: value for key, value in pairs.items() if value is not None}).canonical_name == expected


def test_every_field() -> None:
    labels = {
        f"{NEW}model.canonicalName": "qwen/qwen3",
        f"{OLD}model.source": "https://hub.example.com/qwen",
        f"{NEW}title": "Qwen",
        f"{NEW}description.full": "long",
        f"{NEW}release.notes": "new",
        f"{NEW}model.tags": "a, b ,c",
        f"{NEW}model.versions": ",1,,2,",
        f"{NEW}model.variants": "",
        f"{NEW}hfToken.required": "True",
        DEPLOYMENTS: '[{"gpuModel": "MI300X", "gpuCount": 1, "precision": "fp8", "metric": "latency"}]',
        "org.opencontainers.image.title": "t",
        "org.opencontainers.image.revision": "r",
        "other": "kept",
    }
    assert read_labels(labels) == LabelsRead(
        ImageMetadata(
            model=ModelMetadata(
                canonical_name="qwen/qwen3",
                source="https://hub.example.com/qwen",
                title="Qwen",
                description_full="long",
                release_notes="new",
                tags=("a", "b", "c"),
                versions=("1", "2"),
                hf_token_required=True,
                recommended_deployments=(
                    RecommendedDeployment(gpu_model="MI300X", gpu_count=1, precision="fp8", metric="latency"),
                ),
            ),
            oci=OciMetadata(title="t", revision="r"),
            original_labels=labels,
        )
    )


def test_the_base_image_is_that_of_the_environment() -> None:
    """Prove MDL-STA-6."""
    for env, expected in (({"AIM_BASE_IMAGE_REF": " aim-base:0.11 "}, "aim-base:0.11"), ({}, "")):
        result = read_labels({}, env)
        assert isinstance(result, LabelsRead)
        assert result.metadata.base_image_ref == expected


def test_no_labels_are_valid_metadata() -> None:
    assert read_labels({}) == LabelsRead(ImageMetadata(model=ModelMetadata(), oci=OciMetadata()))


@pytest.mark.parametrize(("text", "expected"), [(t, True) for t in ("1", "t", "T", "TRUE", "true", "True")] + [
    (t, None) for t in ("0", "f", "F", "FALSE", "false", "False", "maybe", "", "yes", "tRuE")])  # fmt: skip
def test_whether_a_token_is_required(text: str, expected: bool | None) -> None:
    assert read({f"{NEW}hfToken.required": text}).hf_token_required is expected


ONE = RecommendedDeployment(gpu_model="MI300X", gpu_count=1)
TWO = RecommendedDeployment(gpu_model="MI300X", gpu_count=2, profile_id="p")


@pytest.mark.parametrize(
    "text",
    [
        '[{"gpuModel": "MI300X", "gpuCount": 1}, {"gpuModel": "MI300X", "gpuCount": 2, "profileId": "p"}]',
        "[{'gpuModel': 'MI300X', 'gpuCount': 1}, {'gpuModel': 'MI300X', 'gpuCount': 2, 'profileId': 'p'}]",
        '{"gpuModel": "MI300X", "gpuCount": 1}, {"gpuModel": "MI300X", "gpuCount": 2, "profileId": "p"}',
        " {'gpuModel': 'MI300X', 'gpuCount': 1}, {'gpuModel': 'MI300X', 'gpuCount': 2, 'profileId': 'p'}\n",
        '[{"GPUMODEL":"MI300X","gpucount":1,"metric":null,"a":{}},{"gpuModel":"MI300X","gpuCount":2,"profileId":"p"}]',
    ],
)
def test_all_ways_to_write_deployments(text: str) -> None:
    """Prove MDL-LBL-2."""
    assert read({DEPLOYMENTS: text}).recommended_deployments == (ONE, TWO)


FOLDER = Path(__file__).parents[3] / "data" / "aim-images" / "labels"
COUNTS = {
    "derived-0.10-qwen3-32b": 8,
    "derived-0.11-cpu-echo-model": 0,
    "derived-0.11-cpu-qwen3-0.6b": 1,
    "derived-0.11-epyc-qwen3-8b-no-recommendations": 0,
    "derived-0.11x-qwen3-32b": 8,
    "derived-0.11x-radeon-glm-4.7-flash": 4,
    "derived-0.11x-radeon-llama-3.1-8b": 4,
    "derived-0.12-qwen3-32b-no-recommendations": 0,
    "derived-0.9-base": 0,
    "derived-0.9-gpt-oss-20b": 6,
    "derived-0.9-qwen3-32b-bracketed": 4,
    "derived-0.9-qwen3-32b-unbracketed": 4,
    "derived-made-up-apostrophe": 4,
    "derived-made-up-single-unbracketed": 1,
    "found-0.8.4-llama-3.1-8b": 2,
    "found-0.8.4-mistral-small-3.2": 2,
    "found-0.8.4-qwen3-32b": 2,
}


def test_labels_of_images_of_all_generations() -> None:
    """Prove MDL-LBL-2."""
    found = {path.stem: read(json.loads(path.read_text())) for path in FOLDER.glob("*.json")}
    assert {name: len(model.recommended_deployments) for name, model in found.items()} == COUNTS
    assert all(entry.metric for model in found.values() for entry in model.recommended_deployments)
    (cpu,) = found["derived-0.11-cpu-qwen3-0.6b"].recommended_deployments
    assert (cpu.gpu_model, cpu.gpu_count, cpu.profile_id) == ("CPU", 1, "vllm-cpu-bf16-tp1-latency")
    assert (
        found["derived-made-up-apostrophe"].recommended_deployments[0].description
        == "AMD's choice for latency on MI300X"
    )
    assert found["derived-0.11-cpu-echo-model"].description_full.endswith("AIM image.")


@given(st.lists(st.dictionaries(st.sampled_from(["description", "profileId"]), st.none() | st.text(max_size=30))))
def test_whatever_python_prints_is_read_back(items: list[dict[str, str | None]]) -> None:
    """Prove MDL-LBL-2."""
    expected = [(item.get("description") or "", item.get("profileId") or "") for item in items]
    for text in (str(items), str(items)[1:-1]):
        found = read({DEPLOYMENTS: text}).recommended_deployments
        assert [(entry.description, entry.profile_id) for entry in found] == expected


def test_an_apostrophe_in_json_stays() -> None:
    assert (
        read({DEPLOYMENTS: '[{"description": "AMD\'s best"}]'}).recommended_deployments[0].description == "AMD's best"
    )


@pytest.mark.parametrize("text", ["not JSON", "[", "[{]", "{'a': 'it's'}", "[{}] trailing", "\ud800", "[" * 5000])
def test_a_label_that_is_no_json_fails_all(text: str) -> None:
    result = read_labels({DEPLOYMENTS: text, f"{NEW}title": "t"})
    assert isinstance(result, LabelsUnreadable)
    assert result.reason == "MetadataExtractionFailed"
    assert "spec.imageMetadata" in result.message


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("5", "is no object"),
        ("null", "is no object"),
        ('{"gpuCount": "4"}', ".gpuCount is no whole number of GPUs"),
        ('{"gpuCount": -1}', ".gpuCount is no whole number of GPUs"),
        ('{"gpuCount": true}', ".gpuCount is no whole number of GPUs"),
        ('{"gpuCount": 1.5}', ".gpuCount is no whole number of GPUs"),
        ('{"gpuCount": 4294967296}', ".gpuCount is no whole number of GPUs"),
        ('{"gpuModel": ["MI300X"]}', ".gpuModel is no text"),
        ('{"profileId": 7}', ".profileId is no text"),
    ],
)
def test_one_bad_deployment_does_not_block_the_others(item: str, why: str) -> None:
    """Prove MDL-LBL-2."""
    result = read_labels({DEPLOYMENTS: f'[{{"gpuModel": "MI300X", "gpuCount": 1}}, {item}]'})
    assert isinstance(result, LabelsRead)
    assert result.metadata.model is not None
    assert result.metadata.model.recommended_deployments == (ONE,)
    assert len(result.rejected) == 1
    assert result.rejected[0].startswith("model.recommendedDeployments[1]")
    assert result.rejected[0].endswith(why)


def test_labels_that_no_status_can_hold() -> None:
    """Prove MDL-LBL-3."""
    assert isinstance(read_labels({"a": "x" * MOST_BYTES}), LabelsUnreadable)
    assert isinstance(read_labels({DEPLOYMENTS: "[" + ",".join(["{}"] * 257) + "]"}), LabelsUnreadable)


_SUFFIXES = ("model.recommendedDeployments", "model.tags", "hfToken.required", "title", "other")
_KEYS = st.sampled_from([prefix + suffix for prefix in (NEW, OLD, "") for suffix in _SUFFIXES]) | st.text(max_size=9)


@given(st.dictionaries(_KEYS, st.text(max_size=60)))
def test_no_labels_raise_and_what_was_read_reads_the_same_again(labels: dict[str, str]) -> None:
    result = read_labels(labels)
    if isinstance(result, LabelsRead):
        assert read_labels(result.metadata.original_labels) == result


_DEPLOYMENT = st.builds(
    RecommendedDeployment,
    gpu_model=st.text("MI30X-", max_size=6), gpu_count=st.integers(0, 64), precision=st.sampled_from(["", "fp8"]),
    metric=st.sampled_from(["", "latency"]), profile_id=st.text("ab-", max_size=5),
    description=st.text("a b,.", max_size=9),
)  # fmt: skip


@given(st.lists(_DEPLOYMENT, max_size=4), st.booleans(), st.booleans())
def test_written_deployments_are_read_back(deployments: list[RecommendedDeployment], bare: bool, single: bool) -> None:
    text = json.dumps([deployment.manifest() for deployment in deployments])
    text = text[1:-1] if bare else text
    text = text.replace('"', "'") if single else text
    assert list(read({DEPLOYMENTS: text}).recommended_deployments) == deployments
