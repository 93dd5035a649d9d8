"""What came of asking an image registry about an image, for its model and for the templates of that model."""

# tests: tests/unit/controllers/test_image_inspections.py, tests/unit/planning/model/test_plan.py

from dataclasses import dataclass

from aimd.api.model import AnyModel, ImageMetadata
from aimd.api.reasons import Reason
from aimd.planning.profiles import ProfilesRead
from aimd.planning.runtime_config import ResolvedConfig
from aimd.registry.failures import RegistryFailure
from aimd.runtime.objects import Failure


@dataclass(frozen=True, slots=True)
class LabelsUnreadable:
    """The labels cannot be used; the message says which, and what to change in the image."""

    message: str
    reason: str = Reason.METADATA_EXTRACTION_FAILED


@dataclass(frozen=True, slots=True)
class ProfilesOfImage:
    """What the registry said about the profiles of an image.

    `read` are those in its files, None where there are no files or `unreadable` says why they cannot be read; `digest`
    is that of the image. They are `settled` unless the registry lacks a layer, or sent another one.
    """

    read: ProfilesRead | None = None
    unreadable: str = ""
    digest: str = ""
    settled: bool = True


NO_PROFILES = ProfilesOfImage()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came of asking the registry about an image.

    One of: `metadata`; `unreadable`, labels that make no sense; `failure`, what the registry said; `secret`, a pull
    secret that is missing or cannot be read; or nothing, while there is no answer yet. `profiles` are those of the
    image if the registry answered. `awaits_secret` is whether a failure may end with a Secret that was offered and is
    not there. `again_after` is when to ask again, in seconds, `attempts` how often that has failed in a row.
    """

    metadata: ImageMetadata | None = None
    profiles: ProfilesOfImage = NO_PROFILES
    failure: RegistryFailure | None = None
    unreadable: LabelsUnreadable | None = None
    secret: Failure | None = None
    awaits_secret: bool = False
    again_after: float | None = None
    attempts: int = 0

    @property
    def is_answered(self) -> bool:
        """Whether the registry answered, so that `profiles` are known."""
        return self.metadata is not None or self.unreadable is not None


def extracts_metadata(model: AnyModel, config: ResolvedConfig) -> bool:
    """Return whether to inspect the image: as the model says, else the runtime config, else True (MDL-INS-7)."""
    discovery = model.spec.discovery
    return discovery.extract_metadata if discovery is not None else auto_discovery(config)


def auto_discovery(config: ResolvedConfig) -> bool:
    """Return what the runtime config says for models without `discovery` (MDL-INS-7)."""
    defaults = config.spec.model
    return defaults is None or defaults.auto_discovery is not False
