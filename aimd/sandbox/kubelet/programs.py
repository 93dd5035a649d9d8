"""The images that the process kubelet knows, and how their containers run as local processes.

The first entry of the table whose patterns match the image and the name of a container decides. Containers that match
no entry are simulated.

Of its images, the kubelet knows the content of AIM images only: their environment, and the files that their program
reads. For all others, it is kinder than a container runtime: a predictor of an unknown image gets the echo server,
which asks for no profile, and a discovery Job of one ends well without printing anything.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from aimd.runtime.objects import Manifest

# -P: a file in the working directory, which may be a volume, must not be imported as a module.
_PYTHON = (sys.executable, "-P", "-m")
_AIMD = (*_PYTHON, "aimd")
_LISTENS = re.compile(r"(?P<flag>--[a-z-]+-bind-address)=:(?P<port>\d+)")


@dataclass(frozen=True, slots=True)
class ContainerCommand:
    """The command of a container: `command` and `args` with translated paths, and the local port by port."""

    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Return the local port of the first port, 0 without one."""
        return next(iter(self.ports.values()), 0)


@dataclass(frozen=True, slots=True)
class ImageContent:
    """What an image brings: its environment, below that of the container, and files by their absolute path."""

    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Program:
    """An entry of the table: shell patterns for image and container name, and the function of the command line."""

    command_line: Callable[[ContainerCommand], Sequence[str]]
    image: str = "*"
    container: str = "*"
    content: ImageContent = ImageContent()

    def fits(self, container: Manifest) -> bool:
        """Return whether a container of a pod spec matches the patterns."""
        return fnmatchcase(container.get("image") or "", self.image) and fnmatchcase(container["name"], self.container)


def aimd_command_line(container: ContainerCommand) -> Sequence[str]:
    """Return the command line of the aimd image: `aimd`, `/check-size.sh`, or a download if it gets a URI.

    Instead of all addresses of the pod, it listens on the loopback port for that of the container.
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
    """Return the command line of a model image: the echo server, with model and cache folder from the environment."""
    return (*_PYTHON, "aimd.sandbox.model_server", "--port", str(container.port))


def aim_command_line(generation: str, container: ContainerCommand) -> Sequence[str]:
    """Return the command line of an AIM image of a generation, such as `0.9`; its entry point is `./entrypoint.py`.

    Another command than the entry point is run as it is, and fails if the host has no such program.
    """
    if container.command and PurePosixPath(container.command[0]).name != "entrypoint.py":
        return (*container.command, *container.arguments)
    listens = [word for port, local in container.ports.items() for word in ("--listen", f"{port}={local}")]
    words = (*container.command[1:], *container.arguments)
    return (*_PYTHON, "aimd.sandbox.aim_image.commands", "--generation", generation, *listens, *words)


def default_programs(aimd_image: str, aim_images: Sequence[Program] = ()) -> tuple[Program, ...]:
    """Return the table: the aimd image, the containers of download jobs, AIM images, and other model images."""
    return (
        Program(aimd_command_line, image=aimd_image),
        Program(aimd_command_line, container="model-download"),
        Program(aimd_command_line, container="check-size"),
        *aim_images,
        Program(model_command_line, container="kserve-container"),
    )
