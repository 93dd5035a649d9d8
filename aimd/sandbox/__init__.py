"""A local Kubernetes cluster for laptops, demos and tests: a real control plane, the real KServe, and stand-ins."""
