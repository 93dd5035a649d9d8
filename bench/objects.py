"""Objects of realistic size and shape: pods of 6.2 KB, AIMServices of 1.5 KB, small ConfigMaps.

An object is encoded once; for a new version, the server only joins bytes.
"""

from dataclasses import dataclass
from typing import Any

import orjson

_VERSION = "%VERSION%"


@dataclass(frozen=True, slots=True)
class Template:
    """An encoded object with a gap for its resourceVersion."""

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> "Template":
        """Encode an object whose resourceVersion is the placeholder."""
        head, tail = orjson.dumps(manifest).split(_VERSION.encode())
        return cls(head, tail)

    def at(self, version: int) -> bytes:
        """Return the object at this version, as JSON."""
        return b"%b%d%b" % (self.head, version, self.tail)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One object in the two forms in which it is served."""

    name: str
    whole: Template
    metadata: Template

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> "Encoded":
        """Encode an object in both forms."""
        partial = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": manifest["metadata"],
        }
        return cls(manifest["metadata"]["name"], Template.of(manifest), Template.of(partial))


def pod(number: int) -> dict[str, Any]:
    """Return a pod of a model server as kubelet, KServe and a Deployment leave it, with managedFields; 6.2 KB."""
    name = f"predictor-{number:05d}"
    labels = _labels(f"service-{number % 1000:04d}")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **_metadata(name, number, labels),
            "generateName": "predictor-",
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "internal.serving.kserve.io/storage-initializer-sourceuri": f"pvc://models-{number % 1000:04d}/weights",
                "prometheus.io/path": "/metrics",
                "prometheus.io/port": "8080",
                "checksum/config": f"{number * 2654435761 % 2**64:016x}" * 4,
            },
            "ownerReferences": [_owner("apps/v1", "ReplicaSet", f"predictor-{number % 1000:04d}", number % 1000)],
            "managedFields": [_pod_fields("kube-controller-manager", ""), _pod_fields("kubelet", "status")],
        },
        "spec": _pod_spec(number),
        "status": _pod_status(number),
    }


def service(number: int) -> dict[str, Any]:
    """Return a running AIMService with status and managedFields; 1.5 KB."""
    name = f"service-{number:05d}"
    return {
        "apiVersion": "aim.eai.amd.com/v1alpha1",
        "kind": "AIMService",
        "metadata": {
            **_metadata(name, number, {"team": f"team-{number % 20:02d}", "app.kubernetes.io/part-of": "assistants"}),
            "generation": 3,
            "managedFields": [
                {
                    "manager": "kubectl-client-side-apply",
                    "operation": "Update",
                    "apiVersion": "aim.eai.amd.com/v1alpha1",
                    "time": "2026-01-01T10:00:00Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {
                        "f:spec": {"f:model": {"f:image": {}}, "f:replicas": {}, "f:routing": {"f:enabled": {}}}
                    },
                }
            ],
        },
        "spec": {
            "model": {"image": "registry.example.com/aim/qwen-qwen3-32b:0.8.4"},
            "replicas": 1 + number % 4,
            "routing": {"enabled": True, "gatewayRef": {"name": "inference", "namespace": "gateways"}},
            "overrides": {"metric": "latency", "precision": "fp8"},
        },
        "status": {
            "status": "Running",
            "observedGeneration": 3,
            "resolvedTemplate": {"name": f"qwen-qwen3-32b-mi300x-{number % 50:02d}", "scope": "Cluster"},
            "routing": {"path": f"/team-{number % 20:02d}/{name}"},
            "conditions": [
                _condition(kind, f"{kind}Ready") for kind in ("Ready", "ModelReady", "TemplateReady", "RuntimeReady")
            ],
        },
    }


def config_map(number: int) -> dict[str, Any]:
    """Return a small ConfigMap; 0.3 KB."""
    labels = {"app.kubernetes.io/name": "settings"}
    data = {"mode": "fast", "limit": str(number)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(f"settings-{number:05d}", number, labels),
        "data": data,
    }


def _metadata(name: str, number: int, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": f"team-{number % 20:02d}",
        "uid": _uid(number),
        "resourceVersion": _VERSION,
        "creationTimestamp": "2026-01-01T10:00:00Z",
        "labels": labels,
    }


def _labels(service_name: str) -> dict[str, str]:
    return {
        "app": f"isvc.{service_name}-predictor",
        "component": "predictor",
        "pod-template-hash": "7d9c6b5f4d",
        "serving.kserve.io/inferenceservice": service_name,
        "aim.eai.amd.com/service.name": service_name,
    }


def _uid(number: int) -> str:
    return f"{number:08x}-5bc6-4b4e-9a53-{number * 2654435761 % 2**48:012x}"


def _owner(api_version: str, kind: str, name: str, number: int) -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": _uid(1_000_000 + number),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_fields(manager: str, subresource: str) -> dict[str, Any]:
    status = {
        f'k:{{"type":"{kind}"}}': _leaves(".", "status", "type", "lastTransitionTime") for kind in _POD_CONDITIONS
    }
    spec = {
        'k:{"name":"kserve-container"}': {
            **_leaves(".", "image", "imagePullPolicy", "name", "resources", "securityContext"),
            "f:env": {f'k:{{"name":"{name}"}}': _leaves(".", "name", "value") for name in list(_ENVIRONMENT)[:6]},
        }
    }
    fields = {"f:status": {"f:conditions": status}} if subresource else {"f:spec": {"f:containers": spec}}
    entry = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T10:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return entry | ({"subresource": subresource} if subresource else {})


def _leaves(*names: str) -> dict[str, Any]:
    return {name if name == "." else f"f:{name}": {} for name in names}


_POD_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_ENVIRONMENT = {
    "AIM_ENGINE_ARGS": '{"max-model-len": 32768, "gpu-memory-utilization": 0.92}',
    "AIM_MODEL_ID": "Qwen/Qwen3-32B",
    "AIM_PROFILE_ID": "vllm-mi300x-fp8-tp1-latency",
    "AIM_CACHE_PATH": "/workspace/model-cache",
    "AIM_METRIC": "latency",
    "AIM_PRECISION": "fp8",
    "VLLM_ENABLE_METRICS": "true",
    "HIP_VISIBLE_DEVICES": "0",
    "HF_HOME": "/workspace/model-cache/hub",
    "HF_HUB_OFFLINE": "1",
    "OTEL_SERVICE_NAME": "qwen-qwen3-32b",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.observability.svc.cluster.local:4317",
    "VLLM_CACHE_ROOT": "/workspace/model-cache/vllm",
    "PYTORCH_TUNABLEOP_FILENAME": "/workspace/model-cache/tunableop.csv",
}


def _pod_spec(number: int) -> dict[str, Any]:
    port = {"name": "http", "containerPort": 8000, "protocol": "TCP"}
    probe = {
        "httpGet": {"path": "/health", "port": 8000, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    return {
        "volumes": [
            {"name": "model-storage", "persistentVolumeClaim": {"claimName": f"models-{number % 1000:04d}"}},
            {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
            {"name": "kube-api-access", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ],
        "containers": [
            {
                "name": "kserve-container",
                "image": "registry.example.com/aim/qwen-qwen3-32b:0.8.4",
                "ports": [port],
                "env": [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()],
                "resources": {
                    "limits": {"amd.com/gpu": "1", "cpu": "8", "memory": "64Gi"},
                    "requests": {"amd.com/gpu": "1", "cpu": "4", "memory": "48Gi"},
                },
                "volumeMounts": [
                    {"name": "model-storage", "mountPath": "/workspace/model-cache", "readOnly": True},
                    {"name": "dshm", "mountPath": "/dev/shm"},
                ],
                "livenessProbe": probe,
                "readinessProbe": probe,
                "startupProbe": probe,
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 300,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "nodeName": f"gpu-node-{number % 100:03d}",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
            {"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        ],
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }


def _pod_status(number: int) -> dict[str, Any]:
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    digest = f"{number % 50 * 2654435761 % 2**64:016x}" * 4
    return {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T10:00:30Z"}
            for kind in _POD_CONDITIONS
        ],
        "hostIP": f"192.168.1.{number % 100}",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": "2026-01-01T10:00:05Z",
        "containerStatuses": [
            {
                "name": "kserve-container",
                "state": {"running": {"startedAt": "2026-01-01T10:00:20Z"}},
                "lastState": {},
                "ready": True,
                "started": True,
                "restartCount": 0,
                "image": "registry.example.com/aim/qwen-qwen3-32b:0.8.4",
                "imageID": f"registry.example.com/aim/qwen-qwen3-32b@sha256:{digest}",
                "containerID": f"containerd://{number * 40503 % 2**64:064x}",
            }
        ],
        "qosClass": "Burstable",
    }


def _condition(kind: str, reason: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": "",
        "lastTransitionTime": "2026-01-01T10:01:00Z",
        "observedGeneration": 3,
    }
