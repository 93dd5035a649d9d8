"""The stand-in for an AIM image, read by the operator's own readers of labels and of dry runs."""

import json
from pathlib import Path

import pytest

from aimd.planning.image_inspection import LabelsUnreadable
from aimd.planning.model.image_metadata import read_labels
from aimd.planning.service_template.discovery_output import read_output
from aimd.sandbox.model_image import MODEL, PROFILES, Profile, dry_run, image_labels, main


def test_its_labels_recommend_a_deployment_for_each_profile() -> None:
    labels = read_labels(image_labels())
    assert not isinstance(labels, LabelsUnreadable)
    model = labels.metadata.model
    assert model is not None
    assert model.canonical_name == MODEL
    assert [(each.gpu_model, each.profile_id) for each in model.recommended_deployments] == [
        (profile.gpu, profile.name) for profile in PROFILES
    ]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_dry_run_answers_what_was_asked(
    profile: Profile, by_name: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"AIM_PROFILE_ID": profile.name} if by_name else {"AIM_GPU_MODEL": profile.gpu, "AIM_GPU_COUNT": "1"}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert main(["dry-run", "--format=json"]) == 0
    found = read_output(capsys.readouterr().out)
    assert (found.gpu, found.gpu_count, found.metadata["type"]) == (profile.gpu, 1, "optimized")
    assert [(source.model_id, source.source_uri) for source in found.sources] == [(MODEL, f"hf://{MODEL}")]
    assert found.remarks == ()


def test_without_a_question_it_tells_all() -> None:
    assert len(dry_run({})) == len(PROFILES)
    assert json.dumps(dry_run({}))


def test_it_serves_only_with_its_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--cache", str(tmp_path)]) == 1
    assert MODEL in capsys.readouterr().err


def test_it_can_do_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    assert "dry-run" in capsys.readouterr().err
