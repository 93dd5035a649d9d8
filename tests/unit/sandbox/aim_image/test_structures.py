"""The profiles that 0.11 and 0.12 take and refuse."""

from typing import Any

import pytest
from pydantic import ValidationError

from aimd.sandbox.aim_image.generations import Generation
from aimd.sandbox.aim_image.structures import read_metadata
from tests.aim_container import document, later_document

BOTH = {"accelerator_model": "MI300X", "accelerator_count": 1, "accelerator_type": "gpu", "primary": True}


def read(content: dict[str, Any], generation: Generation) -> Any:
    return read_metadata(content, generation, "x.yaml", general=False)


@pytest.mark.parametrize(
    ("content", "generations"),
    [
        (document(), (Generation.V0_11, Generation.V0_12)),
        (document(**BOTH), (Generation.V0_11, Generation.V0_12)),
        (later_document(), (Generation.V0_12,)),
        (later_document(manual_selection_only=True), (Generation.V0_11, Generation.V0_12)),
        (document(gpu="NONE", gpu_count=0), (Generation.V0_11,)),
        (document(gpu="mi300x", precision="FP16", engine="bentoml"), (Generation.V0_11, Generation.V0_12)),
        (document(gpu="0x74a1"), (Generation.V0_11, Generation.V0_12)),
        (
            later_document(accelerator_count=188, accelerator_type="cpu", accelerator_model="EPYC_9965"),
            (Generation.V0_12,),
        ),
        (later_document(variant="inductor-diff", features=["adapters"]), (Generation.V0_12,)),
        (later_document(variant="Not a slug"), ()),
        (later_document(features=["adapters", "adapters-scale-only"]), ()),
        (later_document(features=["wings"]), ()),
        (document(precision="auto"), ()),
        (document(gpu="Instinct-MI300X"), ()),
        (document(env_vars={"A": 1}), ()),
        (document(engine="sglang"), ()),
        (document(capabilities={"flying": True}), ()),
    ],
)
def test_what_each_generation_takes(content: dict[str, Any], generations: tuple[Generation, ...]) -> None:
    for generation in (Generation.V0_11, Generation.V0_12):
        if generation in generations:
            assert read(content, generation).type == "optimized"
        else:
            with pytest.raises(ValidationError):
                read(content, generation)


def test_0_12_warns_of_older_names(caplog: pytest.LogCaptureFixture) -> None:
    metadata = read(document(), Generation.V0_12)
    assert (metadata.accelerator_model, metadata.accelerator_count, metadata.accelerator_type) == ("MI300X", 1, "gpu")
    (record,) = caplog.records
    assert "x.yaml" in record.message
    assert "gpu, gpu_count, manual_selection_only" in record.message
    assert "will stop working" in record.message


def test_who_must_be_asked_for_by_name() -> None:
    assert read(document(manual_selection_only=True), Generation.V0_11).manual_only
    assert not read(document(manual_selection_only=True), Generation.V0_12).manual_only
    assert read(later_document(type="unoptimized"), Generation.V0_12).manual_only
    assert not read(document(type="unoptimized"), Generation.V0_11).manual_only
