"""The overview of planning a service."""

import re
from pathlib import Path

from aimd.planning import service


def test_the_table_names_every_module() -> None:
    """If this fails: add the module to the table in aimd/planning/service/__init__.py, or delete its name there."""
    modules = {path.stem for path in Path(service.__file__).parent.glob("*.py")} - {"__init__"}
    table = [line.split("|")[1] for line in (service.__doc__ or "").splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(table))) == sorted(modules)
