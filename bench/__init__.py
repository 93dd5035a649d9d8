"""Benchmarks of the runtime, each as a ratio to a peer or a floor in the same run (docs/performance.md).

There is one module per benchmark, with `run() -> Figures` and its limits. The measured program runs in a process of its
own (`fresh`), and so does its server (`server`), so that CPU time and memory are those of one side only.
"""
