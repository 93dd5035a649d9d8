"""Where weights are mounted."""

import pytest

from aimd.planning.weights import mount_point


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("Qwen/Qwen3-32B", "/workspace/cache/Qwen/Qwen3-32B"),
        ("../etc/passwd", "/workspace/cache/etc/passwd"),
        ("/absolute/", "/workspace/cache/absolute"),
        ("", "/workspace/cache/weights"),
        (".", "/workspace/cache/weights"),
        ("..", "/workspace/cache/weights"),
    ],
)
def test_a_model_id_gives_a_path_below_the_folder_of_weights(model: str, path: str) -> None:
    assert mount_point(model, "weights") == path
