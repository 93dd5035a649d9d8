"""Traces of the real process about a real API server, as a collector gets them by OTLP over HTTP."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aimd.api.crd import write_crds
from aimd.planning.kinds import AIM_RUNTIME_CONFIG
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.objects import Key
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.integration.operator_process import eventually, free_port, lines_of, running

AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
TEAM = "traced"


@dataclass
class Collector:
    """What arrived: spans as flat maps, and the attributes of their source."""

    url: str
    spans: list[dict[str, Any]] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.source |= attributes(resource.resource)
            for scope in resource.scope_spans:
                self.spans += [{"span": span, **attributes(span)} for span in scope.spans]

    def roots(self, name: str) -> list[dict[str, Any]]:
        """Spans of turns about an object, with what was done in them."""
        return [span for span in self.spans if span.get("name") == name and not span["span"].parent_span_id]

    def below(self, root: dict[str, Any]) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["span"].parent_span_id == root["span"].span_id]


def attributes(part: Any) -> dict[str, Any]:
    """Values that are texts or numbers."""
    return {item.key: item.value.string_value or item.value.int_value for item in part.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
async def client(api_server: Any, tmp_path: Path) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        write_crds(tmp_path / "crds")
        await apply_manifests(admin, read_manifests(tmp_path / "crds"))
        config = {
            "apiVersion": AIM_RUNTIME_CONFIG.api_version,
            "kind": AIM_RUNTIME_CONFIG.name,
            "metadata": {"name": TEAM, "namespace": TEAM},
            "spec": {},
        }
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}}
        await apply_manifests(admin, [namespace, config])
        yield admin
        await admin.delete(AIM_RUNTIME_CONFIG, Key(TEAM, TEAM), reason="test")


async def test_a_reconcile_is_a_trace_with_its_requests(client: Client, api_server: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with collecting() as collector:
        variables = AT_ONCE | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_RESOURCE_ATTRIBUTES": "region=eu"}
        flags = ("--tracing", "--zap-log-level=debug")
        with running(api_server.kubeconfig, log, *flags, **variables) as (process, _):

            async def written() -> bool:
                return any(collector.below(root) for root in collector.roots(TEAM))

            await eventually(written, log)
            process.send_signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(process.wait) == 0
    root = next(root for root in collector.roots(TEAM) if collector.below(root))
    span = root["span"]
    assert span.name == "reconcile runtime-config"
    told = {name: root[name] for name in ("controllerKind", "namespace", "result")}
    assert told == {"controllerKind": "AIMRuntimeConfig", "namespace": TEAM, "result": "success"}
    (request,) = collector.below(root)
    assert (request["span"].name, request["span"].kind) == ("patch AIMRuntimeConfig", 3)
    assert (request["http.response.status_code"], request["subresource"]) == (200, "status")
    assert {"service.name": "aimd", "region": "eu", "service.instance.id": "manager-0"}.items() <= (
        collector.source.items()
    )
    lines = [line for line in lines_of(log) if line.get("reconcileID") == root["reconcileID"]]
    assert {(line["trace_id"], line["span_id"]) for line in lines} == {(span.trace_id.hex(), span.span_id.hex())}
    outside = [line for line in lines_of(log) if "reconcileID" not in line]
    assert [line for line in outside if "trace_id" in line] == []


async def test_a_collector_that_is_away_holds_nothing_up(client: Client, api_server: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    variables = AT_ONCE | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    with running(api_server.kubeconfig, log, "--tracing", **variables) as (process, _):

        async def told() -> bool:
            return any(line["msg"] == "tracing" and line["level"] == "warning" for line in lines_of(log))

        await eventually(told, log)
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(8):
            assert await anyio.to_thread.run_sync(process.wait) == 0
