"""Reasons that Kubernetes, KServe and the Gateway API give, and that aimd passes on unchanged in conditions and Events.

Gateway controllers may also give reasons of their own: `HTTPRouteReady` passes on whichever reason it finds. Docstrings
are written as in `reasons`.
"""

# tests: tests/unit/api/test_condition_reasons.py

from enum import StrEnum


class ForeignReason(StrEnum):
    """Reasons of other programs."""

    # The API server, about an object that aimd writes.
    NOT_FOUND = "NotFound"
    """The API server does not know the kind or the namespace of the object. Install what provides the kind."""
    UNAUTHORIZED = "Unauthorized"
    """The API server does not accept aimd's credentials. Check the service account of aimd."""
    FORBIDDEN = "Forbidden"
    """aimd may not write the object, or an admission policy rejects it. Check the ClusterRole of aimd and the policies
    of the cluster."""
    ALREADY_EXISTS = "AlreadyExists"
    """An object of that name exists and belongs to another user. Rename or delete it."""
    CONFLICT = "Conflict"
    """Another program changes the object at the same time. aimd retries."""
    QUOTA_EXCEEDED = "QuotaExceeded"
    """The quota of the namespace is exhausted. Raise the quota, or free resources."""
    RATE_LIMITED = "RateLimited"
    """The API server limits requests. aimd retries."""
    TIMEOUT = "Timeout"
    """The API server did not process the request in time. aimd retries."""
    SERVICE_UNAVAILABLE = "ServiceUnavailable"
    """The API server, or a webhook that it calls, is not available. aimd retries."""
    SERVER_ERROR = "ServerError"
    """The API server failed. aimd retries."""
    CLIENT_ERROR = "ClientError"
    """The API server rejected the object. The message quotes it."""
    UNKNOWN_ERROR = "UnknownError"
    """The object could not be written. The message has the details; aimd retries."""

    # The kubelet and the scheduler, about pods.
    FAILED_SCHEDULING = "FailedScheduling"
    """No node fits the pod. The message quotes the scheduler: too few GPUs, a taint, a volume in another zone."""
    PULLING = "Pulling"
    """The image is being pulled. Wait."""
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    """The registry does not deliver the image for now. The message quotes it; Kubernetes and aimd retry."""
    INVALID_IMAGE_NAME = "InvalidImageName"
    """The image reference is not valid. Correct it."""
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    """The container fails repeatedly. The message has the end of its log."""
    CREATE_CONTAINER_CONFIG_ERROR = "CreateContainerConfigError"
    """A Secret or ConfigMap that the environment refers to does not exist. Create it, or correct `env`."""
    CREATE_CONTAINER_ERROR = "CreateContainerError"
    """The node cannot create the container. The message quotes it."""
    RUN_CONTAINER_ERROR = "RunContainerError"
    """The node cannot start the container. The message quotes it."""
    FAILED_CREATE_POD_SANDBOX = "FailedCreatePodSandBox"
    """The node cannot set up the pod. The message quotes it."""
    FAILED_MOUNT = "FailedMount"
    """A volume cannot be mounted. Check that its storage class supports `ReadWriteMany`."""
    FAILED_ATTACH_VOLUME = "FailedAttachVolume"
    """A volume cannot be attached to the node. Check that its storage class supports `ReadWriteMany`."""
    OOM_KILLED = "OOMKilled"
    """A container was killed because it exceeded its memory limit. Raise the limit."""
    FAILED_CREATE = "FailedCreate"
    """The pods of the Job are rejected, by a quota or a policy. The message quotes the API server."""

    # KServe, about an InferenceService.
    SERVERLESS_MODE_REJECTED = "ServerlessModeRejected"
    """KServe runs in serverless mode without Knative. Set its deployment mode to `Standard`."""
    INTERNAL_ERROR = "InternalError"
    """KServe failed to reconcile the InferenceService. The message quotes it."""

    # The Gateway API, about an HTTPRoute.
    BACKEND_NOT_FOUND = "BackendNotFound"
    """The Service of the predictor does not exist. Wait until KServe creates it."""
    INVALID_KIND = "InvalidKind"
    """The gateway does not support the kind of the backend. Use another gateway."""
    REF_NOT_PERMITTED = "RefNotPermitted"
    """The gateway may not refer to the backend. Add a ReferenceGrant."""
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"
    """The gateway does not support the protocol of the backend. Use another gateway."""
    NO_MATCHING_PARENT = "NoMatchingParent"
    """The gateway has no listener with the name or port in `routing.gatewayRef`. Correct the reference."""
    NOT_ALLOWED_BY_LISTENERS = "NotAllowedByListeners"
    """The listeners of the gateway do not allow routes from this namespace. Set `allowedRoutes` of a listener."""
    NO_MATCHING_LISTENER_HOSTNAME = "NoMatchingListenerHostname"
    """No listener of the gateway has a matching host name."""
    UNSUPPORTED_VALUE = "UnsupportedValue"
    """The gateway does not support a value in the HTTPRoute. The message quotes the gateway."""
    INCOMPATIBLE_FILTERS = "IncompatibleFilters"
    """The gateway does not support the path rewrite. Use another gateway."""
    PENDING = "Pending"
    """The gateway has not processed the HTTPRoute yet. Wait."""
