"""The profile that a template's status holds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMModel
from aimd.api.service_template import AIMServiceTemplate, Profile
from aimd.planning.pod_rights import PodRights
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service_template.discovered_profile import aim_id_of, discovered_profile, discovered_profile_id
from aimd.planning.service_template.discovery_job import DiscoveryContext, spec_hash

STEM = "vllm-mi300x-mxfp4-tp1-latency"
FILES = "/workspace/aim-runtime/profiles"


def profile(output: Any) -> Profile:
    return Profile.model_validate({"originalDiscoveryOutput": output})


def template(spec_hash: str = "", **spec: Any) -> AIMServiceTemplate:
    status = {"profile": {"metadata": {"engine": "vllm"}}, "discovery": {"specHash": spec_hash}}
    return AIMServiceTemplate.model_validate({"spec": {"modelName": "qwen", **spec}, "status": status})


@pytest.mark.parametrize(
    ("filename", "path", "aim_id", "expected"),
    [
        (f"{STEM}.yaml", "", "Qwen/Qwen3-32B", STEM),
        (f"{STEM}.yaml", "", "", f"general/{STEM}"),
        (f"{STEM}.yaml", f"{FILES}/Qwen/Qwen3-32B/{STEM}.yaml", "Qwen/Qwen3-32B", STEM),
        (f"{STEM}.yaml", f"Qwen/Qwen3-32B/{STEM}.yaml", "Qwen/Qwen3-32B", STEM),
        (f"{STEM}.yaml", f"{FILES}/general/{STEM}.yaml", "", f"general/{STEM}"),
        (f"{STEM}.yaml", f"general/{STEM}.yaml", "a/b", f"general/{STEM}"),
        (f"{STEM}.yaml", f"{FILES}/custom/a/b/{STEM}.yaml", "a/b", f"custom/a/b/{STEM}"),
        (f"{STEM}.yaml", f"{FILES}/custom/general/{STEM}.yaml", "", f"custom/general/{STEM}"),
        ("a.b-1.5.yaml", "", "a/b", "a.b-1.5"),
        ("", "", "a/b", ""),
        ("profile.yml", "", "a/b", ""),
        (".yaml", "", "a/b", ""),
        ("a\nb.yaml", "", "a/b", ""),
    ],
)
def test_the_id_is_that_of_the_file(filename: str, path: str, aim_id: str, expected: str) -> None:
    """Prove SVC-ENV-4."""
    document = {"aim_id": aim_id, "metadata": {"precision": "fp4"}}
    found = profile({"filename": filename, "path": path, "profile": document})
    assert discovered_profile_id(found) == expected
    assert aim_id_of(found) == aim_id


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["path", "filename", "profile"]), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_output_is_read(output: Any) -> None:
    assert isinstance(discovered_profile_id(profile(output)), str)
    assert isinstance(aim_id_of(profile(output)), str)


def fingerprint(image: str) -> str:
    model = AIMModel.model_validate({"metadata": {"name": "qwen"}, "spec": {"image": image}})
    return spec_hash(DiscoveryContext(template(), model, ResolvedConfig(), PodRights()))


def test_a_profile_counts_for_the_image_that_reported_it() -> None:
    """Prove TPL-DSC-1."""
    assert discovered_profile(template(), "registry/aim:1") is not None
    assert discovered_profile(template("0123456789abcdef"), "registry/aim:1") is None
    known = template(fingerprint("registry/aim:1"))
    assert discovered_profile(known, "registry/aim:1") is not None
    assert discovered_profile(known, "registry/aim:2") is None


def test_nothing_is_discovered_for_weights_of_ones_own() -> None:
    sources = [{"modelId": "a/b", "sourceUri": "hf://a/b"}]
    assert discovered_profile(template(modelSources=sources), "registry/aim:1") is None
    nothing = AIMServiceTemplate.model_validate({"spec": {"modelName": "qwen"}})
    assert discovered_profile(nothing, "registry/aim:1") is None
