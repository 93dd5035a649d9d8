"""The resource types that plans name beyond Kubernetes' own (those are in `aimd.runtime.kinds`)."""

from aimd.api.kinds import RESOURCES
from aimd.runtime.objects import Key, Kind, Manifest, owner_reference

_OURS = {
    resource.kind: Kind(resource.group, resource.version, resource.kind, resource.plural, resource.namespaced)
    for resource in RESOURCES
}

SERVICE = _OURS["AIMService"]
MODEL = _OURS["AIMModel"]
CLUSTER_MODEL = _OURS["AIMClusterModel"]
MODEL_SOURCE = _OURS["AIMClusterModelSource"]
RUNTIME_CONFIG = _OURS["AIMRuntimeConfig"]
CLUSTER_RUNTIME_CONFIG = _OURS["AIMClusterRuntimeConfig"]
SERVICE_TEMPLATE = _OURS["AIMServiceTemplate"]
CLUSTER_SERVICE_TEMPLATE = _OURS["AIMClusterServiceTemplate"]
TEMPLATE_CACHE = _OURS["AIMTemplateCache"]
ARTIFACT = _OURS["AIMArtifact"]

INFERENCE_SERVICE = Kind("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")


def owned_by(kind: Kind, key: Key, uid: str) -> list[Manifest]:
    """The owner references of a child: one, controlling."""
    return [owner_reference(kind, {"metadata": {"name": key.name, "uid": uid}})]


def resource_reference(kind: Kind, key: Key, uid: str, scope: str = "") -> Manifest:
    """A resolved reference as statuses show it (spec/api.md S1): long kind, scope from the kind unless given."""
    reference: Manifest = {
        "name": key.name,
        "scope": scope or ("Namespace" if kind.namespaced else "Cluster"),
        "kind": f"{kind.api_version}/{kind.name}",
    }
    if key.namespace:
        reference["namespace"] = key.namespace
    if uid:
        reference["uid"] = uid
    return reference
