"""The check that unit tests are pure sees what it is for."""

import socket
import subprocess
import sys


def test_a_process_is_seen(impure: list[str]) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert "subprocess.Popen" in impure
    impure.clear()


def test_a_connection_is_seen(impure: list[str]) -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
    assert impure == ["socket.bind", "socket.connect"]
    impure.clear()
