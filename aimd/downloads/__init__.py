"""What runs inside the size-check and download jobs: `aimd check-size` and `aimd download`.

Stands alone: httpx, anyio, structlog and huggingface_hub, and nothing else of aimd. The way through it is `run` (one
job, its attempts, its exit code) → `hub` (commit and files) → `fetch` (what is missing of them) → `partial` and `tree`
(bytes and files on the volume). `progress` counts what moves; `artifact_status` tells the artifact.
"""
