"""Stand-in for kubelet, container runtime and device plugin; `kubelet` describes it."""

from aimd.sandbox.kubelet.kubelet import run_kubelet
from aimd.sandbox.kubelet.programs import Program, default_programs
from aimd.sandbox.kubelet.settings import KubeletSettings

__all__ = ["KubeletSettings", "Program", "default_programs", "run_kubelet"]
