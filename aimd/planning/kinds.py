"""The resource types that plans name beyond Kubernetes' own (those are in `aimd.runtime.kinds`)."""

from collections.abc import Mapping

from aimd.api.core import ApiObject
from aimd.api.kinds import RESOURCES
from aimd.runtime.objects import Key, Kind, Manifest, owner_reference

_OURS = {
    resource.kind: Kind(resource.group, resource.version, resource.kind, resource.plural, resource.namespaced)
    for resource in RESOURCES
}

MODELS: Mapping[Kind, type[ApiObject]] = {_OURS[resource.kind]: resource.model for resource in RESOURCES}
"""The pydantic models of our own kinds."""

AIM_SERVICE = _OURS["AIMService"]
AIM_MODEL = _OURS["AIMModel"]
AIM_CLUSTER_MODEL = _OURS["AIMClusterModel"]
AIM_CLUSTER_MODEL_SOURCE = _OURS["AIMClusterModelSource"]
AIM_RUNTIME_CONFIG = _OURS["AIMRuntimeConfig"]
AIM_CLUSTER_RUNTIME_CONFIG = _OURS["AIMClusterRuntimeConfig"]
AIM_SERVICE_TEMPLATE = _OURS["AIMServiceTemplate"]
AIM_CLUSTER_SERVICE_TEMPLATE = _OURS["AIMClusterServiceTemplate"]
AIM_TEMPLATE_CACHE = _OURS["AIMTemplateCache"]
AIM_ARTIFACT = _OURS["AIMArtifact"]

INFERENCE_SERVICE = Kind("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")


def owned_by(kind: Kind, key: Key, uid: str) -> list[Manifest]:
    """Return the owner references of a child: one, controlling (OBJ-APL-5)."""
    return [owner_reference(kind, {"metadata": {"name": key.name, "uid": uid}})]


def resource_reference(kind: Kind, key: Key, uid: str, scope: str = "") -> Manifest:
    """Return a resolved reference for a status: kind with group, scope of the kind unless given (OBJ-STA-6)."""
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
