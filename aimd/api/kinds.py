"""The API group, its version and the ten kinds."""

# tests: tests/unit/api/test_crd_facts.py

from dataclasses import dataclass

from aimd.api.artifact import AIMArtifact
from aimd.api.core import ApiObject
from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.model_source import AIMClusterModelSource
from aimd.api.runtime_config import AIMClusterRuntimeConfig, AIMRuntimeConfig
from aimd.api.service import AIMService
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache

GROUP = "aim.eai.amd.com"
VERSION = "v1alpha1"


@dataclass(frozen=True, slots=True)
class ApiResource:
    """A kind of the API. `model` is the class that reads its objects."""

    group: str
    version: str
    kind: str
    plural: str
    short_names: tuple[str, ...]
    namespaced: bool
    model: type[ApiObject]

    @property
    def api_version(self) -> str:
        """The API version as `group/version`."""
        return f"{self.group}/{self.version}"


def _resource(model: type[ApiObject], short_name: str, *, namespaced: bool) -> ApiResource:
    kind = model.__name__
    return ApiResource(GROUP, VERSION, kind, f"{kind.lower()}s", (short_name,), namespaced, model)


AIM_SERVICE_RESOURCE = _resource(AIMService, "aimsvc", namespaced=True)
AIM_MODEL_RESOURCE = _resource(AIMModel, "aimmdl", namespaced=True)
AIM_CLUSTER_MODEL_RESOURCE = _resource(AIMClusterModel, "aimclmdl", namespaced=False)
AIM_CLUSTER_MODEL_SOURCE_RESOURCE = _resource(AIMClusterModelSource, "aimclsrc", namespaced=False)
AIM_RUNTIME_CONFIG_RESOURCE = _resource(AIMRuntimeConfig, "aimrc", namespaced=True)
AIM_CLUSTER_RUNTIME_CONFIG_RESOURCE = _resource(AIMClusterRuntimeConfig, "aimclrc", namespaced=False)
AIM_SERVICE_TEMPLATE_RESOURCE = _resource(AIMServiceTemplate, "aimtpl", namespaced=True)
AIM_CLUSTER_SERVICE_TEMPLATE_RESOURCE = _resource(AIMClusterServiceTemplate, "aimcltpl", namespaced=False)
AIM_TEMPLATE_CACHE_RESOURCE = _resource(AIMTemplateCache, "aimtc", namespaced=True)
AIM_ARTIFACT_RESOURCE = _resource(AIMArtifact, "aimart", namespaced=True)

RESOURCES: tuple[ApiResource, ...] = (
    AIM_SERVICE_RESOURCE,
    AIM_MODEL_RESOURCE,
    AIM_CLUSTER_MODEL_RESOURCE,
    AIM_CLUSTER_MODEL_SOURCE_RESOURCE,
    AIM_RUNTIME_CONFIG_RESOURCE,
    AIM_CLUSTER_RUNTIME_CONFIG_RESOURCE,
    AIM_SERVICE_TEMPLATE_RESOURCE,
    AIM_CLUSTER_SERVICE_TEMPLATE_RESOURCE,
    AIM_TEMPLATE_CACHE_RESOURCE,
    AIM_ARTIFACT_RESOURCE,
)
