"""The log of the runtime: to stderr, with one level for its own lines and one for all others.

Until the levels are set, Python prints warnings without a format, as 0.8 and 0.9 do for bad environment variables.
"""

# tests: tests/unit/sandbox/aim_image/test_commands.py

import logging
import sys

from aimd.sandbox.aim_image.container_root import ContainerRoot

CONFIGURATION = logging.getLogger("aim_runtime.config")
DETECTION = logging.getLogger("aim_runtime.gpu_detector")
ACCELERATORS = logging.getLogger("aim_runtime.accelerator_detector")
PROFILES = logging.getLogger("aim_runtime.profile_registry")
FILES = logging.getLogger("aim_runtime.utils")
METADATA = logging.getLogger("aim_common.object_model")
SELECTION = logging.getLogger("aim_runtime.profile_selector")
COMMAND = logging.getLogger("aim_runtime.command_generator")
RUNTIME = logging.getLogger("aim_runtime.aim_runtime")
ENTRYPOINT = logging.getLogger("__main__")

_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class _Formatter(logging.Formatter):
    def __init__(self, root: ContainerRoot) -> None:
        super().__init__(_FORMAT)
        self._root = root

    def format(self, record: logging.LogRecord) -> str:
        return self._root.shown(super().format(record))


def set_levels(everything: str, runtime: str, root: ContainerRoot) -> None:
    """Log to stderr at the level `everything`, and the runtime's own lines at the level `runtime`.

    Levels that don't exist are WARNING and INFO.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(root))
    logging.basicConfig(level=_level(everything, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("aim_runtime").setLevel(_level(runtime, logging.INFO))


def _level(name: str, default: int) -> int:
    return logging.getLevelNamesMapping().get(name.upper(), default)
