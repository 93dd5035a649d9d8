"""Stand-in for a Gateway API implementation; controllers.py says what it leaves out."""

from aimd.sandbox.gateway.controllers import GATEWAY, GATEWAY_CLASS, HTTP_ROUTE, GatewaySettings, run_gateway

__all__ = ["GATEWAY", "GATEWAY_CLASS", "HTTP_ROUTE", "GatewaySettings", "run_gateway"]
