"""What a decision about a model is based on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from aimd.api.model import AIMClusterModel, AnyModel, ImageMetadata
from aimd.api.service_template import AnyServiceTemplate
from aimd.planning.component import UPSTREAM, Direction
from aimd.planning.model.image_metadata import LabelsUnreadable
from aimd.planning.runtime_config import ResolvedConfig
from aimd.registry.failures import RegistryFailure
from aimd.runtime.objects import Failure, Manifest


class Expectation(Enum):
    """Whether a model should have templates."""

    UNKNOWN = "unknown"
    NONE = "none"
    SOME = "some"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came of asking the registry about a model's image.

    One of: `metadata`; `failure`, what the registry said; `unreadable`, labels that make no sense; `secret`, a pull
    secret that is missing or cannot be read; or nothing, while there is no answer yet. `awaits_secret` is whether a
    failure may end with a Secret that was offered and is not there. `again_after` is when to ask again, in seconds.
    """

    metadata: ImageMetadata | None = None
    failure: RegistryFailure | None = None
    unreadable: LabelsUnreadable | None = None
    secret: Failure | None = None
    awaits_secret: bool = False
    again_after: float | None = None


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


def is_custom(model: AnyModel) -> bool:
    """Return whether the model brings weights of its own."""
    return bool(model.spec.model_sources)


def is_inspected(model: AnyModel) -> bool:
    """Return whether the status describes the present image; a status without an image counts (MDL-INS-2)."""
    status = model.status
    return status.image_metadata is not None and status.inspected_image in ("", model.spec.image)


def wants_inspection(model: AnyModel, config: ResolvedConfig) -> bool:
    """Return whether the registry has to be asked (MDL-INS-1)."""
    return extracts_metadata(model, config) and model.spec.image_metadata is None and not is_inspected(model)


def extracts_metadata(model: AnyModel, config: ResolvedConfig) -> bool:
    """Return whether to inspect the image: as the model says, else the runtime config, else True (MDL-INS-7)."""
    discovery = model.spec.discovery
    return discovery.extract_metadata if discovery is not None else _auto_discovery(config)


def creates_templates(model: AnyModel, config: ResolvedConfig) -> bool:
    """Return whether to create templates: as the model says, else the runtime config, else True (MDL-INS-7)."""
    discovery = model.spec.discovery
    return discovery.create_service_templates if discovery is not None else _auto_discovery(config)


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
    recommended = metadata.model is not None and metadata.model.recommended_deployments
    return Expectation.SOME if recommended else Expectation.NONE


def _auto_discovery(config: ResolvedConfig) -> bool:
    """Return what the runtime config says for models without `discovery` (MDL-INS-7)."""
    defaults = config.spec.model
    return defaults is None or defaults.auto_discovery is not False
