"""The variables that the process kubelet sets for every process, besides those of its container."""

# tests: tests/unit/sandbox/kubelet/test_devices.py

ROOT = "AIM_SANDBOX_ROOT"
"""The folder on disk that is `/` for the process."""

GPUS = "AIM_SANDBOX_GPUS"
"""The PCI device ids of the GPUs that the container has, with commas, which stand for the files in /dev/dri."""
