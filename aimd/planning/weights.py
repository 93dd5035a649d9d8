"""Where the containers of a predictor find their weights."""

WEIGHTS_PATH = "/workspace/cache"
"""Folder of all weights, `AIM_CACHE_PATH` of the containers."""


def mount_point(model_id: str, fallback: str) -> str:
    """Return the path at which weights are mounted: by the id of their model, else by `fallback`."""
    model = model_id.replace("..", "").strip("/")
    return f"{WEIGHTS_PATH}/{fallback if model in ('', '.') else model}"
