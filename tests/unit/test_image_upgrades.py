"""A model gets another image while a service runs: at no moment does a pod start what the new image has not.

The service is reconciled before the model's templates here, as may happen in a cluster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from tests.aim_images import FULL, LATENCY, ON_MI325X, QUANTIZED, QWEN, ProfileFile, image_of
from tests.aim_runtime_oracle import Start
from tests.planned_cluster import MI300X, MI325X, PlannedCluster, PublishedImage

OLD, NEW = "amdenterpriseai/aim-qwen-qwen3-32b:1", "amdenterpriseai/aim-qwen-qwen3-32b:2"
NAMED = {"model": {"name": "qwen"}, "template": {"name": "t"}}
ASKING = {"metric": "latency", "hardware": {"gpu": {"model": "MI300X", "requests": 1}}}
TUNED = replace(ON_MI325X, engine_args={"max-model-len": 4096})


@dataclass(frozen=True)
class Upgrade:
    """The profiles of the new image, and what the service runs with it; nothing if it keeps the old one."""

    profiles: tuple[ProfileFile, ...]
    profile: str = ""
    weights: str = ""
    template: Mapping[str, Any] | None = None

    @property
    def image(self) -> PublishedImage:
        return image_of("0.12", self.profiles)


UPGRADES = {
    "same profile": Upgrade((TUNED,), ON_MI325X.stem, f"hf://{QUANTIZED}"),
    "other weights": Upgrade((replace(ON_MI325X, model_id=QWEN),), ON_MI325X.stem, f"hf://{QWEN}"),
    "profile gone": Upgrade((replace(FULL, primary=True),)),
    "no profile for the cluster": Upgrade((replace(LATENCY, model="MI250X"),)),
    "pinned, other weights": Upgrade(
        (replace(ON_MI325X, model_id=QWEN),), ON_MI325X.stem, f"hf://{QWEN}", {"profileId": ON_MI325X.stem}
    ),
    "pinned, profile gone": Upgrade((FULL,), template={"profileId": ON_MI325X.stem}),
    "asked, other profile": Upgrade((replace(FULL, primary=True),), FULL.stem, f"hf://{QWEN}", ASKING),
    "asked, none": Upgrade((ON_MI325X,), template=ASKING),
}


@pytest.mark.parametrize("name", UPGRADES)
def test_no_pod_starts_what_the_image_has_not(name: str) -> None:
    """Prove SVC-ORD-6, SVC-VOL-4 and SVC-VOL-5."""
    upgrade = UPGRADES[name]
    cluster = PlannedCluster({OLD: image_of("0.9"), NEW: upgrade.image}, (MI300X, MI325X))
    cluster.user_applies(AIM_MODEL, "qwen", {"image": OLD})
    if upgrade.template is not None:
        cluster.user_applies(AIM_SERVICE_TEMPLATE, "t", {"modelName": "qwen", **upgrade.template})
    cluster.user_applies(AIM_SERVICE, "chat", {"model": {"name": "qwen"}} if upgrade.template is None else NAMED)
    cluster.settle()
    assert len(cluster.rollouts) == 1

    cluster.user_edits(AIM_MODEL, "qwen", image=NEW)
    cluster.settle(services_first=True)
    assert len(cluster.rollouts) == (2 if upgrade.profile else 1)
    for rollout in cluster.rollouts:
        for node, outcome in rollout:
            assert isinstance(outcome, Start), outcome
            assert (outcome.profile.model, outcome.holds) == (node.model, f"hf://{outcome.profile.model_id}")
    if upgrade.profile:
        ((_, outcome),) = cluster.rollouts[-1]
        assert isinstance(outcome, Start)
        assert (outcome.profile.id, outcome.holds) == (upgrade.profile, upgrade.weights)
    else:
        assert cluster.conditions()["Ready"][0] == "False"
