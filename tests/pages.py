"""The documentation as its tests see it: fenced blocks, the commands in them, and the manifests they show."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("examples/*/README.md")),
]
PROGRAMS = ("kubectl", "helm", "curl")
"""What a command may begin with: test_pages.py has these, and runs what begins with them."""

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
_FENCE_MARK = re.compile(r"^[ >*-]*(?:```|~~~)", re.MULTILINE)
_MENTIONED = re.compile(rf"(?<!`)`((?:{'|'.join(PROGRAMS)}) [^`]+)`(?!`)")
_APPLIED = re.compile(r"-f (examples/\S+)")

NOT_RUN = {
    "make demo": "tests/e2e/test_demo.py runs what it runs",
    "make test": "is what runs the tests",
    ".venv/bin/aimd run --kubeconfig ~/.kube/config": "runs until it is stopped; each end-to-end test starts it so",
    "kubectl -n aim-system exec POD -- sh -c 'kill -USR1 1'": "pods of the sandbox have no exec; "
    "tests/integration/test_run.py sends the signal",
    "kubectl -n aim-system logs -f POD": "follows until it is stopped",
    "kubectl -n aim-system exec POD -- sh -c 'kill -USR2 1'": "as USR1",
    "kubectl -n aim-system logs deployment/aim-engine-controller-manager --previous": "no container was restarted",
    "kubectl -n NAMESPACE patch pvc NAME": "the size is the reader's to write",
}
"""Commands that no test runs, and why."""


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command, and the lines that the page shows below it; `…` in them stands for anything."""

    text: str
    output: tuple[str, ...]


def name_of(page: Path) -> str:
    """Path below the repository's root."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    return [Block(language, textwrap.dedent(text)) for _, language, text in _FENCE.findall(page.read_text())]


def unread(page: Path) -> int:
    """Marks of fences that belong to no block: tildes, quotes, attributes behind the language."""
    return len(_FENCE_MARK.findall(page.read_text())) - 2 * len(blocks(page))


def commands(page: Path) -> list[Command]:
    """What a reader would type, in the order of the page."""
    return [command for block in blocks(page) if block.language == "console" for command in _commands_of(block.text)]


def mentioned(page: Path) -> list[Command]:
    """The commands of users and administrators in running text; what stands there of `make` and `aimd` are names."""
    return [Command(" ".join(text.split()), ()) for text in _MENTIONED.findall(page.read_text())]


def _commands_of(text: str) -> list[Command]:
    joined = text.replace("\\\n", " ")
    _, *parts = re.split(r"^\$ ", joined, flags=re.MULTILINE)
    lines = [part.rstrip().splitlines() for part in parts]
    return [Command(" ".join(first.split()), tuple(output)) for first, *output in lines]


def shown(page: Path) -> list[str]:
    """Files whose text the page includes."""
    return [name for block in blocks(page) for name in _SNIPPET.findall(block.text)]


def applied(page: Path) -> list[str]:
    """Files and folders of `examples/` that the page's commands apply."""
    return [path for command in commands(page) for path in _APPLIED.findall(command.text)]
