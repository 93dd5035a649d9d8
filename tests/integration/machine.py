"""What the machine can tell about processes, asked of /proc."""

import os
import time
from collections.abc import Callable
from pathlib import Path


def processes_in(folder: Path) -> dict[int, str]:
    """Process id and command of all processes, but this one, that work in the folder or were told of it."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if int(process.name) != os.getpid() and f"{folder}/" in f"{command} {(process / 'cwd').resolve()}/":
                found[int(process.name)] = command
        except OSError:
            continue
    return found


def listening_addresses(process: int) -> set[str]:
    """Addresses a process accepts TCP connections at: IPv4 in dotted form, IPv6 as the kernel writes it."""
    links = [link.readlink().name for link in Path(f"/proc/{process}/fd").iterdir()]
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in inodes:
                host = local.partition(":")[0]
                octets = reversed(bytes.fromhex(host))
                addresses.add(".".join(str(octet) for octet in octets) if table == "tcp" else host)
    return addresses


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Returns when the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.05)
