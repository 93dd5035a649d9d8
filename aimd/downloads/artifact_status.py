# tests: tests/faults/test_download_faults.py
"""Progress in the artifact's status, patched with the token of the pod's own service account (ART-RUN-7, ART-JOB-2).

Only `status.progress` and `status.download` are ever sent. The first patch that fails is logged, further ones are not:
a download must not fail because its progress cannot be reported.
"""

import ssl
from typing import Any

import httpx
import structlog

from aimd.downloads.settings import DownloadSettings

_GROUP_PATH = "/apis/aim.eai.amd.com/v1alpha1"
_TIMEOUT = 5.0

_log = structlog.get_logger()


class ArtifactStatus:
    """Sends merge patches to the status of one AIMArtifact; does nothing outside a pod that names its artifact."""

    def __init__(self, settings: DownloadSettings) -> None:
        self._settings = settings
        self._logged = False
        self.enabled = bool(settings.api_server and settings.artifact_name and settings.artifact_namespace)
        if not self.enabled:
            _log.info("progress reports disabled", missing="ARTIFACT_NAME, ARTIFACT_NAMESPACE or API server")

    async def report(self, **parts: dict[str, Any]) -> None:
        """Patch `status.<part>` for each part, in one request. Never raises."""
        if not self.enabled:
            return
        settings = self._settings
        url = (
            f"{settings.api_server}{_GROUP_PATH}/namespaces/{settings.artifact_namespace}"
            f"/aimartifacts/{settings.artifact_name}/status"
        )
        try:
            # The token is rotated while a long download runs, so it is read each time.
            token = (settings.service_account / "token").read_text().strip()
            async with httpx.AsyncClient(verify=self._trust(), timeout=_TIMEOUT, trust_env=False) as http:
                response = await http.patch(
                    url,
                    json={"status": parts},
                    headers={"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"},
                )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._log_once(type(error).__name__)
        else:
            if response.is_error:
                self._log_once(f"HTTP {response.status_code}")

    def _log_once(self, cause: str) -> None:
        # Without the server's message: log classifiers would take "… not found" or "forbidden" for the cause of a
        # later failure (ART-RUN-7).
        if not self._logged:
            self._logged = True
            _log.warning("progress report failed", cause=cause)

    def _trust(self) -> ssl.SSLContext | bool:
        authority = self._settings.service_account / "ca.crt"
        return ssl.create_default_context(cafile=str(authority)) if authority.is_file() else True
