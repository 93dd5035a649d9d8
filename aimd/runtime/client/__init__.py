"""The only road to the API server, and the only package that imports kr8s and httpx.

`wire` is what travels (pure), `session` sends one request over kr8s and turns every trouble into an `ApiError`,
`credentials` keeps the token fresh, `access` is the `Client` that everybody else uses.
"""

from aimd.runtime.client.access import Client, WriteObserver, connect, separate_session
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
    "separate_session",
]
