"""The API group, its version and the ten kinds."""

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


SERVICE = _resource(AIMService, "aimsvc", namespaced=True)
MODEL = _resource(AIMModel, "aimmdl", namespaced=True)
CLUSTER_MODEL = _resource(AIMClusterModel, "aimclmdl", namespaced=False)
MODEL_SOURCE = _resource(AIMClusterModelSource, "aimclsrc", namespaced=False)
RUNTIME_CONFIG = _resource(AIMRuntimeConfig, "aimrc", namespaced=True)
CLUSTER_RUNTIME_CONFIG = _resource(AIMClusterRuntimeConfig, "aimclrc", namespaced=False)
SERVICE_TEMPLATE = _resource(AIMServiceTemplate, "aimtpl", namespaced=True)
CLUSTER_SERVICE_TEMPLATE = _resource(AIMClusterServiceTemplate, "aimcltpl", namespaced=False)
TEMPLATE_CACHE = _resource(AIMTemplateCache, "aimtc", namespaced=True)
ARTIFACT = _resource(AIMArtifact, "aimart", namespaced=True)

RESOURCES: tuple[ApiResource, ...] = (
    SERVICE,
    MODEL,
    CLUSTER_MODEL,
    MODEL_SOURCE,
    RUNTIME_CONFIG,
    CLUSTER_RUNTIME_CONFIG,
    SERVICE_TEMPLATE,
    CLUSTER_SERVICE_TEMPLATE,
    TEMPLATE_CACHE,
    ARTIFACT,
)
