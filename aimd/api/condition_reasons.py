"""Which reasons each condition can have, by kind: the contract that docs/conditions.md documents and tests hold.

A condition that aimd writes with a reason that is not declared here fails the test that produced it, and a declared
reason that no unit test produces fails the run.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias

from aimd.api.artifact import ArtifactCondition as Artifact
from aimd.api.foreign_reasons import ForeignReason as F
from aimd.api.model import ModelCondition as Model
from aimd.api.model_source import ModelSourceCondition as Source
from aimd.api.reasons import Reason as R
from aimd.api.runtime_config import RuntimeConfigCondition as Config
from aimd.api.service import ServiceCondition as Service
from aimd.api.service_template import TemplateCondition as Template
from aimd.api.shared import CommonCondition as Common
from aimd.api.template_cache import TemplateCacheCondition as Cache

Reasons: TypeAlias = tuple[R | F, ...]

PASSES_ON: Final[frozenset[StrEnum]] = frozenset(
    {Common.READY, Cache.SERVICE_TEMPLATE_READY, Cache.ARTIFACTS_READY, Service.HTTP_ROUTE_READY}
)
"""Conditions that also repeat reasons of other conditions or of other programs, whatever these are."""

NETWORK: Final[Reasons] = (
    R.CONNECTION_REFUSED,
    R.CONNECTION_RESET,
    R.DNS_FAILURE,
    R.NETWORK_TIMEOUT,
    R.NETWORK_ERROR,
)

WRITING: Final[Reasons] = (
    *NETWORK,
    R.INVALID_SPEC,
    R.NAME_TAKEN,
    F.NOT_FOUND,
    F.UNAUTHORIZED,
    F.FORBIDDEN,
    F.QUOTA_EXCEEDED,
    F.ALREADY_EXISTS,
    F.CONFLICT,
    F.RATE_LIMITED,
    F.TIMEOUT,
    F.SERVICE_UNAVAILABLE,
    F.SERVER_ERROR,
    F.CLIENT_ERROR,
    F.UNKNOWN_ERROR,
)
"""Of a condition about an object that aimd writes, while it cannot: `InferenceServiceReady`, `<Kind>Ready`, …"""

PODS: Final[Reasons] = (
    R.PODS_READY,
    R.NO_PODS,
    R.PODS_PENDING,
    R.PODS_STARTING,
    R.PODS_PROGRESSING,
    F.PULLING,
    F.FAILED_SCHEDULING,
    R.IMAGE_PULL_AUTH_FAILURE,
    R.IMAGE_NOT_FOUND,
    F.IMAGE_PULL_BACK_OFF,
    F.INVALID_IMAGE_NAME,
    F.CRASH_LOOP_BACK_OFF,
    F.CREATE_CONTAINER_CONFIG_ERROR,
    F.CREATE_CONTAINER_ERROR,
    F.RUN_CONTAINER_ERROR,
    F.FAILED_CREATE_POD_SANDBOX,
    F.FAILED_MOUNT,
    F.FAILED_ATTACH_VOLUME,
    F.OOM_KILLED,
    R.POD_OOM_KILLED,
    R.POD_EVICTED,
    R.POD_DEADLINE_EXCEEDED,
    R.POD_FAILED,
    # What the end of a container's log, its exit code or its termination message says about a download.
    R.AUTH_ERROR,
    R.SOURCE_NOT_FOUND,
    R.INVALID_SOURCE,
    R.NETWORK_ERROR,
    R.DOWNLOAD_STALLED,
    R.STORAGE_FULL,
    R.VERIFICATION_FAILED,
)

FAILED_JOBS: Final[Reasons] = (
    R.JOB_FAILED,
    R.JOB_BACKOFF_LIMIT_EXCEEDED,
    R.JOB_DEADLINE_EXCEEDED,
    R.JOB_EVICTED,
)

TEMPLATES: Final[Reasons] = (
    R.ALL_TEMPLATES_READY,
    R.SOME_TEMPLATES_READY,
    R.NO_TEMPLATES_EXPECTED,
    R.AWAITING_METADATA,
    R.CREATING_TEMPLATES,
    R.TEMPLATES_PROGRESSING,
    R.SOME_TEMPLATES_DEGRADED,
    R.ALL_TEMPLATES_FAILED,
    R.NO_TEMPLATES_AVAILABLE,
)

COMMON: Final[Mapping[StrEnum, Reasons]] = {
    Common.READY: (R.ALL_COMPONENTS_READY, R.PROGRESSING, R.INFRASTRUCTURE_ERROR),
    Common.DEPENDENCIES_REACHABLE: (R.REACHABLE, R.INFRASTRUCTURE_ERROR),
    Common.AUTH_VALID: (R.AUTHENTICATION_VALID, R.AUTH_ERROR),
    Common.CONFIG_VALID: (R.CONFIGURATION_VALID, R.INVALID_SPEC, R.REFERENCE_NOT_FOUND),
    Common.RUNTIME_CONFIG_READY: (
        R.RUNTIME_CONFIG_RESOLVED,
        R.CONFIG_FOUND,
        R.DEFAULT_CONFIG_NOT_FOUND,
        R.CONFIG_NOT_NEEDED,
        R.CONFIG_NOT_FOUND,
        R.REFERENCE_NOT_FOUND,
    ),
    Common.SPEC_READY: (R.INVALID_SPEC, R.SPEC_TOO_LARGE),
}

SERVICE: Final[Mapping[StrEnum, Reasons]] = {
    Service.MODEL_READY: (
        R.MODEL_RESOLVED,
        R.MODEL_NOT_FOUND,
        R.MODEL_NOT_READY,
        R.CREATING_MODEL,
        R.MODEL_NAME_TAKEN,
        R.INVALID_IMAGE_REFERENCE,
    ),
    Service.TEMPLATE_READY: (
        R.RESOLVED,
        R.TEMPLATE_NOT_FOUND,
        R.TEMPLATE_NOT_READY,
        R.TEMPLATE_MODEL_MISMATCH,
        R.TEMPLATE_SELECTION_AMBIGUOUS,
    ),
    Service.CACHE_READY: (
        R.CACHE_READY,
        R.CACHE_NOT_REQUIRED,
        R.CACHE_CREATING,
        R.CACHE_NOT_READY,
        R.CACHE_FAILED,
        R.CACHE_LOST,
    ),
    Service.INFERENCE_SERVICE_READY: (
        R.RUNTIME_READY,
        R.RUNTIME_SCALING,
        R.CREATING_RUNTIME,
        R.REFERENCE_NOT_ALLOWED,
        R.INVALID_SPEC,
        R.FETCH_ERROR,
        F.SERVERLESS_MODE_REJECTED,
        F.INTERNAL_ERROR,
    ),
    Service.INFERENCE_SERVICE_PODS_READY: PODS,
    Service.HTTP_ROUTE_READY: (
        R.HTTP_ROUTE_ACCEPTED,
        R.HTTP_ROUTE_CREATING,
        R.HTTP_ROUTE_PENDING,
        R.GATEWAY_NOT_CONFIGURED,
        R.PATH_TEMPLATE_INVALID,
        R.PATH_CONFLICT,
        R.ROUTE_NOT_ALLOWED,
        R.INVALID_SPEC,
        R.HTTP_ROUTE_FETCH_ERROR,
        F.BACKEND_NOT_FOUND,
        F.NO_MATCHING_PARENT,
        F.NOT_ALLOWED_BY_LISTENERS,
        F.NO_MATCHING_LISTENER_HOSTNAME,
        F.REF_NOT_PERMITTED,
        F.INVALID_KIND,
        F.UNSUPPORTED_PROTOCOL,
        F.UNSUPPORTED_VALUE,
        F.INCOMPATIBLE_FILTERS,
        F.PENDING,
    ),
    Service.HPA_READY: (
        R.HPA_OPERATIONAL,
        R.HPA_NOT_FOUND,
        R.AUTOSCALER_NOT_INSTALLED,
        R.WAITING_FOR_METRICS,
        R.METRICS_FAILED,
        R.SCALE_TARGET_NOT_READY,
        R.INVALID_SPEC,
    ),
    Service.FIELDS_IGNORED: (R.FIELDS_WITHOUT_EFFECT,),
}

ARTIFACT: Final[Mapping[StrEnum, Reasons]] = {
    Artifact.SOURCE_READY: (R.INVALID_SOURCE,),
    Artifact.CHECK_SIZE_JOB_READY: (
        R.JOB_RUNNING,
        R.RESOURCE_NOT_READY,
        R.REFERENCE_NOT_FOUND,
        R.SPEC_TOO_LARGE,
        *FAILED_JOBS,
    ),
    Artifact.CHECK_SIZE_JOB_PODS_READY: (R.CHECK_SIZE_RETRYING, F.FAILED_CREATE, *PODS),
    Artifact.CHECK_SIZE_OUTPUT_READY: (R.SIZE_UNAVAILABLE, R.INVALID_SIZE_OUTPUT),
    Artifact.CACHE_PVC_READY: (
        R.READY,
        R.RESOURCE_NOT_READY,
        R.PVC_PENDING,
        R.PVC_PROVISIONING_FAILED,
        R.PVC_EXPANDING,
        R.CLAIM_TOO_SMALL,
        R.PVC_LOST,
        R.PVC_TERMINATING,
    ),
    Artifact.DOWNLOAD_JOB_READY: (
        R.REFERENCE_NOT_ALLOWED,
        R.READY,
        R.JOB_RUNNING,
        R.RESOURCE_NOT_READY,
        R.REFERENCE_NOT_FOUND,
        R.SPEC_TOO_LARGE,
        *FAILED_JOBS,
    ),
    Artifact.DOWNLOAD_JOB_PODS_READY: (R.DOWNLOAD_RETRYING, F.FAILED_CREATE, *PODS),
    Artifact.DOWNLOAD_COMPLETE: (R.VERIFIED, R.VERIFYING, R.DOWNLOADING, R.VERIFICATION_FAILED),
    Artifact.IN_USE: (R.MOUNTED, R.NOT_MOUNTED),
}

TEMPLATE_CACHE: Final[Mapping[StrEnum, Reasons]] = {
    Cache.SERVICE_TEMPLATE_READY: (R.RESOURCE_FOUND, R.REFERENCE_NOT_FOUND),
    Cache.ARTIFACTS_READY: (
        R.ALL_CACHES_READY,
        R.NOTHING_TO_CACHE,
        R.NO_CACHES,
        R.CREATING_CACHES,
        R.CACHES_NOT_READY,
    ),
}

MODEL: Final[Mapping[StrEnum, Reasons]] = {
    Model.IMAGE_METADATA_READY: (
        R.IMAGE_FOUND,
        R.IMAGE_METADATA_FOUND,
        R.INSPECTION_PENDING,
        R.IMAGE_REFERENCE_INVALID,
        R.REGISTRY_NOT_ALLOWED,
        R.IMAGE_NOT_FOUND,
        R.IMAGE_PULL_AUTH_FAILURE,
        F.IMAGE_PULL_BACK_OFF,
        R.METADATA_EXTRACTION_FAILED,
        R.SECRET_NOT_FOUND,
        R.SECRET_ACCESS_FAILED,
        R.REFERENCE_NOT_FOUND,
        *NETWORK,
    ),
    Model.IMAGE_PROFILES_READ: (R.READ_FROM_REGISTRY, R.RECOMMENDED_BY_LABELS, R.NOTHING_RECOMMENDED),
    Model.SERVICE_TEMPLATES_READY: TEMPLATES,
    Model.CLUSTER_SERVICE_TEMPLATES_READY: TEMPLATES,
}

TEMPLATE: Final[Mapping[StrEnum, Reasons]] = {
    Template.MODEL_READY: (R.MODEL_FOUND, R.MODEL_FAILED, R.IMAGE_NOT_SPECIFIED, R.REFERENCE_NOT_FOUND),
    Template.CLUSTER_MODEL_READY: (
        R.CLUSTER_MODEL_FOUND,
        R.CLUSTER_MODEL_FAILED,
        R.IMAGE_NOT_SPECIFIED,
        R.REFERENCE_NOT_FOUND,
    ),
    Template.IMAGE_PROFILE_READY: (R.INSPECTION_PENDING, R.PROFILE_NOT_FOUND, F.IMAGE_PULL_BACK_OFF, *NETWORK),
    Template.CUSTOM_PROFILE_READY: (R.INVALID_SPEC,),
    Template.DISCOVERED: (
        R.INLINE_MODEL_SOURCES,
        R.DISCOVERY_COMPLETE,
        R.PROFILE_READ_FROM_REGISTRY,
        R.PROFILE_NOT_FOUND,
        R.AWAITING_DISCOVERY,
        R.GPU_MODEL_REQUIRED,
        R.REFERENCE_NOT_ALLOWED,
        R.DISCOVERY_FAILED,
    ),
    Template.DISCOVERY_JOB_READY: (
        R.READY,
        R.JOB_NOT_CREATED,
        R.JOB_RUNNING,
        R.GPU_MODEL_REQUIRED,
        R.REFERENCE_NOT_ALLOWED,
        R.DISCOVERY_FAILED,
        *FAILED_JOBS,
    ),
    Template.DISCOVERY_PODS_READY: (F.FAILED_CREATE, *PODS),
    Template.GPU_READY: (R.GPU_AVAILABLE, R.GPU_NOT_CHECKED, R.GPU_NOT_AVAILABLE, R.VRAM_NOT_AVAILABLE),
}

MODEL_SOURCE: Final[Mapping[StrEnum, Reasons]] = {
    Source.EXISTING_MODELS_READY: (R.LISTED,),
    Source.FILTERS_READY: (
        R.ALL_FILTERS_SUCCEEDED,
        R.SOME_FILTERS_FAILED,
        R.ALL_FILTERS_FAILED,
        R.NO_FILTERS,
        R.SECRET_NOT_FOUND,
        R.SECRET_ACCESS_FAILED,
    ),
    Source.SYNC_INTERVAL_READY: (R.INVALID_SPEC,),
    Source.MAX_MODELS_LIMIT_REACHED: (R.LIMIT_REACHED, R.WITHIN_LIMIT),
}

RUNTIME_CONFIG: Final[Mapping[StrEnum, Reasons]] = {
    Config.LABEL_PROPAGATION_READY: (R.MALFORMED_PATTERN,),
    Config.ROUTING_READY: (R.PATH_TEMPLATE_INVALID, R.INVALID_SPEC),
}

CONDITIONS: Final[Mapping[str, Mapping[StrEnum, Reasons]]] = {
    "AIMService": SERVICE,
    "AIMArtifact": ARTIFACT,
    "AIMTemplateCache": TEMPLATE_CACHE,
    "AIMModel": MODEL,
    "AIMClusterModel": MODEL,
    "AIMServiceTemplate": TEMPLATE,
    "AIMClusterServiceTemplate": TEMPLATE,
    "AIMClusterModelSource": MODEL_SOURCE,
    "AIMRuntimeConfig": RUNTIME_CONFIG,
    "AIMClusterRuntimeConfig": RUNTIME_CONFIG,
}
"""The conditions of each kind, beside `COMMON` and `<Kind>Ready` with `WRITING`."""
