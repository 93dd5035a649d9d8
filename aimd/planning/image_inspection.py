"""What came of asking an image registry about an image, for its model and for the templates of that model."""

# tests: tests/unit/controllers/test_image_inspections.py, tests/unit/planning/model/test_plan.py

from dataclasses import dataclass

from aimd.api.model import ImageMetadata
from aimd.api.reasons import Reason
from aimd.planning.profiles import ProfilesRead
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
    is that of the image.
    """

    read: ProfilesRead | None = None
    unreadable: str = ""
    digest: str = ""


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
