"""`python -m aimd`: the entry point of the image."""

import sys

from aimd.cli.main import image_entry_point

if __name__ == "__main__":
    image_entry_point(sys.argv[1:])
