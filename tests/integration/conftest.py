"""One control plane for the whole test session; tests keep apart by namespaces of their own."""

from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from aimd.sandbox.control_plane import ControlPlane, control_plane


@pytest.fixture(scope="session")
def api_server() -> Iterator[ControlPlane]:
    """A real API server, with etcd, controller manager and scheduler; use `.kubeconfig` and `.audit_log`.

    It lives in a thread with an event loop of its own, so that tests may use it from theirs.
    """
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(control_plane()) as running:
        yield running
