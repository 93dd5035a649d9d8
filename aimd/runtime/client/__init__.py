"""Access to the API server; the only package that imports kr8s.

`wire` defines what is sent and received (pure), `transport` sends HTTP requests over aiohttp, `session` sends calls
over kr8s and turns every failure into an `ApiError`, `credentials` keeps the token fresh, and `access` is the `Client`
that everything else uses.
"""

from aimd.runtime.client.access import Client, WriteObserver, connect
from aimd.runtime.client.session import ClientOptions
from aimd.runtime.client.wire import Page, Patch, Selection, WatchEvent, WatchStream

__all__ = [
    "Client",
    "ClientOptions",
    "Page",
    "Patch",
    "Selection",
    "WatchEvent",
    "WatchStream",
    "WriteObserver",
    "connect",
]
