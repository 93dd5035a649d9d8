"""Stand-in for a Gateway API implementation; `controllers` describes it."""

from aimd.sandbox.gateway.controllers import GATEWAY, GATEWAY_CLASS, HTTP_ROUTE, GatewaySettings, run_gateway

__all__ = ["GATEWAY", "GATEWAY_CLASS", "HTTP_ROUTE", "GatewaySettings", "run_gateway"]
