"""Which aimd this is."""

import platform

from aimd import __version__


def version_text() -> str:
    """The version of aimd and of the Python that runs it."""
    return f"aimd {__version__} (Python {platform.python_version()})"
