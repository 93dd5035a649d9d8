"""Which images the process kubelet knows, and how their containers run as local processes.

A table, asked from top to bottom; the first entry whose patterns fit the container's image and name decides. Containers
that no entry fits are simulated.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from aimd.runtime.objects import Manifest

# -P: a file in the working directory, which may be a volume, must not pass for a module.
_PYTHON = (sys.executable, "-P", "-m")
_AIMD = (*_PYTHON, "aimd")
_LISTENS = re.compile(r"(?P<flag>--[a-z-]+-bind-address)=:(?P<port>\d+)")


@dataclass(frozen=True, slots=True)
class ContainerCommand:
    """What a container is to run: `command` and `args` with paths translated, and the local number of each port."""

    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Local number of the first port, 0 without one."""
        return next(iter(self.ports.values()), 0)


@dataclass(frozen=True, slots=True)
class Program:
    """An entry of the table: shell patterns for image and container name, and the local command line."""

    command_line: Callable[[ContainerCommand], Sequence[str]]
    image: str = "*"
    container: str = "*"

    def fits(self, container: Manifest) -> bool:
        """Whether a container (of a pod's spec) is to be run by this program."""
        return fnmatchcase(container.get("image") or "", self.image) and fnmatchcase(container["name"], self.container)


def aimd_command_line(container: ContainerCommand) -> Sequence[str]:
    """The aimd image: its `aimd` command, its `/check-size.sh`, and an entry point that downloads when given a URI.

    Where it would listen on all addresses of the pod, it listens on the loopback port that stands for that.
    """
    words = tuple(_on_loopback(word, container.ports) for word in (*container.command, *container.arguments))
    if container.command:
        name = PurePosixPath(container.command[0]).name
        known = {"aimd": (), "check-size.sh": ("check-size",)}
        return (*_AIMD, *known[name], *words[1:]) if name in known else words
    if words and "://" in words[0]:
        return (*_AIMD, "download", *words)
    return (*_AIMD, *words)


def _on_loopback(word: str, ports: Mapping[int, int]) -> str:
    match = _LISTENS.fullmatch(word)
    local = ports.get(int(match["port"])) if match else None
    return f"{match['flag']}=127.0.0.1:{local}" if match and local else word


def model_command_line(container: ContainerCommand) -> Sequence[str]:
    """A model image: the echo server; model and cache folder come from the container's environment."""
    return (*_PYTHON, "aimd.sandbox.model_server", "--port", str(container.port))


def image_command_line(container: ContainerCommand) -> Sequence[str]:
    """The sandbox's own model image: it knows its model, serves it, and tells its profiles when it is asked."""
    words = (*container.command, *container.arguments)
    return (*_PYTHON, "aimd.sandbox.model_image", *(words or ("serve", "--port", str(container.port))))


def default_programs(aimd_image: str, model_image: str) -> tuple[Program, ...]:
    """The aimd image, what stands in for it in download jobs, the sandbox's model image, and all that KServe serves.

    A model image that is not the sandbox's is simulated when it is asked for its profiles, and tells none.
    """
    return (
        Program(aimd_command_line, image=aimd_image),
        Program(aimd_command_line, container="model-download"),
        Program(aimd_command_line, container="check-size"),
        Program(image_command_line, image=model_image),
        Program(model_command_line, container="kserve-container"),
    )
