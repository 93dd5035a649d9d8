"""Benchmarks of the runtime, each as a ratio to a peer or a floor in the same run (docs/performance.md).

One module per benchmark: `run() -> Figures`, its limits beside it. What is measured runs in a process of its own
(`fresh`), what it talks to in another one (`server`), so that CPU time and memory belong to one side only.
"""
