"""Which aimd this is."""

import os
import platform

from aimd import __version__


def version_text() -> str:
    """The version of aimd, the commit of its image and the version of the Python that runs it."""
    return f"aimd {__version__} (commit {commit()}, Python {platform.python_version()})"


def commit() -> str:
    """The commit that the image was built from, as the image says; `unknown` outside of one."""
    return os.environ.get("AIMD_COMMIT") or "unknown"
