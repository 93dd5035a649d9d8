"""What an administrator sets for all controllers (flags of `aimd run`, chart values)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from aimd import __version__
from aimd.planning.pod_rights import PodRights


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Settings that plans depend on.

    `downloader_image` runs the jobs of artifacts that name no image; it and the `own_images` are aimd's, whose
    commands a Job names explicitly, while any other image is run by its own entry point (ART-JOB-1).
    `retry_base_seconds` is the shortest wait after a download that failed for good, `retry_limit_seconds` the
    longest. `job_requests` are the resource requests of download pods. `system_namespace` is the operator's own.
    `discovery_slots` is how many discovery Jobs may run at once. Those of cluster templates run in
    `discovery_namespace`, the operator's if empty, and use only
    the `discovery_service_accounts` and `discovery_secrets`. `allow_debug` passes debug switches on to downloads.
    `allowed_download_images` are globs of other images for downloads, all images if there are none.
    """

    downloader_image: str = f"aimd:{__version__}"
    own_images: frozenset[str] = frozenset()
    system_namespace: str = "aim-system"
    retry_base_seconds: int = 600
    retry_limit_seconds: int = 6 * 3600
    discovery_slots: int = 10
    allow_debug: bool = False
    allowed_download_images: tuple[str, ...] = ()
    discovery_namespace: str = ""
    discovery_service_accounts: frozenset[str] = frozenset()
    discovery_secrets: frozenset[str] = frozenset()
    job_requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "500m", "memory": "1Gi"})

    @property
    def rights(self) -> PodRights:
        """What pods may use in the namespaces of the operator."""
        return PodRights(
            self.system_namespace,
            self.discovery_namespace or self.system_namespace,
            self.discovery_service_accounts,
            self.discovery_secrets,
        )

    @property
    def download_images(self) -> frozenset[str]:
        """The operator's own images for downloads."""
        return self.own_images | {self.downloader_image}

    def may_download(self, image: str) -> bool:
        """Return whether the Jobs of artifacts may run an image (ART-JOB-9)."""
        allowed = self.allowed_download_images
        return not allowed or self.is_own_image(image) or any(fnmatchcase(image, glob) for glob in allowed)

    def is_own_image(self, image: str) -> bool:
        """Return whether the image carries the `aimd` command."""
        return image in self.download_images
