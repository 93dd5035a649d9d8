"""AIMModel and AIMClusterModel: entries of the model catalog."""

# tests: tests/unit/api/test_models.py, tests/unit/api/test_crd_facts.py

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, TypeAlias

from aimd.api.core import ApiObject, EnvList, LocalObjectReference, ResourceRequirements
from aimd.api.schema import DEFAULTED, LONG, ApiModel, Int32, PrinterColumn, Rule, Schema
from aimd.api.shared import (
    BaseStatus,
    ComponentStatusText,
    Hardware,
    MetricText,
    ModelSource,
    PrecisionText,
    ProfileIdentity,
    ProfileTypeText,
    ResolvedReference,
    Status,
)


class SourceType(StrEnum):
    """Origin of the weights: the image, or the user's own `modelSources`."""

    IMAGE = "Image"
    CUSTOM = "Custom"


class ImageProfileSource(StrEnum):
    """Where the profiles of an image's templates come from."""

    REGISTRY = "Registry"
    """The profile files in the image, read from its registry."""
    LABELS = "Labels"
    """The label `recommendedDeployments`; a discovery Job asks the image for the profile of each template."""
    NONE = "None"
    """Nowhere: the image recommends nothing."""


class ModelCondition(StrEnum):
    """Condition types of an AIMModel and an AIMClusterModel, beside those of every object."""

    IMAGE_METADATA_READY = "ImageMetadataReady"
    """The metadata of the image is known."""
    IMAGE_PROFILES_READ = "ImageProfilesRead"
    """The profile files of the image were read from its registry, and templates are created from them. Absent if the
    registry was not queried for them."""
    SERVICE_TEMPLATES_READY = "ServiceTemplatesReady"
    """The templates of the AIMModel can be used."""
    CLUSTER_SERVICE_TEMPLATES_READY = "ClusterServiceTemplatesReady"
    """The templates of the AIMClusterModel can be used."""


class RecommendedDeployment(ApiModel):
    """A deployment that the image recommends. A template is created for each."""

    gpu_model: str = ""
    """GPU model, for example `MI300X`."""
    gpu_count: Int32 = 0
    """GPUs per replica."""
    precision: str = ""
    """Numeric precision. Must be a value that templates accept."""
    metric: str = ""
    """Optimization goal. Must be a value that templates accept."""
    profile_id: str = ""
    """Profile in the image that this deployment uses."""
    description: Annotated[str, LONG] = ""
    """Human-readable description."""


class ModelMetadata(ApiModel):
    """Information about the model from the labels of the image."""

    canonical_name: str = ""
    """Name of the model as `organization/name`."""
    source: str = ""
    """Origin of the model, usually a URL."""
    tags: tuple[str, ...] = ()
    """Keywords of the model."""
    versions: tuple[str, ...] = ()
    """Versions of the model in the image."""
    variants: tuple[str, ...] = ()
    """Variants of the model in the image."""
    hf_token_required: bool | None = None
    """Whether downloading the weights requires a Hugging Face token."""
    title: str = ""
    """Human-readable title."""
    description_full: Annotated[str, LONG] = ""
    """Human-readable description."""
    release_notes: Annotated[str, LONG] = ""
    """Changes in this version."""
    recommended_deployments: tuple[RecommendedDeployment, ...] = ()
    """Recommended deployments. A template is created for each."""


class OciMetadata(ApiModel):
    """Standard OCI labels of the image."""

    title: str = ""
    """Title of the image."""
    description: Annotated[str, LONG] = ""
    """Description of the image."""
    licenses: Annotated[str, LONG] = ""
    """Licenses, as an SPDX expression."""
    vendor: str = ""
    """Vendor that distributes the image."""
    authors: Annotated[str, LONG] = ""
    """Contact details of the people responsible for the image."""
    source: str = ""
    """URL of the source code."""
    documentation: str = ""
    """URL of the documentation."""
    created: str = ""
    """Time at which the image was built."""
    revision: str = ""
    """Revision of the source code."""
    version: str = ""
    """Version of the packaged software."""


class ImageMetadata(ApiModel):
    """Metadata of an AIM image."""

    model: ModelMetadata | None = None
    """Information about the model."""
    oci: OciMetadata | None = None
    """Information about the image itself, from its standard OCI labels."""
    original_labels: Mapping[str, Annotated[str, LONG]] = {}
    """The labels of the image, unchanged."""
    base_image_ref: str = ""
    """Base image that the image was built from, as its environment variable `AIM_BASE_IMAGE_REF` names it."""


class ImageProfile(ApiModel):
    """A profile of the image that a template is created for."""

    profile_id: str = ""
    """Id of the profile in the image. Empty if a discovery Job asks the image for one."""
    gpu_model: str = ""
    """GPU model, for example `MI300X`. Empty for profiles that run without a GPU."""
    gpu_count: Int32 = 0
    """GPUs per replica."""
    cpu_model: str = ""
    """CPU model, for example `EPYC_9965`. Empty for profiles that require a GPU."""
    cpu_count: Int32 = 0
    """CPU cores per replica of a profile that runs without a GPU."""
    metric: str = ""
    """Optimization goal."""
    precision: str = ""
    """Numeric precision."""
    type: str = ""
    """Profile type. Empty if it is not known yet."""
    engine: str = ""
    """Inference engine, for example `vllm`. Empty if it is not known yet."""


class ImageProfiles(ApiModel):
    """The profiles of the image that templates are created for."""

    source: Annotated[str, Schema(enum=tuple(ImageProfileSource))] = ""
    """`Registry` if they are profile files read from the image's registry, `Labels` if the image's label
    `recommendedDeployments` describes them, `None` if the image recommends nothing."""
    digest: str = ""
    """Digest of the image that they were read from."""
    message: str = ""
    """What was read, what was left out, and why."""
    profiles: tuple[ImageProfile, ...] = ()
    """The profiles, at most 256. A template is created for each."""


class CustomDefaults(ApiModel):
    """Defaults for the templates of a model with `modelSources`."""

    hardware: Hardware | None = None
    """Hardware of one replica, for templates that do not set it. Required with `modelSources` unless every custom
    template sets its own."""
    type: ProfileTypeText = ""
    """Profile type of templates that do not set it. Defaults to `unoptimized`."""


class TemplateProfile(ApiModel):
    """Metric and precision of a custom template."""

    metric: MetricText = ""
    """Optimization goal of the template."""
    precision: PrecisionText = ""
    """Numeric precision."""


class CustomTemplate(ProfileIdentity):
    """A template to create as written here."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "!has(self.customProfile) || (has(self.aimId) && has(self.modelId) && has(self.hardware)"
                " && has(self.profile) && has(self.profile.metric) && has(self.profile.precision))",
                "customProfile needs aimId, modelId, hardware, profile.metric and profile.precision",
            ),
        )
    )

    name: Annotated[str, Schema(max_length=63)] = ""
    """Alias of the template, which services can use as `template.name`. The name of the template object is derived from
    it."""
    type: ProfileTypeText = ""
    """Profile type of the template. Defaults to the model's `custom.type`, then to `unoptimized`."""
    hardware: Hardware | None = None
    """Hardware of one replica. Overrides `custom.hardware` field by field."""
    profile: TemplateProfile | None = None
    """Metric and precision of the template."""
    env: Annotated[EnvList, Schema(max_items=64)] = ()
    """Environment variables of the inference container. Override the model's `env` by name."""


class Discovery(ApiModel):
    """Controls what aimd reads from the image and creates for it."""

    extract_metadata: Annotated[bool, DEFAULTED] = True
    """Whether to read the labels and the profile files of the image from its registry."""
    create_service_templates: Annotated[bool, DEFAULTED] = True
    """Whether to create templates, from the profiles that the image recommends and from `customTemplates`."""


class AIMModelSpec(ApiModel):
    """Desired state of the model: an AIM image, or an AIM base image with your own weights."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "!has(self.modelSources) || size(self.modelSources) == 0"
                " || (has(self.custom) && has(self.custom.hardware))"
                " || !has(self.customTemplates) || size(self.customTemplates) == 0"
                " || self.customTemplates.all(t, has(t.hardware) || (has(self.custom) && has(self.custom.hardware)))",
                "with modelSources, give hardware in custom.hardware or in every custom template",
            ),
        )
    )

    image: Annotated[str, Schema(required=True, min_length=1)] = ""
    """AIM container image of the model, or the AIM base image that serves `modelSources`."""
    model_sources: Annotated[tuple[ModelSource, ...], Schema(max_items=1)] = ()
    """Your own weights. If set, the model is a custom model: its recommendations are ignored, and templates
    are created from `customTemplates`, or from `custom` if there are none."""
    custom: CustomDefaults | None = None
    """Defaults for the templates of a model with `modelSources`."""
    custom_templates: Annotated[tuple[CustomTemplate, ...], Schema(max_items=16)] = ()
    """Templates to create as written, in addition to those that the image recommends. With `modelSources`, these are
    the only templates."""
    image_metadata: ImageMetadata | None = None
    """Metadata of the image. If set, the registry is not queried; use it where the registry cannot be reached."""
    discovery: Discovery | None = None
    """Controls what aimd reads from the image and creates for it. Defaults to the runtime config's
    `model.autoDiscovery`, then to all of it."""
    default_service_template: str = ""
    """Template for services of this model that do not name one. If unset, or while the template is unusable, the best
    template is selected."""
    env: EnvList = ()
    """Environment variables of the inference container, for templates created from `custom` or `customTemplates`. Not
    used to access the registry."""
    resources: ResourceRequirements | None = None
    """Resources of the inference container. Those of the template and the service take precedence, key by key."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply. Defaults to `default`, which may be absent; any other name must exist."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Pull secrets for the registry, the discovery jobs and the inference pods. They are read from the model's
    namespace, or from the operator's namespace for an AIMClusterModel. All of them must exist before the registry is
    queried."""
    service_account_name: str = ""
    """Service account of the discovery jobs and the inference pods. Those of the template and the service take
    precedence. Its pull secrets are also used to access the registry."""


class AIMModelStatus(BaseStatus):
    """Observed state of the model and its templates."""

    status: ComponentStatusText = Status.PENDING.value
    """Overall state, determined by the model's templates. `Ready`: at least one can be used. `NotAvailable`: the
    cluster lacks the GPUs of all templates. `Degraded`: some templates failed. `Failed`: all templates failed."""
    source_type: Annotated[str, Schema(enum=tuple(SourceType))] = ""
    """`Custom` if the model has `modelSources`, otherwise `Image`."""
    version: str = ""
    """Tag of `spec.image`. Empty for an image that is named by a digest or without a tag."""
    image_metadata: ImageMetadata | None = None
    """Metadata of the image, from the spec, or from its labels and environment."""
    inspected_image: str = ""
    """Image that `imageMetadata` and `imageProfiles` were read from. The image is inspected again when `spec.image`
    differs."""
    image_profiles: ImageProfiles | None = None
    """Profiles of the image that templates are created for. Absent if the registry was not queried for them."""
    resolved_runtime_config: ResolvedReference | None = None
    """Runtime config in effect."""


MODEL_COLUMNS = (
    PrinterColumn("Status", ".status.status"),
    PrinterColumn("Source", ".status.sourceType"),
    PrinterColumn("Image", ".spec.image"),
    PrinterColumn("Version", ".status.version"),
    PrinterColumn("Model", ".status.imageMetadata.model.canonicalName"),
    PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
)


class AIMModel(ApiObject):
    """AIMModel is a model that services of its namespace can use: an AIM image, or an AIM base image with your own
    weights. aimd inspects the image and creates service templates for it.
    """

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = MODEL_COLUMNS

    spec: AIMModelSpec = AIMModelSpec()
    """Desired state of the model."""
    status: AIMModelStatus = AIMModelStatus()
    """Observed state of the model and its templates, set by the controller."""


class AIMClusterModel(ApiObject):
    """AIMClusterModel is a model that services of all namespaces can use. aimd inspects its image and creates cluster
    service templates for it.
    """

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = MODEL_COLUMNS

    spec: AIMModelSpec = AIMModelSpec()
    """Desired state of the model."""
    status: AIMModelStatus = AIMModelStatus()
    """Observed state of the model and its templates, set by the controller."""


AnyModel: TypeAlias = AIMModel | AIMClusterModel
"""A model of either scope."""
