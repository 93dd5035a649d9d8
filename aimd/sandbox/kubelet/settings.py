"""What the process kubelet needs to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aimd.sandbox.addresses import AddressTable
from aimd.sandbox.kubelet.execution import ProcessKeeper
from aimd.sandbox.kubelet.programs import Program


@dataclass(frozen=True)
class KubeletSettings:
    """Settings of the process kubelet; times in seconds.

    `folder` holds what pods write outside persistent volumes, and their logs. `api_server` is the URL by which pods
    reach the API server. `certificate` and `key` (PEM files) and `port` (0: a free one) are of its own HTTPS server.
    """

    folder: Path
    addresses: AddressTable
    api_server: str
    programs: tuple[Program, ...]
    certificate: Path
    key: Path
    port: int = 0
    nodes: frozenset[str] = frozenset()
    """The nodes whose pods it runs; empty: all."""
    keeper: ProcessKeeper | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that every process gets unless its container sets them."""
    simulated_ready_after: float = 0.5
    """How long a simulated container takes to become ready."""
    simulated_job_seconds: float = 1.0
    """How long a simulated container runs in a pod that is meant to end, and a simulated init container in any."""
    token_period: float = 30.0
    """How often a pod gets a new token of its account; kubelets wait most of its hour."""
    back_off_scale: float = 1.0
    """Factor for the waits between restarts and between attempts to pull an image."""
