"""aimd: a Kubernetes operator that serves AI models on AMD GPUs."""

__version__ = "0.1.0"
