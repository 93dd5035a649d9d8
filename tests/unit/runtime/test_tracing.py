"""The tracer that traces nothing."""

from collections.abc import Mapping
from typing import Any

from aimd.runtime.tracing import NoTracer, Tracer


def expensive() -> Mapping[str, Any]:
    raise AssertionError("without a tracer nothing is computed")


def test_no_tracer_computes_nothing_and_takes_every_attribute() -> None:
    tracer: Tracer = NoTracer()
    with tracer.reconcile("greeting", expensive) as set_attribute:
        set_attribute("result", "success")
        with tracer.request("get Pod", expensive) as of_request:
            of_request("http.response.status_code", 200)
