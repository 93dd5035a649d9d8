"""The version of the running aimd."""

import os
import platform

from aimd import __version__


def version_text() -> str:
    """Return the version of aimd, the commit of its image and the version of Python."""
    return f"aimd {__version__} (commit {commit()}, Python {platform.python_version()})"


def commit() -> str:
    """Return the commit that the image was built from; `unknown` outside of an image."""
    return os.environ.get("AIMD_COMMIT") or "unknown"
