"""Routes, a Gateway and a Service for tests of this room."""

from typing import Any

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:01:00Z"
OURS = "test/gateway"


def route(name: str = "chat", *, path: str = "/team/chat", namespace: str = "team", **changes: Any) -> dict[str, Any]:
    """The HTTPRoute of an AIMService (SVC-RTE-9)."""
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "filters": [
            {
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
            }
        ],
        "backendRefs": [{"kind": "Service", "name": f"{name}-predictor", "namespace": namespace, "port": 80}],
    }
    rule.update(changes.pop("rule", {}))
    spec = {"parentRefs": [{"name": "gateway", "namespace": "ingress"}], "rules": [rule], **changes}
    metadata = {"name": name, "namespace": namespace, "generation": 3, "creationTimestamp": NOW}
    return {"metadata": metadata, "spec": spec}


def gateway(**listener: Any) -> dict[str, Any]:
    listeners = [
        {
            "name": "http",
            "protocol": "HTTP",
            "port": 80,
            "allowedRoutes": {"namespaces": {"from": "All"}},
            **listener,
        }
    ]
    spec = {"gatewayClassName": "sandbox", "listeners": listeners}
    return {"metadata": {"name": "gateway", "namespace": "ingress", "generation": 1}, "spec": spec}


SERVICE = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8000}]}}
