"""The operator's environment."""

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
"""What a namespace can be named."""

ENVIRONMENT_TEXTS = {
    "AIM_SYSTEM_NAMESPACE": "namespace of the operator, of cluster-wide models' secrets and discovery jobs, and of the"
    " leader's Lease; unset: that of the mounted service account, else `aim-system`",
    "POD_NAME": "who holds the leader's Lease; unset: the host name",
    "AIMD_SERVICE_ACCOUNT_DIR": "where the pod's account is mounted; unset:"
    " `/var/run/secrets/kubernetes.io/serviceaccount`",
    "AIMD_COMMIT": "the commit that the image was built from, set in the image; unset: `unknown`",
    "KUBECONFIG": "path of a kubeconfig, where `--kubeconfig` names none; unset: the pod's account",
    "SSL_CERT_FILE": "certificates that registries are trusted by, instead of the system's",
    "HTTP_PROXY, HTTPS_PROXY, NO_PROXY": "how registries and a collector of traces are reached",
    "OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_*": "with `--tracing`, where spans go,"
    " which are kept, and what they tell of their source, as the OpenTelemetry specification has it; unset: all of them"
    " to `http://localhost:4318`, from the service `aimd`",
}


class Environment(BaseSettings):
    """Where the operator runs, as the Deployment says through the downward API."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    aimd_service_account_dir: Path = _SERVICE_ACCOUNT
    """Where the pod's account is mounted."""

    aim_system_namespace: Annotated[str, StringConstraints(pattern=NAMESPACE_PATTERN)] = Field(
        default_factory=lambda known: _mounted_namespace(known["aimd_service_account_dir"]) or "aim-system"
    )
    """Namespace of cluster-wide models' secrets and jobs: the variable, else the account's, else `aim-system`."""

    pod_name: str = Field(default_factory=socket.gethostname)
    """Who holds the leader's Lease: the variable, else the host name."""


def read_environment() -> Environment:
    """The process's own; ends it with status 2 and one clear line for each variable that is wrong."""
    try:
        return Environment()
    except ValidationError as error:
        for detail in error.errors():
            print(f"aimd run: {str(detail['loc'][0]).upper()}={detail['input']}: {detail['msg']}", file=sys.stderr)
        raise SystemExit(2) from None


def environment_in_force(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set and have an effect, as they are logged: without what may be a credential."""
    known = {name for names in ENVIRONMENT_TEXTS for name in names.split(", ")}
    told = ((name, text) for name, text in sorted(variables.items()) if text)
    effective = ((name, text) for name, text in told if name.upper() in known or name.startswith(_TRACING_PREFIX))
    return {name: _HIDDEN if name.endswith("_HEADERS") else without_credentials(text) for name, text in effective}


def without_credentials(text: str) -> str:
    """The text with user and password of each URL in it hidden."""
    return _CREDENTIALS.sub(f"{_HIDDEN}@", text)


def _mounted_namespace(account: Path) -> str:
    try:
        return (account / "namespace").read_text().strip()
    except OSError:
        return ""
