"""The GPUs of a container: a device for each that it asks for, of the model of its node."""

from typing import Any

import pytest

from aimd.sandbox.aim_image.generations import Generation, device_by_id
from aimd.sandbox.kubelet.devices import gpus_of
from aimd.sandbox.nodes import ACCELERATORS, MI300X, labels_of

NODE = {"metadata": {"name": "gpu-1", "labels": labels_of("gpu-1", MI300X)}}


@pytest.mark.parametrize(
    ("resources", "node", "gpus"),
    [
        ({"limits": {"amd.com/gpu": "2"}}, NODE, ("74a1", "74a1")),
        ({"limits": {"amd.com/gpu": 1, "cpu": "4"}}, NODE, ("74a1",)),
        ({"limits": {"cpu": "4"}}, NODE, ()),
        ({"requests": {"amd.com/gpu": "1"}}, NODE, ()),
        ({}, NODE, ()),
        ({"limits": {"amd.com/gpu": "1"}}, {"metadata": {"name": "plain"}}, ()),
        ({"limits": {"amd.com/gpu": "1"}}, None, ()),
    ],
)
def test_a_container_gets_what_it_asks_for(resources: dict[str, Any], node: Any, gpus: tuple[str, ...]) -> None:
    assert gpus_of({"name": "main", "resources": resources}, node) == gpus


def test_every_node_of_the_sandbox_has_devices_that_the_runtimes_know() -> None:
    for accelerator in ACCELERATORS:
        assert all(device_by_id(accelerator.device_id, generation) for generation in Generation)
