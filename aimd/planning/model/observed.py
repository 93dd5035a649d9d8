"""What a decision about a model is based on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from aimd.api.model import AIMClusterModel, AnyModel, ImageMetadata, ImageProfiles, RecommendedDeployment
from aimd.api.service_template import AnyServiceTemplate
from aimd.planning.component import UPSTREAM, Direction
from aimd.planning.image_inspection import Inspection, auto_discovery, extracts_metadata
from aimd.planning.model.image_profiles import choose_profiles
from aimd.planning.runtime_config import ResolvedConfig
from aimd.runtime.objects import Manifest


class Expectation(Enum):
    """Whether a model should have templates."""

    UNKNOWN = "unknown"
    NONE = "none"
    SOME = "some"


@dataclass(frozen=True, slots=True)
class ObservedModel:
    """A model and everything its plan depends on.

    `templates` are all of its scope that name it; `manifests` are these, the ones it owns and the ones whose names it
    wants, by name. `applied` are the names of templates that this controller has written, as opposed to copies of
    them, `used` those that services run with or name. `shared_pull_secrets` are those
    of its users. `inspection` is None when the registry was not asked.
    """

    model: AnyModel
    config: ResolvedConfig
    templates: Sequence[AnyServiceTemplate] = ()
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    applied: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    shared_pull_secrets: tuple[str, ...] = ()
    inspection: Inspection | None = None

    @property
    def is_cluster_scoped(self) -> bool:
        """Whether the model is an AIMClusterModel."""
        return isinstance(self.model, AIMClusterModel)

    @property
    def direction(self) -> Direction:
        """Cluster models declare their components upstream, so that waiting shows as Pending (MDL-STA-3)."""
        return UPSTREAM if self.is_cluster_scoped else Direction.UNSPECIFIED

    @property
    def metadata(self) -> ImageMetadata | None:
        """Metadata of the present image: from the spec, else from this or an earlier inspection."""
        if self.model.spec.image_metadata is not None:
            return self.model.spec.image_metadata
        if self.inspection is not None and self.inspection.metadata is not None:
            return self.inspection.metadata
        return self.model.status.image_metadata if is_inspected(self.model) else None

    @property
    def profiles(self) -> ImageProfiles | None:
        """Profiles of the present image that become templates: from this or an earlier inspection (MDL-PRF-1).

        None if the registry was not asked for them: then the recommended deployments in the metadata count.
        """
        if self.model.spec.image_metadata is not None:
            return None
        if self.inspection is not None and self.inspection.metadata is not None:
            return choose_profiles(recommended_deployments(self.inspection.metadata), self.inspection.profiles)
        return self.model.status.image_profiles if is_inspected(self.model) else None


def is_custom(model: AnyModel) -> bool:
    """Return whether the model brings weights of its own."""
    return bool(model.spec.model_sources)


def is_inspected(model: AnyModel) -> bool:
    """Return whether the status describes the present image; a status without an image counts (MDL-INS-2)."""
    status = model.status
    return status.image_metadata is not None and status.inspected_image in ("", model.spec.image)


def recommended_deployments(metadata: ImageMetadata | None) -> Sequence[RecommendedDeployment]:
    """Return the deployments that the image's label recommends."""
    return metadata.model.recommended_deployments if metadata is not None and metadata.model is not None else ()


def wants_inspection(observed: ObservedModel) -> bool:
    """Return whether the registry has to be asked (MDL-INS-1)."""
    model = observed.model
    if not extracts_metadata(model, observed.config) or model.spec.image_metadata is not None:
        return False
    return not is_inspected(model) or _lacks_profiles(observed)


def _lacks_profiles(observed: ObservedModel) -> bool:
    """Return whether an inspected image has no template, and was never asked for its profile files (MDL-INS-8)."""
    model, status = observed.model, observed.model.status
    if status.image_profiles is not None or is_custom(model) or model.spec.custom_templates or observed.templates:
        return False
    return not recommended_deployments(status.image_metadata)


def creates_templates(model: AnyModel, config: ResolvedConfig) -> bool:
    """Return whether to create templates: as the model says, else the runtime config, else True (MDL-INS-7)."""
    discovery = model.spec.discovery
    return discovery.create_service_templates if discovery is not None else auto_discovery(config)


def expectation(observed: ObservedModel) -> Expectation:
    """Return whether templates are to exist; switched-off inspection is an answer, too (MDL-TPL-9)."""
    model, config = observed.model, observed.config
    if not creates_templates(model, config):
        return Expectation.NONE
    if is_custom(model) or model.spec.custom_templates:
        return Expectation.SOME
    metadata = observed.metadata
    if metadata is None:
        return Expectation.UNKNOWN if extracts_metadata(model, config) else Expectation.NONE
    profiles = observed.profiles
    recommended = profiles.profiles if profiles is not None else recommended_deployments(metadata)
    return Expectation.SOME if recommended else Expectation.NONE
