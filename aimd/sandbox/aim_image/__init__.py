"""Stand-in for AIM images: their content in the registry, and their program on the process kubelet.

It is written from how the runtimes of AIM 0.8, 0.9, 0.11 and 0.12 behave, refusals included: which profile files they
take, which profile they choose, what they print and where, how they end, which command line and environment the engine
gets, and which folder it looks for its weights in. 0.8 and 0.9 have been compared with the real runtimes; 0.11 and 0.12
could only be read.

How it differs from the real thing:

- The engine is an echo server (`aimd/sandbox/model_server.py`). It fails without weights, but takes any arguments.
- Files of a folder are read in the order of their names, and not in that of the file system, which decides between two
  files with the same id, and between profiles that are equally good.
- Sizes of models have five decimals instead of two, because the sandbox's models are small; without `HF_ENDPOINT` there
  is no size, as without a network.
- `download-to-cache` refuses, and so do weights in S3, which 0.8 and 0.9 download on start. `detect-hardware`,
  `validate`, `benchmark`, `evaluate` and `list-checks` are unknown commands.
- From 0.11 on, neither names of `VLLM_*` variables nor `AIM_ENGINE_ARGS` are checked, for which the real one asks vLLM.
  In 0.12, a warning about older metadata has other words. Adapters are ignored.
- All CPUs are called `CPU`; numbers of their chips are no names, and `OMP_NUM_THREADS` stays as it is.
- GPUs are always idle. Those of a container are the ones that its pod was allocated, told by a variable.
- `list-profiles` prints no colors and no legend for them. Of lines at INFO, only the most useful are there. Errors in
  options are worded by argparse instead of click. After an unexpected error, 0.11 and 0.12 print no traceback.
- The program starts in half a second; the real one takes up to a minute from 0.11 on, and writes to `/tmp`.
"""
