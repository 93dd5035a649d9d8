"""The settings of the process kubelet."""

# tests: tests/integration/test_standins.py

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aimd.sandbox.addresses import AddressTable
from aimd.sandbox.kubelet.execution import ProcessKeeper
from aimd.sandbox.kubelet.programs import Program


@dataclass(frozen=True)
class KubeletSettings:
    """Settings of the process kubelet; times are in seconds.

    `folder` has the files that pods write outside of persistent volumes, and their logs. `api_server` is the URL of the
    API server for pods. `certificate`, `key` (PEM files) and `port` (0 for a free one) are those of its HTTPS server.
    """

    folder: Path
    addresses: AddressTable
    api_server: str
    programs: tuple[Program, ...]
    certificate: Path
    key: Path
    port: int = 0
    nodes: frozenset[str] = frozenset()
    """Nodes whose pods it runs; if empty, all."""
    keeper: ProcessKeeper | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of every process, unless its container sets them."""
    simulated_ready_after: float = 0.5
    """Time until a simulated container is ready."""
    simulated_job_seconds: float = 1.0
    """Run time of a simulated init container, and of a simulated container in a pod that ends."""
    token_period: float = 30.0
    """Interval at which a pod gets a new token; a kubelet waits most of the token's lifetime of an hour."""
    pull_seconds: Mapping[str, float] = field(default_factory=dict)
    """Time that a node takes to pull an image, by shell pattern; none by default."""
    pulls: dict[tuple[str, str], float] = field(default_factory=dict)
    """When each node began to pull an image; a node pulls it once, whatever becomes of the pod."""
    back_off_scale: float = 1.0
    """Factor for the delays between restarts and between attempts to pull an image."""
