"""What a spec has too much of."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aimd.api.artifact import AIMArtifact
from aimd.api.bounds import MOST_LEVELS
from aimd.api.kinds import RESOURCES
from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate


def nested(levels: int) -> Any:
    value: Any = 1
    for n in range(levels):
        value = {"a": value} if n % 2 else [value]
    return {"top": value}


def profile(args: Any) -> dict[str, Any]:
    return {"spec": {"customProfile": {"engineArgs": args}}}


ENV = [{"name": f"E{n}", "value": "x"} for n in range(257)]


@pytest.mark.parametrize(
    ("model", "manifest", "excess"),
    [
        (AIMService, {"spec": {"env": ENV}}, "spec.env has 257 entries, more than 256: remove some"),
        (AIMService, {"spec": {"env": ENV[:256]}}, ""),
        (
            AIMService,
            {"spec": {"routing": {"pathTemplate": "/" * 1025}}},
            "spec.routing.pathTemplate has 1025 characters, more than 1024: shorten it",
        ),
        (AIMService, {"spec": {"routing": {"pathTemplate": "/" * 1024}}}, ""),
        (
            AIMArtifact,
            {"spec": {"env": [{"name": "A", "value": "x" * 65537}]}},
            "spec.env[0].value has 65537 characters, more than 65536: shorten it",
        ),
        (
            AIMServiceTemplate,
            profile({str(n): n for n in range(257)}),
            "spec.customProfile.engineArgs has 257 entries, more than 256: remove some",
        ),
        (
            AIMServiceTemplate,
            profile(nested(MOST_LEVELS)),
            "spec.customProfile.engineArgs has more than 8 levels: make it flatter",
        ),
        (AIMServiceTemplate, profile(nested(MOST_LEVELS - 1)), ""),
        (
            AIMServiceTemplate,
            profile({"a": "x" * 65536}),
            "spec.customProfile.engineArgs has 65537 characters, more than 65536: shorten it",
        ),
        (AIMServiceTemplate, {"status": {"modelSources": [{}] * 500}}, ""),
    ],
)
def test_what_is_too_much_is_named(model: Any, manifest: dict[str, Any], excess: str) -> None:
    """Prove OBJ-BND-2."""
    assert model.model_validate(manifest).excess == excess


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_measuring_never_fails(spec: Any) -> None:
    """Prove OBJ-BND-2."""
    for resource in RESOURCES:
        try:
            parsed = resource.model.model_validate({"spec": spec})
        except ValidationError:
            continue
        assert parsed.excess == ""
