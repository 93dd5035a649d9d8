"""The environment variables of `aimd run`."""

import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TRACING_PREFIX = "OTEL_"
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_HIDDEN = "…"

NAMESPACE_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""What a namespace can be called."""

ENVIRONMENT_TEXTS = {
    "AIM_SYSTEM_NAMESPACE": "namespace of the operator: of its Lease, and of the secrets and discovery jobs of"
    " cluster-scoped models; if unset, the namespace of the mounted service account, then `aim-system`",
    "AIM_SERVICE_ACCOUNT": "service account of the operator, which no other pod may use in its namespace",
    "POD_NAME": "holder of the leader's Lease; if unset, the host name",
    "AIMD_SERVICE_ACCOUNT_DIR": "folder with the pod's service account; if unset,"
    " `/var/run/secrets/kubernetes.io/serviceaccount`",
    "AIMD_COMMIT": "commit that the image was built from, set in the image; if unset, `unknown`",
    "KUBECONFIG": "path to a kubeconfig, if `--kubeconfig` is unset; if both are unset, the pod's service account",
    "KUBERNETES_SERVICE_HOST": "address of the Service `kubernetes`, set in pods; if neither `--service-cidrs` nor the"
    " API server states the networks of Services, the network around it counts as one",
    "SSL_CERT_FILE": "certificates to trust for image registries, instead of the system's",
    "HTTP_PROXY, HTTPS_PROXY, NO_PROXY": "proxies for image registries and the collector of traces",
    "OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_*": "with `--tracing`: where spans are"
    " sent, which are sampled, and which attributes they have, as OpenTelemetry specifies; if unset, all spans to"
    " `http://localhost:4318`, from the service `aimd`",
}
"""The documentation of each variable, by name."""


class Environment(BaseSettings):
    """Where the operator runs, as the Deployment sets it through the downward API."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    aimd_service_account_dir: Path = _SERVICE_ACCOUNT
    """Folder with the pod's service account."""

    aim_system_namespace: Annotated[str, StringConstraints(pattern=NAMESPACE_PATTERN)] = Field(
        default_factory=lambda known: _mounted_namespace(known["aimd_service_account_dir"]) or "aim-system"
    )
    """Namespace of the operator: the variable, else that of the service account, else `aim-system`."""

    kubernetes_service_host: str = ""
    """Address of the Service `kubernetes`, empty outside of a cluster."""

    aim_service_account: str = ""
    """Service account of the operator."""

    pod_name: str = Field(default_factory=socket.gethostname)
    """Holder of the leader's Lease: the variable, else the host name."""


def read_environment() -> Environment:
    """Return the environment; end the process with status 2 and one line for each variable that is wrong."""
    try:
        return Environment()
    except ValidationError as error:
        for detail in error.errors():
            print(f"aimd run: {str(detail['loc'][0]).upper()}={detail['input']}: {detail['msg']}", file=sys.stderr)
        raise SystemExit(2) from None


def environment_in_effect(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set and have an effect, for the log: without what may be a credential."""
    known = {name for names in ENVIRONMENT_TEXTS for name in names.split(", ")}
    given = ((name, text) for name, text in sorted(variables.items()) if text)
    effective = ((name, text) for name, text in given if name.upper() in known or name.startswith(_TRACING_PREFIX))
    return {name: _HIDDEN if name.endswith("_HEADERS") else without_credentials(text) for name, text in effective}


def without_credentials(text: str) -> str:
    """Return the text with user and password of each URL in it hidden."""
    return _CREDENTIALS.sub(f"{_HIDDEN}@", text)


def _mounted_namespace(account: Path) -> str:
    try:
        return (account / "namespace").read_text().strip()
    except OSError:
        return ""
